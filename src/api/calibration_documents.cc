#include "api/calibration_documents.h"

#include <algorithm>
#include <charconv>

#include "api/text_windows.h"
#include "base/mapped_file.h"
#include "model/text_assets.h"

namespace nibble {
namespace {

Json one_message(const std::string& text) { return Json::array({{{"role", "user"}, {"content", text}}}); }

bool are_messages(const Json& list) {
  return list.is_array() && std::all_of(list.begin(), list.end(), [](const Json& message) {
           return message.is_object() && message.contains("role") && message["role"].is_string() &&
                  message.contains("content");
         });
}

/// What a line of JSONL says as messages of a conversation; null where it is none.
Json messages_of(const Json& object) {
  const auto text = [&](const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? &*found : nullptr;
  };
  if (const auto found = object.find("messages"); found != object.end()) return *found;
  if (const auto found = object.find("conversations"); found != object.end() && found->is_array()) {
    Json out = Json::array();
    for (const Json& turn : *found) {
      if (!turn.is_object() || !turn.contains("from") || !turn.contains("value")) return {};
      const Json& from = turn["from"];
      const bool user = from == "human" || from == "user";
      out.push_back({{"role", user            ? Json("user")
                              : from == "gpt" ? Json("assistant")
                                              : from},
                     {"content", turn["value"]}});
    }
    return out;
  }
  const Json* prompt = text("prompt");
  const Json* answer = text("completion") != nullptr ? text("completion") : text("response");
  if (prompt == nullptr) return {};
  Json out = one_message(prompt->get<std::string>());
  if (answer != nullptr) out.push_back({{"role", "assistant"}, {"content", *answer}});
  return out;
}

}  // namespace

/// Cuts documents into windows until there are enough.
class DocumentReader::Windows {
 public:
  Windows(std::int64_t tokens, std::int64_t most, bool per_document)
      : tokens_(static_cast<std::size_t>(tokens)), most_(static_cast<std::size_t>(most)), per_document_(per_document) {}

  bool enough() const { return done_.size() >= most_; }
  std::size_t tokens() const { return tokens_; }
  void add(std::vector<std::int32_t> document) {
    if (per_document_) {
      if (document.size() < tokens_ || enough()) return;
      document.resize(tokens_);
      done_.push_back(std::move(document));
      return;
    }
    rest_.insert(rest_.end(), document.begin(), document.end());
    auto at = rest_.begin();
    for (const auto size = static_cast<std::ptrdiff_t>(tokens_); rest_.end() - at >= size && !enough(); at += size)
      done_.emplace_back(at, at + size);
    rest_.erase(rest_.begin(), at);
  }
  std::vector<std::vector<std::int32_t>> take() { return std::move(done_); }

