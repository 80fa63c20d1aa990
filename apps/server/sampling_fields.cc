#include "sampling_fields.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>
#include <random>

namespace nibble::server {
namespace {

constexpr std::size_t kMaxStops = 16;
constexpr std::size_t kMaxStopBytes = 4096;
constexpr std::size_t kMaxStopTokens = 256;
constexpr std::size_t kMaxBiases = 4096;

void read_stop(RequestFields& fields, GenerateOptions& options) {
  const auto stop = fields.strings("stop", kMaxStops);
  if (!stop) return;
  options.stop.clear();
  for (const std::string& text : *stop) {
    if (text.empty() || text.size() > kMaxStopBytes)
      return fields.fail("stop", fmt::format("expected strings of 1 to {} bytes", kMaxStopBytes));
    options.stop.push_back(text);
  }
}

void read_stop_tokens(RequestFields& fields, std::int64_t vocab_size, GenerateOptions& options) {
  const Json* ids = fields.list("stop_token_ids");
  if (ids == nullptr) return;
  if (ids->size() > kMaxStopTokens)
    return fields.fail("stop_token_ids",
                       fmt::format("a list of {}, at most {} are allowed", ids->size(), kMaxStopTokens));
  for (const Json& id : *ids) {
    if (!id.is_number_integer() || id < 0 || id >= vocab_size)
      return fields.fail("stop_token_ids", fmt::format("expected token ids from 0 to {}", vocab_size - 1));
    options.stop_tokens.push_back(id.get<std::int32_t>());
  }
}

void read_logit_bias(RequestFields& fields, std::int64_t vocab_size, Sampling& sampling) {
  const Json* biases = fields.object("logit_bias");
  if (biases == nullptr) return;
  if (biases->size() > kMaxBiases)
    return fields.fail("logit_bias", fmt::format("{} tokens, at most {} are allowed", biases->size(), kMaxBiases));
  for (const auto& [key, value] : biases->items()) {
    std::int32_t id = -1;
    const auto [end, failed] = std::from_chars(key.data(), key.data() + key.size(), id);
    const bool is_id = failed == std::errc() && end == key.data() + key.size() && id >= 0 && id < vocab_size;
    if (!is_id)
      return fields.fail("logit_bias", fmt::format("expected token ids from 0 to {} as keys", vocab_size - 1));
    const double bias = value.is_number() ? value.get<double>() : 1e9;
    if (bias < -100 || bias > 100) return fields.fail("logit_bias", "expected numbers from -100 to 100 as values");
    sampling.logit_bias.emplace_back(id, static_cast<float>(bias));
  }
}

std::uint64_t new_seed() {
  static thread_local std::mt19937_64 random{std::random_device{}()};
  return random();
}

void read_number(RequestFields& fields, std::string_view name, double min, double max, float& out) {
  if (const auto number = fields.number(name, min, max)) out = static_cast<float>(*number);
}

}  // namespace

TextFields read_text_fields(RequestFields& fields) {
  TextFields out;
  out.n = fields.integer("n", 1, kMaxAnswers).value_or(1);
  out.stream = fields.boolean("stream").value_or(false);
  if (const Json* options = fields.object("stream_options")) {
    RequestFields inner(*options, "stream_options.");
    out.include_usage = inner.boolean("include_usage").value_or(false);
    if (inner.error()) fields.fail(*inner.error());
  }
  return out;
}

std::optional<std::int64_t> read_max_tokens(RequestFields& fields, std::string_view name) {
  const auto tokens = fields.integer(name, -1, std::int64_t{1} << 31);
  if (tokens == 0) fields.fail(name, "expected at least 1, or -1 for as many as there is room for");
  return tokens == -1 ? 0 : tokens;
}

GenerateOptions read_sampling(RequestFields& fields, const GenerateOptions& defaults, std::int64_t vocab_size) {
  GenerateOptions options = defaults;
  Sampling& sampling = options.sampling;
  read_number(fields, "temperature", 0, 100, sampling.temperature);
  read_number(fields, "top_p", 0, 1, sampling.top_p);
  read_number(fields, "min_p", 0, 1, sampling.min_p);
  if (const auto top_k = fields.integer("top_k", -1, std::numeric_limits<int>::max()))
    sampling.top_k = static_cast<int>(*top_k);
  read_number(fields, "presence_penalty", -2, 2, sampling.presence_penalty);
  read_number(fields, "frequency_penalty", -2, 2, sampling.frequency_penalty);
  // llama-server's name, and vLLM's.
  for (const std::string_view name : {"repeat_penalty", "repetition_penalty"})
    read_number(fields, name, 0.01, 100, sampling.repetition_penalty);
  if (const auto window = fields.integer("repeat_last_n", -1, std::numeric_limits<int>::max()))
    sampling.repeat_last_n = static_cast<int>(*window);
  read_logit_bias(fields, vocab_size, sampling);
  read_stop(fields, options);
  read_stop_tokens(fields, vocab_size, options);
  options.ignore_eos = fields.boolean("ignore_eos").value_or(defaults.ignore_eos);
  options.min_tokens = fields.integer("min_tokens", 0, std::int64_t{1} << 31).value_or(0);
  const auto seed =
      fields.integer("seed", std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max());
  sampling.seed = seed && *seed != -1 ? static_cast<std::uint64_t>(*seed) : new_seed();
  return options;
}

}  // namespace nibble::server
