// Which key of a dictionary is which field of the C interface's options. Texts of an evaluation and progress functions
// are not in them.
#pragma once

#include <array>
#include <cstddef>

#include "fields.h"
#include "nibble/nibble.h"

namespace nibble::python {

#define NIBBLE_FIELD(type, name, kind) \
  Field { #name, FieldType::kind, offsetof(type, name) }
#define NIBBLE_LIST(type, name, pointer, count) \
  Field { name, FieldType::kTexts, offsetof(type, pointer), offsetof(type, count) }

inline constexpr std::array kLoadFields = {
    NIBBLE_FIELD(nibble_load_options, threads, kInt32),    NIBBLE_FIELD(nibble_load_options, kv_bits, kInt32),
    NIBBLE_FIELD(nibble_load_options, context, kInt64),    NIBBLE_FIELD(nibble_load_options, compute, kText),
    NIBBLE_FIELD(nibble_load_options, scheme, kText),      NIBBLE_FIELD(nibble_load_options, range, kText),
    NIBBLE_FIELD(nibble_load_options, head, kText),        NIBBLE_FIELD(nibble_load_options, pack_folder, kText),
    NIBBLE_FIELD(nibble_load_options, pack_cache, kInt32), NIBBLE_FIELD(nibble_load_options, max_running, kInt32),
    NIBBLE_FIELD(nibble_load_options, memory, kUInt64),    NIBBLE_FIELD(nibble_load_options, kv_memory, kUInt64),
};

inline constexpr std::array kGenerateFields = {
    NIBBLE_FIELD(nibble_generate_options, max_tokens, kInt64),
    NIBBLE_FIELD(nibble_generate_options, min_tokens, kInt64),
    NIBBLE_FIELD(nibble_generate_options, seed, kUInt64),
    NIBBLE_FIELD(nibble_generate_options, temperature, kFloat),
    NIBBLE_FIELD(nibble_generate_options, top_p, kFloat),
    NIBBLE_FIELD(nibble_generate_options, min_p, kFloat),
    NIBBLE_FIELD(nibble_generate_options, repetition_penalty, kFloat),
    NIBBLE_FIELD(nibble_generate_options, frequency_penalty, kFloat),
    NIBBLE_FIELD(nibble_generate_options, presence_penalty, kFloat),
    NIBBLE_FIELD(nibble_generate_options, top_k, kInt32),
    NIBBLE_FIELD(nibble_generate_options, repeat_last_n, kInt32),
    NIBBLE_FIELD(nibble_generate_options, ignore_eos, kInt32),
    NIBBLE_FIELD(nibble_generate_options, skip_special, kInt32),
    NIBBLE_FIELD(nibble_generate_options, logprobs, kInt32),
    NIBBLE_LIST(nibble_generate_options, "stop", stop, stop_count),
};

inline constexpr std::array kEvaluateFields = {
    NIBBLE_FIELD(nibble_evaluate_options, text_file, kText),
    NIBBLE_FIELD(nibble_evaluate_options, context, kInt64),
    NIBBLE_FIELD(nibble_evaluate_options, chunks, kInt64),
    NIBBLE_FIELD(nibble_evaluate_options, save_logits, kText),
};

inline constexpr std::array kQuantizeFields = {
    NIBBLE_FIELD(nibble_quantize_options, method, kText),
    NIBBLE_FIELD(nibble_quantize_options, scheme, kText),
    NIBBLE_FIELD(nibble_quantize_options, target_bpw, kDouble),
    NIBBLE_FIELD(nibble_quantize_options, target_size, kUInt64),
    NIBBLE_LIST(nibble_quantize_options, "candidates", candidates, candidate_count),
    NIBBLE_LIST(nibble_quantize_options, "overrides", overrides, override_count),
    NIBBLE_FIELD(nibble_quantize_options, to, kText),
    NIBBLE_FIELD(nibble_quantize_options, range, kText),
    NIBBLE_FIELD(nibble_quantize_options, imatrix, kText),
    NIBBLE_FIELD(nibble_quantize_options, statistics, kText),
    NIBBLE_LIST(nibble_quantize_options, "calibration", calibration, calibration_count),
    NIBBLE_FIELD(nibble_quantize_options, samples, kInt64),
    NIBBLE_FIELD(nibble_quantize_options, calibration_context, kInt64),
    NIBBLE_FIELD(nibble_quantize_options, seed, kUInt64),
    NIBBLE_FIELD(nibble_quantize_options, chat_template, kInt32),
    NIBBLE_FIELD(nibble_quantize_options, per_document, kInt32),
    NIBBLE_FIELD(nibble_quantize_options, damping, kDouble),
    NIBBLE_FIELD(nibble_quantize_options, act_order, kText),
    NIBBLE_FIELD(nibble_quantize_options, importance, kText),
    NIBBLE_FIELD(nibble_quantize_options, iterations, kInt32),
    NIBBLE_FIELD(nibble_quantize_options, bias_correction, kInt32),
    NIBBLE_FIELD(nibble_quantize_options, quantize_head, kInt32),
    NIBBLE_FIELD(nibble_quantize_options, resume, kInt32),
    NIBBLE_FIELD(nibble_quantize_options, max_memory, kUInt64),
    NIBBLE_FIELD(nibble_quantize_options, report, kText),
    NIBBLE_FIELD(nibble_quantize_options, report_text, kText),
    NIBBLE_FIELD(nibble_quantize_options, shard_bytes, kUInt64),
    NIBBLE_FIELD(nibble_quantize_options, threads, kInt32),
};

inline constexpr std::array kConvertFields = {
    NIBBLE_FIELD(nibble_convert_options, to, kText),
    NIBBLE_FIELD(nibble_convert_options, lossy, kInt32),
    NIBBLE_FIELD(nibble_convert_options, threads, kInt32),
    NIBBLE_FIELD(nibble_convert_options, shard_bytes, kUInt64),
};

#undef NIBBLE_FIELD
#undef NIBBLE_LIST

}  // namespace nibble::python