 private:
  std::size_t tokens_;
  std::size_t most_;
  bool per_document_;
  std::vector<std::int32_t> rest_;  ///< less than a window
  std::vector<std::vector<std::int32_t>> done_;
};

Result<DocumentReader> DocumentReader::create(const ModelFiles& files, const CalibrationOptions& options) {
  DocumentReader reader;
  reader.chat_template_ = options.chat_template;
  reader.per_document_ = options.per_document;
  reader.vocab_size_ = files.config().vocab_size;
  NIBBLE_TRY(TextAssets assets, read_text_assets(files.checkpoint()));
  NIBBLE_TRY(reader.tokenizer_, Tokenizer::create(std::move(assets.tokenizer)));
  if (assets.chat_template) {
    NIBBLE_TRY(reader.chat_, ChatTemplate::parse(*assets.chat_template, files.path() + ": chat_template"));
  } else if (options.chat_template) {
    return fail(ErrorCode::kUnsupported, "{}: the model has no chat template; calibrate without it", files.path());
  }
  return reader;
}

Result<std::vector<std::vector<std::int32_t>>> DocumentReader::windows(const std::string& file, std::int64_t tokens,
                                                                       std::int64_t most) const {
  NIBBLE_TRY(const MappedFile::Ptr mapped, MappedFile::open(file));
  const std::string_view text = text_of(*mapped);
  const bool is_ids = file.ends_with(".tokens");
  Windows out(tokens, most, per_document_ || is_ids);
  if (is_ids || file.ends_with(".jsonl")) {
    NIBBLE_TRY_STATUS(read_lines(file, text, out));
  } else if (chat_template_ || per_document_) {
    NIBBLE_TRY_STATUS(read_paragraphs(file, text, out));
  } else {
    const auto enough = std::min(most, static_cast<std::int64_t>(text.size())) * tokens;
    NIBBLE_TRY(std::vector<std::int32_t> document, first_tokens(*tokenizer_, text, enough));
    out.add(std::move(document));
  }
  NIBBLE_TRY_STATUS(mapped->check_intact());
  return out.take();
}

Status DocumentReader::read_lines(const std::string& file, std::string_view text, Windows& out) const {
  const bool is_ids = file.ends_with(".tokens");
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < text.size() && !out.enough();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    ++number;
    const std::string one(text.substr(begin, end - begin));
    begin = end + 1;
    if (one.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string where = fmt::format("{}:{}", file, number);
    NIBBLE_TRY(std::vector<std::int32_t> document, is_ids ? ids(one, where) : line(one, where));
    out.add(std::move(document));
  }
  return {};
}

/// Parts of a text between empty lines.
Status DocumentReader::read_paragraphs(const std::string& file, std::string_view text, Windows& out) const {
  for (std::size_t begin = 0; begin < text.size() && !out.enough();) {
    const std::size_t end = std::min(text.find("\n\n", begin), text.size());
    const std::size_t first = text.find_first_not_of('\n', begin);
    begin = end + 2;
    if (first >= end) continue;
    const std::string paragraph(text.substr(first, end - first));
    NIBBLE_TRY(std::vector<std::int32_t> document,
               chat_template_ ? conversation(one_message(paragraph), file) : plain(paragraph));
    out.add(std::move(document));
  }
  return {};
}

Result<std::vector<std::int32_t>> DocumentReader::ids(const std::string& text, const std::string& where) const {
  std::vector<std::int32_t> out;
  for (const char* at = text.data(); at < text.data() + text.size();) {
    if (*at == ' ' || *at == '\t' || *at == '\r') {
      ++at;
      continue;
    }
    std::int32_t id = -1;
    const auto [end, error] = std::from_chars(at, text.data() + text.size(), id);
    if (error != std::errc() || id < 0 || id >= vocab_size_)
      return fail(ErrorCode::kCorrupt, "{}: not a line of token ids below {}", where, vocab_size_);
    out.push_back(id);
    at = end;
  }
  return out;
}

Result<std::vector<std::int32_t>> DocumentReader::plain(const std::string& text) const {
  return tokenizer_->encode(text, {.add_special = false, .parse_special = false});
}

Result<std::vector<std::int32_t>> DocumentReader::conversation(const Json& messages, const std::string& where) const {
  if (!chat_)
    return fail(ErrorCode::kUnsupported, "{}: a conversation, but the model has no chat template; give plain text",
                where);
  ChatOptions options;
  if (const auto bos = tokenizer_->bos()) options.bos_token = tokenizer_->token_text(*bos);
  if (const auto eos = tokenizer_->eos()) options.eos_token = tokenizer_->token_text(*eos);
  const Result<std::string> text = chat_->render_chat(messages, options);
  if (!text.ok()) return with_context(text.error(), where);
  return tokenizer_->encode(*text, {.add_special = false, .parse_special = true});
}

Result<std::vector<std::int32_t>> DocumentReader::line(const std::string& text, const std::string& where) const {
  NIBBLE_TRY(const Json object, parse_untrusted(text, where));
  if (object.is_object()) {
    if (const auto found = object.find("text"); found != object.end() && found->is_string()) {
      const auto words = found->get<std::string>();
      return chat_template_ ? conversation(one_message(words), where) : plain(words);
    }
    if (const Json messages = messages_of(object); are_messages(messages)) return conversation(messages, where);
  }
  return fail(
      ErrorCode::kCorrupt,
      "{}: a line of calibration is an object with \"text\", \"messages\", \"conversations\", or \"prompt\" and "
      "\"completion\" or \"response\"",
      where);
}

}  // namespace nibble
