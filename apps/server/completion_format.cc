// Answers of /v1/completions.
#include <unordered_map>

#include "answer_json.h"
#include "base/utf8.h"

namespace nibble::server {
namespace {

std::int64_t characters_of(std::string_view text) {
  std::int64_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
  return count;
}

class CompletionFormat final : public AnswerFormat {
 public:
  CompletionFormat(AnswerHead head, bool echo) : head_(std::move(head)), echo_(echo) {
    chunk_head_ = json_text(head_json(head_, "text_completion"));
    chunk_head_.pop_back();  // the brace
  }

  std::string begin(const Answer& answer) override {
    return echo_ && !answer.prompt.empty() ? chunk(answer, answer.prompt, Json(), Json()) : std::string();
  }

  std::string delta(const Answer& answer, const AnswerDelta& delta) override {
    std::string text;
    for (const AnswerPiece& piece : delta.pieces) text += piece.text;
    Json logprobs;
    if (head_.logprobs && !delta.tokens.empty()) logprobs = logprobs_json(delta.tokens, offsets_[answer.index]);
    if (text.empty() && logprobs.is_null()) return {};
    return chunk(answer, text, std::move(logprobs), Json());
  }

  std::string finish(const Answer& answer) override {
    return chunk(answer, "", Json(), finish_reason(*answer.outcome));
  }

  std::string usage(const std::vector<Answer>& answers, const Usage& usage) override {
    Json json = head_json(head_, "text_completion");
    json["choices"] = Json::array();
    json["usage"] = usage_json(usage);
    json["timings"] = timings_json(answers);
    return event_text(json_text(json));
  }

  std::string whole(const std::vector<Answer>& answers, const Usage& usage) override {
    Json json = head_json(head_, "text_completion");
    json["choices"] = Json::array();
    for (const Answer& answer : answers) {
      std::int64_t offset = echo_ ? characters_of(answer.prompt) : 0;
      json["choices"].push_back({{"text", echo_ ? answer.prompt + answer.content : answer.content},
                                 {"index", answer.index},
                                 {"logprobs", head_.logprobs ? logprobs_json(answer.tokens, offset) : Json()},
                                 {"finish_reason", finish_reason(*answer.outcome)}});
    }
    json["usage"] = usage_json(usage);
    json["timings"] = timings_json(answers);
    return json_text(json);
  }

 private:
  /// `offset`: where the first token's text begins, in characters; then where the next one's would.
  static Json logprobs_json(const std::vector<GeneratedToken>& tokens, std::int64_t& offset) {
    Json texts = Json::array(), logprobs = Json::array(), tops = Json::array(), offsets = Json::array();
    for (const GeneratedToken& token : tokens) {
      if (!token.logprob) continue;
      const std::string text = repair_utf8(token.logprob->bytes);
      Json top = Json::object();
      for (const TokenLogprob& other : token.top) top[repair_utf8(other.bytes)] = logprob_number(other.logprob);
      top[text] = logprob_number(token.logprob->logprob);
      texts.push_back(text);
      logprobs.push_back(logprob_number(token.logprob->logprob));
      tops.push_back(std::move(top));
      offsets.push_back(offset);
      offset += characters_of(text);
    }
    return {{"tokens", std::move(texts)},
            {"token_logprobs", std::move(logprobs)},
            {"top_logprobs", std::move(tops)},
            {"text_offset", std::move(offsets)}};
  }

  std::string chunk(const Answer& answer, const std::string& text, Json logprobs, Json finish_reason) const {
    const Json choice = {{"text", text},
                         {"index", answer.index},
                         {"logprobs", std::move(logprobs)},
                         {"finish_reason", std::move(finish_reason)}};
    return event_text(chunk_head_ + ",\"choices\":[" + json_text(choice) + "]" +
                      (head_.include_usage ? ",\"usage\":null}" : "}"));
  }

  AnswerHead head_;
  bool echo_;
  std::string chunk_head_;
  std::unordered_map<int, std::int64_t> offsets_;  ///< of each answer's next token, in a stream
};

}  // namespace

std::unique_ptr<AnswerFormat> completion_format(AnswerHead head, bool echo) {
  return std::make_unique<CompletionFormat>(std::move(head), echo);
}

}  // namespace nibble::server
