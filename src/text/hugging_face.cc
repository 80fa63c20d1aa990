// tokenizer.json, tokenizer_config.json and their small companions to TokenizerSpec.
#include "text/hugging_face.h"

#include <algorithm>
#include <array>
#include <deque>
#include <unordered_set>

#include "text/decoder.h"
#include "text/known_special_tokens.h"
#include "text/token_index.h"

namespace nibble {
namespace {

struct NamedSpecial {
  std::string_view key;
  std::optional<std::int32_t> SpecialTokens::*slot;
};
constexpr std::array<NamedSpecial, 7> kNamedSpecials = {{{"bos_token", &SpecialTokens::bos},
                                                         {"eos_token", &SpecialTokens::eos},
                                                         {"unk_token", &SpecialTokens::unk},
                                                         {"sep_token", &SpecialTokens::sep},
                                                         {"pad_token", &SpecialTokens::pad},
                                                         {"cls_token", &SpecialTokens::cls},
                                                         {"mask_token", &SpecialTokens::mask}}};

/// Ids may leave gaps (padding fills them), but a small file must not ask for a large vocabulary.
constexpr std::int64_t kMaxHoles = 4096;

class Reader {
 public:
  Reader(const HuggingFaceFiles& files, std::string what) : files_(files) { out_.what = std::move(what); }

  Result<TokenizerSpec> run() {
    NIBBLE_TRY(const Json tokenizer, parse_untrusted(files_.tokenizer_json, name("tokenizer.json")));
    if (!tokenizer.is_object()) return fail(ErrorCode::kCorrupt, "{} is not an object", name("tokenizer.json"));
    NIBBLE_TRY(config_, parse_optional(files_.tokenizer_config_json, "tokenizer_config.json"));
    NIBBLE_TRY(map_, parse_optional(files_.special_tokens_map_json, "special_tokens_map.json"));
    NIBBLE_TRY(generation_, parse_optional(files_.generation_config_json, "generation_config.json"));
    NIBBLE_TRY_STATUS(read_model(tokenizer));
    NIBBLE_TRY_STATUS(read_added_tokens(tokenizer));
    NIBBLE_TRY_STATUS(fill_holes());
    NIBBLE_TRY_STATUS(read_merges());
    set_types();
    NIBBLE_TRY_STATUS(read_steps(tokenizer));
    NIBBLE_TRY_STATUS(read_special_names());
    NIBBLE_TRY_STATUS(read_config_flags());
    NIBBLE_TRY_STATUS(read_ends_of_generation());
    find_known_special_tokens(out_, /*types_are_final=*/true);
    return std::move(out_);
  }

 private:
  std::string name(std::string_view file) const {
    return out_.what.empty() ? std::string(file) : out_.what + "/" + std::string(file);
  }

  Result<Json> parse_optional(std::string_view text, std::string_view file) const {
    if (text.empty()) return Json::object();
    NIBBLE_TRY(Json json, parse_untrusted(text, name(file)));
    if (!json.is_object()) return fail(ErrorCode::kCorrupt, "{} is not an object", name(file));
    return json;
  }

  Status read_model(const Json& tokenizer) {
    const std::string what = name("tokenizer.json") + " model";
    model_ = JsonFields(tokenizer, what).child("model");
    if (model_ == nullptr || !model_->is_object()) return fail(ErrorCode::kCorrupt, "{}: no object \"model\"", what);
    const JsonFields fields(*model_, what);
    NIBBLE_TRY(const auto type, fields.string("type"));
    // Old files leave the type out; only BPE has merges.
    if (type ? *type != "BPE" : !fields.has("merges"))
      return fail(ErrorCode::kUnsupported, "{} \"{}\" is not supported; known: BPE", what, type.value_or("(no type)"));
    for (std::string_view key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      NIBBLE_TRY(const auto value, fields.string(key));
      if (value && !value->empty())
        return fail(ErrorCode::kUnsupported, "{}: {} \"{}\" is not supported, expected none", what, key, *value);
    }
    NIBBLE_TRY(const auto dropout, fields.number("dropout"));
    if (dropout.value_or(0) > 0)
      return fail(ErrorCode::kUnsupported, "{}: dropout {} would make tokens random; set it to null", what, *dropout);
    NIBBLE_TRY(const auto byte_fallback, fields.boolean("byte_fallback"));
    NIBBLE_TRY(const auto fuse_unk, fields.boolean("fuse_unk"));
    NIBBLE_TRY(const auto ignore_merges, fields.boolean("ignore_merges"));
    out_.byte_fallback = byte_fallback.value_or(false);
    out_.fuse_unk = fuse_unk.value_or(false);
    out_.ignore_merges = ignore_merges.value_or(false);
    NIBBLE_TRY(unk_, fields.string("unk_token"));
    return read_vocab(fields);
  }

