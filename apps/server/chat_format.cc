// Answers of /v1/chat/completions.
#include "answer_json.h"

namespace nibble::server {
namespace {

Json bytes_of(const std::string& text) {
  Json bytes = Json::array();
  for (const char c : text) bytes.push_back(static_cast<unsigned char>(c));
  return bytes;
}

Json logprob_json(const TokenLogprob& token) {
  return {{"token", token.bytes}, {"logprob", logprob_number(token.logprob)}, {"bytes", bytes_of(token.bytes)}};
}

Json logprobs_json(const std::vector<GeneratedToken>& tokens) {
  Json content = Json::array();
  for (const GeneratedToken& token : tokens) {
    if (!token.logprob) continue;
    Json entry = logprob_json(*token.logprob);
    entry["top_logprobs"] = Json::array();
    for (const TokenLogprob& other : token.top) entry["top_logprobs"].push_back(logprob_json(other));
    content.push_back(std::move(entry));
  }
  return {{"content", std::move(content)}, {"refusal", Json()}};
}

Json call_json(const ToolCall& call) {
  return {{"id", call.id}, {"type", "function"}, {"function", {{"name", call.name}, {"arguments", call.arguments}}}};
}

/// What a chunk's delta says of a piece; null: nothing.
Json delta_json(const AnswerPiece& piece) {
  switch (piece.kind) {
    case AnswerPiece::Kind::kContent:
      return {{"content", piece.text}};
    case AnswerPiece::Kind::kCallBegin: {
      Json call = call_json({piece.id, piece.text, ""});
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
    return chunk(answer, {{"role", "assistant"}, {"content", ""}, {"refusal", Json()}}, Json(), Json());
  }

  std::string delta(const Answer& answer, const AnswerDelta& delta) override {
    Json logprobs;
    if (head_.logprobs && !delta.tokens.empty()) logprobs = logprobs_json(delta.tokens);
    std::string text;
    for (const AnswerPiece& piece : delta.pieces) {
      Json json = delta_json(piece);
      if (json.is_null()) continue;
      text += chunk(answer, std::move(json), std::exchange(logprobs, Json()), Json());
    }
    if (!logprobs.is_null()) text += chunk(answer, {{"content", ""}}, std::move(logprobs), Json());
    return text;
  }

  std::string finish(const Answer& answer) override {
    return chunk(answer, Json::object(), Json(), finish_reason_of(answer));
  }

  std::string usage(const std::vector<Answer>& answers, const Usage& usage) override {
    Json json = head_json(head_, "chat.completion.chunk");
    json["choices"] = Json::array();
    json["usage"] = usage_json(usage);
    json["timings"] = timings_json(answers);
    return event_text(json_text(json));
  }

  std::string whole(const std::vector<Answer>& answers, const Usage& usage) override {
    Json json = head_json(head_, "chat.completion");
    json["choices"] = Json::array();
    for (const Answer& answer : answers) {
      Json message = {{"role", "assistant"}, {"content", answer.content}, {"refusal", Json()}};
      if (!answer.calls.empty()) {
        if (answer.content.empty()) message["content"] = Json();
        message["tool_calls"] = Json::array();
        for (const ToolCall& call : answer.calls) message["tool_calls"].push_back(call_json(call));
      }
      json["choices"].push_back({{"index", answer.index},
                                 {"message", std::move(message)},
                                 {"logprobs", head_.logprobs ? logprobs_json(answer.tokens) : Json()},
                                 {"finish_reason", finish_reason_of(answer)}});
    }
    json["usage"] = usage_json(usage);
    json["timings"] = timings_json(answers);
    return json_text(json);
  }

 private:
  static std::string_view finish_reason_of(const Answer& answer) {
    const std::string_view reason = finish_reason(*answer.outcome);
    return reason == "stop" && !answer.calls.empty() ? "tool_calls" : reason;
  }

  std::string chunk(const Answer& answer, Json delta, Json logprobs, Json finish_reason) const {
    const Json choice = {{"index", answer.index},
                         {"delta", std::move(delta)},
                         {"logprobs", std::move(logprobs)},
                         {"finish_reason", std::move(finish_reason)}};
    return event_text(chunk_head_ + ",\"choices\":[" + json_text(choice) + "]" +
                      (head_.include_usage ? ",\"usage\":null}" : "}"));
  }

  AnswerHead head_;
  std::string chunk_head_;
};

}  // namespace

std::unique_ptr<AnswerFormat> chat_format(AnswerHead head) { return std::make_unique<ChatFormat>(std::move(head)); }

}  // namespace nibble::server
