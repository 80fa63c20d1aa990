// Quantizing a model and converting it between checkpoint families.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nibble/evaluate.h"
#include "nibble/progress.h"
#include "nibble/result.h"

namespace nibble {

/// The text that a calibrated method looks at.
struct CalibrationOptions {
  /// UTF-8 files; none: the model itself writes. Lines of a .jsonl file are objects with "text", "messages",
  /// "conversations", or "prompt" and "completion" or "response"; lines of a .tokens file are windows of token ids.
  std::vector<std::string> texts;
  std::int64_t samples = 128;  ///< windows, spread evenly over the texts
  std::int64_t context = 0;    ///< tokens of a window; 0: 1024, or what the model was made for
  std::uint64_t seed = 0;      ///< of what the model writes
  bool chat_template = false;  ///< texts become messages of a user; conversations always go through the template
  bool per_document = false;   ///< a window is the beginning of a document; shorter ones are left out
};

/// What is measured of a quantized model besides the errors of its matrices, on text that was not calibrated on.
enum class ReportLevel {
  kOff,
  kQuick,  ///< 8 windows of 512 tokens
  kFull,   ///< 64 windows
};

/// In which order gptq and best quantize columns, by the size of their inputs.
enum class ActOrder {
  kGroups,  ///< columns within their groups, and groups
  kFull,    ///< columns, and groups of them as they come: with a g_idx
  kStatic,  ///< gptq only: columns, in groups whose scales are chosen before
};

/// By what wnam weighs errors.
enum class ImportanceSource {
  kActivations,  ///< each column by the mean square of its inputs
  kGradients,    ///< each weight by its squared gradients
};

struct QuantizeOptions {
  std::string method = "rtn";  ///< rtn | hqq | gptq | best | awq | awq+gptq | autoround | wnam
  CalibrationOptions calibration;
  /// Calibrated methods: a file of make_statistics(), in place of calibration texts and of running the model; empty:
  /// none.
  std::string statistics;
  double damping = 0.01;  ///< gptq: added to the diagonal of the second moments, as a part of its mean
  ActOrder act_order = ActOrder::kGroups;
  int iterations = 200;  ///< autoround: of each block; 0: rounds to nearest, on scales searched for the inputs
  /// gptq, best, awq, awq+gptq, wnam: what quantizing adds to the mean outputs of linears with a bias is taken back by
  /// it.
  bool bias_correction = false;
  ImportanceSource importance = ImportanceSource::kActivations;  ///< wnam
  std::string scheme;  ///< "int4-g32-sym", ...; into GGUF also llama.cpp's names, "q4_k_m"
  /// With a scheme: "PATTERN=SCHEME" gives linears in whose name (a module's or a GGUF tensor's) the regular expression
  /// is found another one; the last that is found counts. f32, f16 and bf16 leave them in floats. rtn, hqq, gptq and
  /// best; the other methods where linears that share an input keep one scheme, of codes.
  std::vector<std::string> overrides;
  /// In place of a scheme: bits per weight of all matrices, embedding and output head included. Every matrix then gets
  /// a scheme of its own, by how much the model's KL divergence grows. 0: not given.
  double target_bpw = 0;
  std::uint64_t target_size = 0;        ///< the same in bytes of the tensor files; 0: not given
  std::vector<std::string> candidates;  ///< schemes to choose from; none: those that suit family and method
  std::string to;  ///< family; empty: gguf when the output ends in .gguf, else the first that can express the scheme
  std::string range = "full";  ///< full | absmax | gptq | percentile:P | mse
  bool quantize_head = false;  ///< embedding and output head too; llama.cpp's names decide by themselves
  std::string imatrix;         ///< importance matrix of llama.cpp (GGUF or .dat), for llama.cpp's names; empty: none
  /// Calibrated methods: bytes that the process may hold, mapped pages of the model included; what activations need
  /// beyond that waits in a file beside the output. 0: no bound.
  std::uint64_t max_memory = 0;
  /// Calibrated methods: goes on from what an interrupted run with the same options has finished; afresh where there is
  /// none; done at once where the output is whole.
  bool resume = false;
  /// Not given: quick for calibrated methods, else (and with saved statistics, so as not to run the model) off.
  std::optional<ReportLevel> report;
  std::string report_text;  ///< text that the report measures on; empty: the end of the calibration texts, or what the
                            ///< model writes
  int threads = 0;
  std::uint64_t shard_bytes = 0;  ///< 0: the container's default
  Progress progress;
};

struct ConvertOptions {
  std::string to;      ///< gguf[:TYPE] | hf:f32|f16|bf16 | compressed-tensors | nibble
  bool lossy = false;  ///< requantize what the target cannot express
  int threads = 0;
  std::uint64_t shard_bytes = 0;
  Progress progress;
};

/// How bits were chosen within a budget.
struct BitChoiceReport {
  double predicted_kld = 0;  ///< mean KL divergence from the original that is expected of the whole, nats
  /// Some matrices rounded to nearest: the divergence that was predicted for the model, and what it was.
  struct Substitution {
    std::string what;  ///< "down of blocks 0 to 9"
    double bits = 0;   ///< per weight
    double predicted = 0;
    double measured = 0;
  };
  std::vector<Substitution> substitutions;
};

/// What happened to one matrix.
struct TensorReport {
  std::string name;
  std::string source_scheme;
  std::string scheme;
  double bits_per_weight = 0;
  double relative_error = 0;  ///< |w - q| / |w| in the Frobenius norm against the source's values; 0: exact
  bool exact = false;
  bool keeps_codes = false;  ///< the source's codes, at most scales and offsets rounded
  /// Calibrated methods: |x (w - q)^T|^2 / |x w^T|^2 over the calibration tokens' inputs x.
  std::optional<double> output_error;
  std::optional<double> rtn_output_error;  ///< the same, had the weights been rounded to nearest
  double seconds = 0;                      ///< calibrated methods: spent on this matrix alone
};

struct ConversionReport {
  bool was_whole = false;  ///< resume: there was nothing to do, and nothing else of the report is known
  std::string family;
  std::uint64_t bytes = 0;     ///< of the output's tensor files
  double bits_per_weight = 0;  ///< all matrices
  double relative_error = 0;   ///< over all matrices
  std::vector<TensorReport> tensors;
  double seconds = 0;
  std::optional<BitChoiceReport> bit_choice;  ///< where a budget was given
  std::string held_out_text;                  ///< what the model was measured on beside its original
  std::optional<Evaluation> held_out;         ///< in float32 arithmetic
  std::vector<std::string> files;             ///< OUT.report.json and OUT.report.html, where they were written
};

/// The report as JSON.
std::string to_json(const ConversionReport& report);

/// Quantizes the linears of `model` (and, when asked, embedding and head) into `out`. The output appears whole or not
/// at all.
Result<ConversionReport> quantize(const std::string& model, const std::string& out, const QuantizeOptions& options);

/// Converts `model` to another family or container, exactly where the target can express the source.
Result<ConversionReport> convert(const std::string& model, const std::string& out, const ConvertOptions& options);

}  // namespace nibble