  Status read_vocab(const JsonFields& fields) {
    const Json* vocab = fields.child("vocab");
    if (vocab == nullptr || !vocab->is_object())
      return fail(ErrorCode::kCorrupt, "{}: no object \"vocab\"", fields.what());
    index_.reserve(vocab->size());
    out_.tokens.resize(vocab->size());
    const std::int64_t limit =
        std::min<std::int64_t>(kMaxVocabularyTokens, 4 * static_cast<std::int64_t>(vocab->size()) + kMaxHoles);
    for (const auto& [text, value] : vocab->items()) {
      if (!value.is_number_integer() || value.get<std::int64_t>() < 0 || value.get<std::int64_t>() >= limit)
        return fail(ErrorCode::kCorrupt, "{}: vocab[\"{}\"] is {}, expected an id from 0 to {}, without large gaps",
                    fields.what(), text, value.dump(), limit - 1);
      NIBBLE_TRY_STATUS(place(static_cast<std::int32_t>(value.get<std::int64_t>()), text, fields.what() + " vocab"));
    }
    return {};
  }

  Status place(std::int32_t id, const std::string& text, const std::string& what) {
    const auto at = static_cast<std::size_t>(id);
    if (text.empty()) return fail(ErrorCode::kCorrupt, "{}: token {} is empty", what, id);
    if (at >= out_.tokens.size()) out_.tokens.resize(at + 1);
    if (!out_.tokens[at].text.empty() && out_.tokens[at].text != text)
      return fail(ErrorCode::kCorrupt, "{}: \"{}\" and \"{}\" both have the id {}", what, out_.tokens[at].text, text,
                  id);
    out_.tokens[at].text = text;
    index_.insert(texts_.emplace_back(text), id);
    return {};
  }

  /// added_tokens of tokenizer.json, then what only tokenizer_config.json's added_tokens_decoder has.
  Status read_added_tokens(const Json& tokenizer) {
    const std::string what = name("tokenizer.json") + " added_tokens";
    const Json* list = JsonFields(tokenizer, what).child("added_tokens");
    if (list != nullptr && !list->is_array()) return fail(ErrorCode::kCorrupt, "{} is not a list", what);
    if (list != nullptr) {
      for (std::size_t i = 0; i < list->size(); ++i) {
        const JsonFields fields((*list)[i], fmt::format("{}[{}]", what, i));
        NIBBLE_TRY(const auto id, fields.integer("id"));
        if (!id) return fail(ErrorCode::kCorrupt, "{} has no \"id\"", fields.what());
        NIBBLE_TRY_STATUS(read_added_token(fields, *id));
      }
    }
    const std::string config_what = name("tokenizer_config.json") + " added_tokens_decoder";
    const Json* more = JsonFields(config_, config_what).child("added_tokens_decoder");
    if (more == nullptr) return {};
    if (!more->is_object()) return fail(ErrorCode::kCorrupt, "{} is not an object", config_what);
    for (const auto& [key, value] : more->items()) {
      if (key.empty() || key.size() > 9 || key.find_first_not_of("0123456789") != std::string::npos)
        return fail(ErrorCode::kCorrupt, "{}: the key \"{}\" is not an id", config_what, key);
      NIBBLE_TRY_STATUS(read_added_token(JsonFields(value, config_what + "[" + key + "]"), std::stoll(key)));
    }
    return {};
  }

