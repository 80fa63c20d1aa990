// Answers of /v1/chat/completions.
#include <algorithm>
#include <unordered_map>
#include <utility>

#include "answer_json.h"

namespace nibble::server {
namespace {

constexpr std::string_view kNull = "null";

Json bytes_of(const std::string& text) {
  Json bytes = Json::array();
  for (const char c : text) bytes.push_back(static_cast<unsigned char>(c));
  return bytes;
}

Json logprob_json(const TokenLogprob& token) {
  return {{"token", token.bytes}, {"logprob", logprob_number(token.logprob)}, {"bytes", bytes_of(token.bytes)}};
}

/// Adds what "logprobs" says of tokens.
void append_entries(std::string& entries, const std::vector<GeneratedToken>& tokens) {
  for (const GeneratedToken& token : tokens) {
    if (!token.logprob) continue;
    Json entry = logprob_json(*token.logprob);
    entry["top_logprobs"] = Json::array();
    for (const TokenLogprob& other : token.top) entry["top_logprobs"].push_back(logprob_json(other));
    append_item(entries, json_text(entry));
  }
}

std::string logprobs_text(const std::string& entries) { return "{\"content\":[" + entries + "],\"refusal\":null}"; }

Json call_json(const ToolCall& call) {
  return {{"id", call.id}, {"type", "function"}, {"function", {{"name", call.name}, {"arguments", call.arguments}}}};
}

/// What a chunk's delta says of a piece; null: nothing.
Json delta_json(const AnswerPiece& piece) {
  switch (piece.kind) {
    case AnswerPiece::Kind::kContent:
      return {{"content", piece.text}};
    case AnswerPiece::Kind::kCallBegin: {
      Json call = call_json({piece.id, piece.text, "", false});
      Json indexed = {{"index", piece.call}};
      indexed.update(call);
      return {{"tool_calls", Json::array({std::move(indexed)})}};
    }
    case AnswerPiece::Kind::kArguments:
      return {{"tool_calls", Json::array({{{"index", piece.call}, {"function", {{"arguments", piece.text}}}}})}};
    case AnswerPiece::Kind::kCallEnd:
      break;
  }
  return {};
}

class ChatFormat final : public AnswerFormat {
 public:
  explicit ChatFormat(AnswerHead head) : head_(std::move(head)) {
    chunk_head_ = json_text(head_json(head_, "chat.completion.chunk"));
    chunk_head_.pop_back();  // the brace
  }

  std::string begin(const Answer& answer) override {
    return chunk(answer, {{"role", "assistant"}, {"content", ""}, {"refusal", Json()}}, kNull, Json());
  }

  std::string delta(const Answer& answer, const AnswerDelta& delta) override {
    std::string logprobs(kNull);
    if (head_.logprobs && !delta.tokens.empty()) {
      std::string entries;
      append_entries(entries, delta.tokens);
      logprobs = logprobs_text(entries);
    }
    std::string text;
    for (const AnswerPiece& piece : delta.pieces) {
      Json json = delta_json(piece);
      if (json.is_null()) continue;
      text += chunk(answer, std::move(json), std::exchange(logprobs, std::string(kNull)), Json());
    }
    if (logprobs != kNull) text += chunk(answer, {{"content", ""}}, logprobs, Json());
    return text;
  }

  std::string finish(const Answer& answer) override {
    return chunk(answer, Json::object(), kNull, finish_reason_of(answer));
  }

  std::string usage(const std::vector<Answer>& answers, const Usage& usage) override {
    Json json = head_json(head_, "chat.completion.chunk");
    json["choices"] = Json::array();
    json["usage"] = usage_json(usage);
    json["timings"] = timings_json(answers);
    return event_text(json_text(json));
  }

  void keep(const Answer& answer, const AnswerDelta& delta) override {
    if (head_.logprobs) append_entries(entries_[answer.index], delta.tokens);
  }

  std::string whole(const std::vector<Answer>& answers, const Usage& usage) override {
    std::string choices;
    for (const Answer& answer : answers) {
      Json message = {{"role", "assistant"}, {"content", answer.content}, {"refusal", Json()}};
      if (!answer.calls.empty()) {
        if (answer.content.empty()) message["content"] = Json();
        message["tool_calls"] = Json::array();
        for (const ToolCall& call : answer.calls) message["tool_calls"].push_back(call_json(call));
      }
      const Json choice = {
          {"index", answer.index}, {"message", std::move(message)}, {"finish_reason", finish_reason_of(answer)}};
      const std::string entries = std::exchange(entries_[answer.index], {});
      append_item(choices, with_member(json_text(choice), "logprobs",
                                       head_.logprobs ? logprobs_text(entries) : std::string(kNull)));
    }
    Json json = head_json(head_, "chat.completion");
    json["usage"] = usage_json(usage);
    json["timings"] = timings_json(answers);
    return with_member(json_text(json), "choices", "[" + choices + "]");
  }

 private:
  /// Calls that broke off are none to be made.
  static std::string_view finish_reason_of(const Answer& answer) {
    const std::string_view reason = finish_reason(*answer.outcome);
    const bool calls =
        std::any_of(answer.calls.begin(), answer.calls.end(), [](const ToolCall& c) { return c.complete; });
    return reason == "stop" && calls ? "tool_calls" : reason;
  }

  std::string chunk(const Answer& answer, Json delta, std::string_view logprobs, Json finish_reason) const {
    const Json choice = {
        {"index", answer.index}, {"delta", std::move(delta)}, {"finish_reason", std::move(finish_reason)}};
    return event_text(chunk_head_ + ",\"choices\":[" + with_member(json_text(choice), "logprobs", logprobs) + "]" +
                      (head_.include_usage ? ",\"usage\":null}" : "}"));
  }

  AnswerHead head_;
  std::string chunk_head_;
  std::unordered_map<int, std::string> entries_;  ///< of each answer's log probabilities, for whole()
};

}  // namespace

std::unique_ptr<AnswerFormat> chat_format(AnswerHead head) { return std::make_unique<ChatFormat>(std::move(head)); }

}  // namespace nibble::server
