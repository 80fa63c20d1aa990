// Answers of /v1/completions.
#include <unordered_map>
#include <utility>

#include "answer_json.h"
#include "base/utf8.h"

namespace nibble::server {
namespace {

constexpr std::string_view kNull = "null";

std::int64_t characters_of(std::string_view text) {
  std::int64_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
  return count;
}

/// The four lists of "logprobs", as the text between their brackets.
class LogprobLists {
 public:
  /// `offset`: where the first token's text begins, in characters.
  explicit LogprobLists(std::int64_t offset) : offset_(offset) {}

  void add(const std::vector<GeneratedToken>& tokens) {
    for (const GeneratedToken& token : tokens) {
      if (!token.logprob) continue;
      const std::string text = repair_utf8(token.logprob->bytes);
      Json top = Json::object();
      for (const TokenLogprob& other : token.top) top[repair_utf8(other.bytes)] = logprob_number(other.logprob);
      top[text] = logprob_number(token.logprob->logprob);
      append_item(texts_, json_text(text));
      append_item(logprobs_, json_text(logprob_number(token.logprob->logprob)));
      append_item(tops_, json_text(top));
      append_item(offsets_, std::to_string(offset_));
      offset_ += characters_of(text);
    }
  }

  /// The object of all that was added since the last call.
  std::string take() {
    std::string text = "{\"tokens\":[" + std::exchange(texts_, {}) + "],\"token_logprobs\":[" +
                       std::exchange(logprobs_, {}) + "],\"top_logprobs\":[";
    text += std::exchange(tops_, {}) + "],\"text_offset\":[" + std::exchange(offsets_, {}) + "]}";
    return text;
  }

 private:
  std::string texts_, logprobs_, tops_, offsets_;
  std::int64_t offset_;
};

class CompletionFormat final : public AnswerFormat {
 public:
  CompletionFormat(AnswerHead head, bool echo) : head_(std::move(head)), echo_(echo) {
    chunk_head_ = json_text(head_json(head_, "text_completion"));
    chunk_head_.pop_back();  // the brace
  }

  std::string begin(const Answer& answer) override {
    return echo_ && !answer.prompt.empty() ? chunk(answer, answer.prompt, kNull, Json()) : std::string();
  }

  std::string delta(const Answer& answer, const AnswerDelta& delta) override {
    std::string text;
    for (const AnswerPiece& piece : delta.pieces) text += piece.text;
    if (!head_.logprobs || delta.tokens.empty())
      return text.empty() ? std::string() : chunk(answer, text, kNull, Json());
    keep(answer, delta);
    return chunk(answer, text, lists_of(answer).take(), Json());
  }

  std::string finish(const Answer& answer) override { return chunk(answer, "", kNull, finish_reason(*answer.outcome)); }

  std::string usage(const std::vector<Answer>& answers, const Usage& usage) override {
    Json json = head_json(head_, "text_completion");
    json["choices"] = Json::array();
    json["usage"] = usage_json(usage);
    json["timings"] = timings_json(answers);
    return event_text(json_text(json));
  }

  void keep(const Answer& answer, const AnswerDelta& delta) override {
    if (head_.logprobs) lists_of(answer).add(delta.tokens);
  }

  std::string whole(const std::vector<Answer>& answers, const Usage& usage) override {
    std::string choices;
    for (const Answer& answer : answers) {
      const Json choice = {{"text", echo_ ? answer.prompt + answer.content : answer.content},
                           {"index", answer.index},
                           {"finish_reason", finish_reason(*answer.outcome)}};
      append_item(choices, with_member(json_text(choice), "logprobs",
                                       head_.logprobs ? lists_of(answer).take() : std::string(kNull)));
    }
    Json json = head_json(head_, "text_completion");
    json["usage"] = usage_json(usage);
    json["timings"] = timings_json(answers);
    return with_member(json_text(json), "choices", "[" + choices + "]");
  }

 private:
  LogprobLists& lists_of(const Answer& answer) {
    return lists_.try_emplace(answer.index, echo_ ? characters_of(answer.prompt) : 0).first->second;
  }

  std::string chunk(const Answer& answer, const std::string& text, std::string_view logprobs,
                    Json finish_reason) const {
    const Json choice = {{"text", text}, {"index", answer.index}, {"finish_reason", std::move(finish_reason)}};
    return event_text(chunk_head_ + ",\"choices\":[" + with_member(json_text(choice), "logprobs", logprobs) + "]" +
                      (head_.include_usage ? ",\"usage\":null}" : "}"));
  }

  AnswerHead head_;
  bool echo_;
  std::string chunk_head_;
  std::unordered_map<int, LogprobLists> lists_;  ///< of each answer, where they are wanted
};

}  // namespace

std::unique_ptr<AnswerFormat> completion_format(AnswerHead head, bool echo) {
  return std::make_unique<CompletionFormat>(std::move(head), echo);
}

}  // namespace nibble::server