  Status read_added_token(const JsonFields& fields, std::int64_t id) {
    NIBBLE_TRY(const auto content, fields.string("content"));
    if (!content || content->empty()) return fail(ErrorCode::kCorrupt, "{} has no \"content\"", fields.what());
    if (id < 0 || id >= static_cast<std::int64_t>(kMaxVocabularyTokens))
      return fail(ErrorCode::kCorrupt, "{}: id {}, expected 0 to {}", fields.what(), id, kMaxVocabularyTokens - 1);
    AddedToken token;
    token.content = *content;
    NIBBLE_TRY_STATUS(read_flags(fields, token));
    token.id = index_.find(token.content);  // the vocabulary's id counts, whatever the list says
    if (token.id < 0) {
      token.id = static_cast<std::int32_t>(id);
      if (id >= 4 * static_cast<std::int64_t>(texts_.size()) + kMaxHoles)
        return fail(ErrorCode::kCorrupt, "{}: id {}, but only {} tokens come before; expected ids without large gaps",
                    fields.what(), id, texts_.size());
      NIBBLE_TRY_STATUS(place(token.id, token.content, fields.what()));
    }
    if (added_.insert(token.id).second) out_.added.push_back(std::move(token));
    return {};
  }

  static Status read_flags(const JsonFields& fields, AddedToken& token) {
    NIBBLE_TRY(const auto single_word, fields.boolean("single_word"));
    NIBBLE_TRY(const auto lstrip, fields.boolean("lstrip"));
    NIBBLE_TRY(const auto rstrip, fields.boolean("rstrip"));
    NIBBLE_TRY(const auto special, fields.boolean("special"));
    NIBBLE_TRY(const auto normalized, fields.boolean("normalized"));
    token.single_word = single_word.value_or(false);
    token.lstrip = lstrip.value_or(false);
    token.rstrip = rstrip.value_or(false);
    token.special = special.value_or(false);
    token.normalized = normalized.value_or(!token.special);
    return {};
  }

  Status fill_holes() {
    if (out_.tokens.empty()) return fail(ErrorCode::kCorrupt, "{}: no tokens", name("tokenizer.json"));
    for (std::size_t id = 0; id < out_.tokens.size(); ++id) {
      TokenEntry& token = out_.tokens[id];
      if (!token.text.empty()) continue;
      token.text = fmt::format("[PAD{}]", id);
      token.type = TokenType::kUnused;
    }
    index_ = {};
    index_.reserve(out_.tokens.size());
    for (std::size_t id = 0; id < out_.tokens.size(); ++id)
      index_.insert(out_.tokens[id].text, static_cast<std::int32_t>(id));
    return {};
  }

  Status read_merges() {
    const std::string what = name("tokenizer.json") + " model.merges";
    const Json* list = JsonFields(*model_, what).child("merges");
    if (list == nullptr || !list->is_array()) return fail(ErrorCode::kCorrupt, "{} is not a list", what);
    std::vector<TokenMerge> all;
    all.reserve(list->size());
    for (std::size_t i = 0; i < list->size(); ++i) {
      const Json& item = (*list)[i];
      std::string_view left;
      std::string_view right;
      if (item.is_string()) {
        const std::string_view line = item.get_ref<const std::string&>();
        if (line.substr(0, 8) == "#version") continue;
        const std::size_t space = line.find(' ');
        left = line.substr(0, space);
        if (space != std::string_view::npos) right = line.substr(space + 1);
      } else if (item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_string()) {
        left = item[0].get_ref<const std::string&>();
        right = item[1].get_ref<const std::string&>();
      }
      const TokenMerge merge{index_.find(left), index_.find(right)};
      if (left.empty() || right.empty() || (item.is_string() && right.find(' ') != std::string_view::npos))
        return fail(ErrorCode::kCorrupt, "{}[{}] is {}, expected \"left right\" or [\"left\", \"right\"]", what, i,
                    item.dump(-1, ' ', false, Json::error_handler_t::replace));
      if (merge.left < 0 || merge.right < 0)
        return fail(ErrorCode::kCorrupt, "{}[{}]: \"{}\" is not in the vocabulary", what, i,
                    merge.left < 0 ? left : right);
      all.push_back(merge);
    }
    // Of a pair that appears twice the last counts.
    MergeIndex seen;
    seen.reserve(all.size());
    for (auto merge = all.rbegin(); merge != all.rend(); ++merge)
      if (seen.insert(merge->left, merge->right, {0, 0}, false)) out_.merges.push_back(*merge);
    std::reverse(out_.merges.begin(), out_.merges.end());
    return {};
  }

