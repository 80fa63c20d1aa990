// Options of loading, generating, evaluating and converting; those of quantizing have a file of their own.
#include "api/c_interface/options.h"

#include <limits>

#include "api/c_interface/choice.h"

namespace nibble::c {
namespace {

nibble_load_options load_defaults() {
  nibble_load_options o{};
  o.size = sizeof(o);
  o.max_running = EngineOptions{}.max_running;
  return o;
}

nibble_generate_options generate_defaults() {
  const GenerateOptions is;
  nibble_generate_options o{};
  o.size = sizeof(o);
  o.temperature = is.sampling.temperature;
  o.top_p = is.sampling.top_p;
  o.min_p = is.sampling.min_p;
  o.repetition_penalty = is.sampling.repetition_penalty;
  o.top_k = is.sampling.top_k;
  o.repeat_last_n = is.sampling.repeat_last_n;
  o.skip_special = 1;
  o.logprobs = -1;
  return o;
}

nibble_evaluate_options evaluate_defaults() {
  nibble_evaluate_options o{};
  o.size = sizeof(o);
  o.context = EvaluateOptions{}.context;
  return o;
}

nibble_convert_options convert_defaults() {
  nibble_convert_options o{};
  o.size = sizeof(o);
  return o;
}

/// Numbers of the client that are counts of something.
Status not_negative(std::int64_t value, const char* what) {
  if (value < 0) return fail(ErrorCode::kInvalidArgument, "{} is {}; 0 or more is possible", what, value);
  return {};
}

/// A number that chooses tokens; what is no number would choose at random.
Status check_finite(float value, const char* what) {
  if (!(value >= -std::numeric_limits<float>::max() && value <= std::numeric_limits<float>::max()))
    return fail(ErrorCode::kInvalidArgument, "{} is no finite number", what);
  return {};
}

}  // namespace

Progress progress_of(nibble_progress function, void* user) {
  if (function == nullptr) return {};
  return [function, user](std::string_view what, std::uint64_t done, std::uint64_t total, std::string_view unit) {
    return function(user, std::string(what).c_str(), done, total, std::string(unit).c_str()) == 0;
  };
}

Status check_threads(std::int32_t threads) {
  if (threads < 0 || threads > 4096)
    return fail(ErrorCode::kInvalidArgument, "{} threads: 0 (all processors) to 4096 can be", threads);
  return {};
}

Result<LoadOptions> load_options(const nibble_load_options* given) {
  NIBBLE_TRY(const nibble_load_options o, read_sized(given, load_defaults(), "nibble_load_options"));
  LoadOptions out;
  NIBBLE_TRY_STATUS(check_threads(o.threads));
  NIBBLE_TRY_STATUS(not_negative(o.context, "context"));
  if (o.kv_bits != 0 && o.kv_bits != 4 && o.kv_bits != 8)
    return fail(ErrorCode::kInvalidArgument, "kv_bits is {}; 0, 4 and 8 are possible", o.kv_bits);
  out.threads = o.threads;
  out.kv_bits = o.kv_bits;
  out.context = o.context;
  NIBBLE_TRY(out.arithmetic,
             choice<Arithmetic>(o.compute, "compute", {{"int8", Arithmetic::kInt8}, {"f32", Arithmetic::kF32}}));
  NIBBLE_TRY(out.head,
             choice<HeadWeights>(
                 o.head, "head",
                 {{"int8", HeadWeights::kInt8}, {"stored", HeadWeights::kStored}, {"scheme", HeadWeights::kScheme}}));
  out.scheme = text_of(o.scheme);
  if (!text_of(o.range).empty()) out.range = o.range;
  out.pack_cache = o.pack_cache != 0;
  out.pack_folder = text_of(o.pack_folder);
  out.memory = o.memory;
  out.progress = progress_of(o.progress, o.user);
  return out;
}

Result<EngineOptions> engine_options(const nibble_load_options* given) {
  NIBBLE_TRY(const nibble_load_options o, read_sized(given, load_defaults(), "nibble_load_options"));
  EngineOptions out;
  out.max_running = o.max_running;
  out.kv_memory = o.kv_memory;
  return out;
}

Result<nibble_generate_options> read_generate_options(const nibble_generate_options* given) {
  return read_sized(given, generate_defaults(), "nibble_generate_options");
}

Result<GenerateOptions> generate_options(const nibble_generate_options& o) {
  GenerateOptions out;
  NIBBLE_TRY_STATUS(not_negative(o.max_tokens, "max_tokens"));
  NIBBLE_TRY_STATUS(not_negative(o.min_tokens, "min_tokens"));
  for (const auto& [value, what] :
       {std::pair(o.temperature, "temperature"), std::pair(o.top_p, "top_p"), std::pair(o.min_p, "min_p"),
        std::pair(o.frequency_penalty, "frequency_penalty"), std::pair(o.presence_penalty, "presence_penalty")})
    NIBBLE_TRY_STATUS(check_finite(value, what));
  if (!(o.repetition_penalty > 0 && o.repetition_penalty <= std::numeric_limits<float>::max()))
    return fail(ErrorCode::kInvalidArgument, "repetition_penalty is {}; it divides, and has to be above 0",
                o.repetition_penalty);
  if (o.logprobs < -1 || o.logprobs > 20)
    return fail(ErrorCode::kInvalidArgument, "logprobs is {}; -1 (none) to 20 are possible", o.logprobs);
  out.max_tokens = o.max_tokens;
  out.min_tokens = o.min_tokens;
  out.ignore_eos = o.ignore_eos != 0;
  out.skip_special = o.skip_special != 0;
  Sampling& s = out.sampling;
  s.seed = o.seed;
  s.temperature = o.temperature;
  s.top_k = o.top_k;
  s.top_p = o.top_p;
  s.min_p = o.min_p;
  s.repetition_penalty = o.repetition_penalty;
  s.repeat_last_n = o.repeat_last_n;
  s.frequency_penalty = o.frequency_penalty;
  s.presence_penalty = o.presence_penalty;
  NIBBLE_TRY(out.stop, strings_of(o.stop, o.stop_count, "stop"));
  NIBBLE_TRY(const auto ids, span_of(o.bias_ids, o.bias_count, "bias_ids"));
  NIBBLE_TRY(const auto values, span_of(o.bias_values, o.bias_count, "bias_values"));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    NIBBLE_TRY_STATUS(check_finite(values[i], "a value of bias_values"));
    s.logit_bias.emplace_back(ids[i], values[i]);
  }
  return out;
}

