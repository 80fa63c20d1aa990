#include "answer_json.h"

#include <algorithm>
#include <cmath>

namespace nibble::server {

void add_to(Answer& answer, const AnswerDelta& delta) {
  for (const AnswerPiece& piece : delta.pieces) {
    switch (piece.kind) {
      case AnswerPiece::Kind::kContent:
        answer.content += piece.text;
        break;
      case AnswerPiece::Kind::kCallBegin:
        answer.calls.push_back({piece.id, piece.text, "", false});
        break;
      case AnswerPiece::Kind::kArguments:
        if (!answer.calls.empty()) answer.calls.back().arguments += piece.text;
        break;
      case AnswerPiece::Kind::kCallEnd:
        if (!answer.calls.empty()) answer.calls.back().complete = piece.complete;
        break;
    }
  }
}

std::string json_text(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

void append_item(std::string& items, std::string_view json) {
  if (!items.empty()) items += ',';
  items += json;
}

std::string with_member(std::string object, std::string_view name, std::string_view json) {
  object.pop_back();
  if (object.size() > 1) object += ',';
  object.append("\"").append(name).append("\":").append(json).append("}");
  return object;
}

std::string event_text(const std::string& json) { return "data: " + json + "\n\n"; }

Json head_json(const AnswerHead& head, std::string_view object) {
  return {{"id", head.id},
          {"object", object},
          {"created", head.created},
          {"model", head.model},
          {"system_fingerprint", "nibble-" NIBBLE_VERSION}};
}

Json usage_json(const Usage& u) {
  return {{"prompt_tokens", u.prompt_tokens},
          {"completion_tokens", u.generated_tokens},
          {"total_tokens", u.prompt_tokens + u.generated_tokens},
          {"prompt_tokens_details", {{"cached_tokens", u.cached_tokens}}}};
}

Json timings_json(const std::vector<Answer>& answers) {
  if (answers.size() != 1 || !answers.front().outcome) return {};
  const Outcome& o = *answers.front().outcome;
  const auto rate = [](std::int64_t tokens, double seconds) {
    return seconds > 0 ? static_cast<double>(tokens) / seconds : 0.0;
  };
  const std::int64_t computed = o.prompt_tokens - o.cached_tokens;
  return {{"cache_n", o.cached_tokens},
          {"prompt_n", computed},
          {"prompt_ms", 1e3 * o.prompt_seconds},
          {"prompt_per_second", rate(computed, o.prompt_seconds)},
          {"predicted_n", o.generated_tokens},
          {"predicted_ms", 1e3 * o.decode_seconds},
          {"predicted_per_second", rate(std::max<std::int64_t>(o.generated_tokens - 1, 0), o.decode_seconds)}};
}

std::string_view finish_reason(const Outcome& outcome) {
  return outcome.reason == StopReason::kMaxTokens || outcome.reason == StopReason::kContextFull ? "length" : "stop";
}

double logprob_number(float logprob) { return std::isfinite(logprob) ? static_cast<double>(logprob) : -9999.0; }

}  // namespace nibble::server