  void set_types() {
    for (const AddedToken& token : out_.added)
      out_.tokens[static_cast<std::size_t>(token.id)].type =
          token.special ? TokenType::kControl : TokenType::kUserDefined;
    if (out_.byte_fallback)
      for (TokenEntry& token : out_.tokens)
        if (token.type == TokenType::kNormal && byte_of_token(token.text) >= 0) token.type = TokenType::kByte;
    if (!unk_) return;
    const std::int32_t id = index_.find(*unk_);
    if (id < 0) return;
    out_.special.unk = id;
    out_.use_unk = true;
    if (out_.byte_fallback) out_.tokens[static_cast<std::size_t>(id)].type = TokenType::kUnknown;
  }

  Status read_steps(const Json& tokenizer) {
    const std::string what = name("tokenizer.json");
    const JsonFields fields(tokenizer, what);
    if (const Json* json = fields.child("normalizer"))
      NIBBLE_TRY_STATUS(parse_normalizer(*json, what + " normalizer", out_.normalizer));
    if (const Json* json = fields.child("pre_tokenizer"))
      NIBBLE_TRY_STATUS(parse_pre_tokenizer(*json, what + " pre_tokenizer", out_.pre_tokenizer));
    out_.decoder.emplace();
    if (const Json* json = fields.child("decoder"))
      NIBBLE_TRY_STATUS(parse_decoder(*json, what + " decoder", *out_.decoder));
    if (const Json* json = fields.child("post_processor"))
      NIBBLE_TRY_STATUS(read_post_processor(*json, what + " post_processor"));
    return {};
  }

  Status read_post_processor(const Json& json, const std::string& what) {
    const JsonFields fields(json, what);
    NIBBLE_TRY(const auto type, fields.string("type"));
    const std::string kind = type.value_or("(no type)");
    if (kind == "ByteLevel") return {};
    if (kind == "TemplateProcessing") return read_template(fields);
    if (kind == "RobertaProcessing" || kind == "BertProcessing") {
      NIBBLE_TRY_STATUS(read_pair(fields, "cls", out_.prefix));
      return read_pair(fields, "sep", out_.suffix);
    }
    if (kind == "Sequence") {
      const Json* members = fields.child("processors");
      if (members == nullptr || !members->is_array())
        return fail(ErrorCode::kCorrupt, "{}: \"processors\" is not a list", what);
      for (const Json& member : *members) NIBBLE_TRY_STATUS(read_post_processor(member, what));
      return {};
    }
    return fail(ErrorCode::kUnsupported,
                "{} \"{}\" is not supported; known: TemplateProcessing, ByteLevel, RobertaProcessing, BertProcessing, "
                "Sequence",
                what, kind);
  }

  Status read_template(const JsonFields& fields) {
    const Json* single = fields.child("single");
    const Json* specials = fields.child("special_tokens");
    if (single == nullptr || !single->is_array())
      return fail(ErrorCode::kCorrupt, "{}: \"single\" is not a list", fields.what());
    bool after_text = false;
    for (const Json& piece : *single) {
      const JsonFields piece_fields(piece, fields.what() + " single");
      if (piece_fields.has("Sequence")) {
        after_text = true;
        continue;
      }
      const Json* token = piece_fields.child("SpecialToken");
      if (token == nullptr)
        return fail(ErrorCode::kCorrupt, "{}: a piece is neither Sequence nor SpecialToken", piece_fields.what());
      NIBBLE_TRY(const auto id, JsonFields(*token, piece_fields.what()).string("id"));
      const Json* entry = id && specials != nullptr ? JsonFields(*specials, fields.what()).child(*id) : nullptr;
      const Json* ids = entry != nullptr ? JsonFields(*entry, fields.what()).child("ids") : nullptr;
      if (ids == nullptr || !ids->is_array())
        return fail(ErrorCode::kCorrupt, "{}: special token \"{}\" has no list \"ids\"", fields.what(),
                    id.value_or(""));
      for (const Json& value : *ids) NIBBLE_TRY_STATUS(append_id(value, fields.what(), after_text));
    }
    return {};
  }

  Status append_id(const Json& value, const std::string& what, bool after_text) {
    if (!value.is_number_integer() || value.get<std::int64_t>() < 0 ||
        value.get<std::int64_t>() >= static_cast<std::int64_t>(out_.tokens.size()))
      return fail(ErrorCode::kCorrupt, "{}: {} is not an id of the vocabulary", what, value.dump());
    (after_text ? out_.suffix : out_.prefix).push_back(static_cast<std::int32_t>(value.get<std::int64_t>()));
    return {};
  }