Result<EvaluateOptions> evaluate_options(const nibble_evaluate_options* given) {
  NIBBLE_TRY(const nibble_evaluate_options o, read_sized(given, evaluate_defaults(), "nibble_evaluate_options"));
  NIBBLE_TRY_STATUS(not_negative(o.chunks, "chunks"));
  EvaluateOptions out;
  out.text_file = text_of(o.text_file);
  if (o.text != nullptr && o.text_length > 0) {
    if (!out.text_file.empty())
      return fail(ErrorCode::kInvalidArgument, "text and text_file are both given; one of them is measured on");
    out.text.assign(o.text, o.text_length);
  }
  out.context = o.context;
  out.chunks = o.chunks;
  out.save_logits = text_of(o.save_logits);
  out.progress = progress_of(o.progress, o.user);
  return out;
}

Result<ConvertOptions> convert_options(const nibble_convert_options* given) {
  NIBBLE_TRY(const nibble_convert_options o, read_sized(given, convert_defaults(), "nibble_convert_options"));
  ConvertOptions out;
  NIBBLE_TRY_STATUS(check_threads(o.threads));
  out.to = text_of(o.to);
  out.lossy = o.lossy != 0;
  out.threads = o.threads;
  out.shard_bytes = o.shard_bytes;
  out.progress = progress_of(o.progress, o.user);
  return out;
}

}  // namespace nibble::c

void nibble_load_options_init(nibble_load_options* options, size_t size) {
  nibble::c::write_sized(options, size, nibble::c::load_defaults());
}
void nibble_generate_options_init(nibble_generate_options* options, size_t size) {
  nibble::c::write_sized(options, size, nibble::c::generate_defaults());
}
void nibble_evaluate_options_init(nibble_evaluate_options* options, size_t size) {
  nibble::c::write_sized(options, size, nibble::c::evaluate_defaults());
}
void nibble_convert_options_init(nibble_convert_options* options, size_t size) {
  nibble::c::write_sized(options, size, nibble::c::convert_defaults());
}