  /// ["text", id]
  Status read_pair(const JsonFields& fields, std::string_view key, std::vector<std::int32_t>& ids) {
    const Json* pair = fields.child(key);
    if (pair == nullptr || !pair->is_array() || pair->size() != 2)
      return fail(ErrorCode::kCorrupt, "{}: \"{}\" is not [token, id]", fields.what(), key);
    return append_id((*pair)[1], fields.what(), &ids == &out_.suffix);
  }

  /// "bos_token": "<s>" or {"content": "<s>", ...}, in tokenizer_config.json or special_tokens_map.json.
  Status read_special_names() {
    for (const NamedSpecial& named : kNamedSpecials) {
      for (const Json* document : {&config_, &map_}) {
        const bool is_config = document == &config_;
        const std::string what = name(is_config ? "tokenizer_config.json" : "special_tokens_map.json");
        const JsonFields fields(*document, what);
        const Json* value = fields.child(named.key);
        if (value == nullptr) continue;
        std::optional<std::string> text;
        if (value->is_object()) {
          NIBBLE_TRY(text, JsonFields(*value, what + " " + std::string(named.key)).string("content"));
        } else if (value->is_string()) {
          text = value->get<std::string>();
        }
        const std::int32_t id = text ? index_.find(*text) : -1;
        if (id >= 0) {
          out_.special.*named.slot = id;
          break;
        }
        out_.warnings.push_back(fmt::format("{}: {} is no token of the vocabulary", what, named.key));
      }
    }
    return {};
  }

  Status read_config_flags() {
    const JsonFields fields(config_, name("tokenizer_config.json"));
    NIBBLE_TRY(const auto add_bos, fields.boolean("add_bos_token"));
    NIBBLE_TRY(const auto add_eos, fields.boolean("add_eos_token"));
    NIBBLE_TRY(const auto clean_up, fields.boolean("clean_up_tokenization_spaces"));
    NIBBLE_TRY(const auto prefix_space, fields.boolean("add_prefix_space"));
    out_.clean_up_spaces = clean_up.value_or(false);
    if (add_bos && out_.special.bos && *add_bos != out_.adds_bos()) {
      if (*add_bos) {
        out_.prefix.insert(out_.prefix.begin(), *out_.special.bos);
      } else {
        out_.prefix.erase(out_.prefix.begin());
      }
    }
    if (add_eos && out_.special.eos && *add_eos != out_.adds_eos()) {
      if (*add_eos) {
        out_.suffix.push_back(*out_.special.eos);
      } else {
        out_.suffix.pop_back();
      }
    }
    if (prefix_space)
      for (PreTokenizerStep& step : out_.pre_tokenizer)
        if (step.kind == PreTokenizerStep::Kind::kByteLevel) step.add_prefix_space = *prefix_space;
    return {};
  }

  Status read_ends_of_generation() {
    const Json* eos = JsonFields(generation_, name("generation_config.json")).child("eos_token_id");
    if (eos == nullptr) return {};
    const Json list = eos->is_array() ? *eos : Json::array({*eos});
    for (const Json& value : list) {
      const bool good = value.is_number_integer() && value.get<std::int64_t>() >= 0 &&
                        value.get<std::int64_t>() < static_cast<std::int64_t>(out_.tokens.size());
      if (good) {
        out_.end_of_generation.push_back(static_cast<std::int32_t>(value.get<std::int64_t>()));
      } else {
        out_.warnings.push_back(fmt::format("{}: eos_token_id {} is no token of the vocabulary",
                                            name("generation_config.json"), value.dump()));
      }
    }
    return {};
  }

  const HuggingFaceFiles& files_;
  TokenizerSpec out_;
  Json config_;
  Json map_;
  Json generation_;
  const Json* model_ = nullptr;
  std::optional<std::string> unk_;
  TokenIndex index_;
  std::deque<std::string> texts_;  // what index_ refers to; a deque's members stay where they are
  std::unordered_set<std::int32_t> added_;
};

}  // namespace

Result<TokenizerSpec> from_hugging_face(const HuggingFaceFiles& files, std::string what) {
  return Reader(files, std::move(what)).run();
}

}  // namespace nibble
