// nibble/evaluate.h
#include "nibble/evaluate.h"

#include <algorithm>

#include "api/boundary.h"
#include "api/heartbeat.h"
#include "api/loaded_model.h"
#include "api/model_on_cpu.h"
#include "api/text_windows.h"
#include "api/written_windows.h"
#include "eval/lockstep.h"

namespace nibble {
namespace {

/// The windows that the options name; without a text and ids those of `saved`.
Result<std::vector<std::int32_t>> windows_of(const EvaluateOptions& options, const ModelFiles& files,
                                             const LogitsFile* saved) {
  if (options.tokens.empty() && !(options.text_file.empty() && options.text.empty())) {
    NIBBLE_TRY(const std::shared_ptr<const Tokenizer> tokenizer, tokenizer_of(files));
    if (!options.text.empty())
      return windows_of_string(*tokenizer, options.text, "the text", options.context, options.chunks);
    return windows_of_text(*tokenizer, options.text_file, options.context, options.chunks);
  }
  if (options.tokens.empty() && saved == nullptr)
    return fail(ErrorCode::kInvalidArgument,
                "there is no text to evaluate on: give one, or as the baseline a file of logits that were saved");
  std::vector<std::int32_t> tokens = options.tokens;
  if (tokens.empty() && saved != nullptr) tokens.assign(saved->tokens().begin(), saved->tokens().end());
  const std::size_t windows = tokens.size() / static_cast<std::size_t>(options.context);
  if (windows == 0)
    return fail(ErrorCode::kInvalidArgument, "{} tokens are less than one window of {}; use a shorter --ctx",
                tokens.size(), options.context);
  const auto wanted = options.chunks > 0 ? static_cast<std::size_t>(options.chunks) : windows;
  tokens.resize(std::min(windows, wanted) * static_cast<std::size_t>(options.context));
  return tokens;
}

Status check_saved(const LogitsFile& saved, std::span<const std::int32_t> tokens, std::int64_t context) {
  if (saved.context() != context)
    return fail(ErrorCode::kInvalidArgument, "{}: holds logits of windows of {} tokens, not of {}; use --ctx {}",
                saved.path(), saved.context(), context, saved.context());
  if (tokens.size() > saved.tokens().size())
    return fail(ErrorCode::kInvalidArgument, "{}: holds logits of {} windows, not of {}; use --chunks {}", saved.path(),
                saved.windows(), static_cast<std::int64_t>(tokens.size()) / context, saved.windows());
  if (!std::equal(tokens.begin(), tokens.end(), saved.tokens().begin()))
    return fail(ErrorCode::kInvalidArgument,
                "{}: holds logits of other tokens than these; leave the text out to evaluate on those in the file",
                saved.path());
  return {};
}

}  // namespace

LoadOptions baseline_of(LoadOptions model) {
  model.scheme.clear();
  model.kv_bits = 0;
  return model;
}

Result<Evaluation> evaluate(const std::string& model, const std::string& baseline, const EvaluateOptions& given) {
  return at_boundary([&]() -> Result<Evaluation> {
    EvaluateOptions options = given;
    const Heartbeat heartbeat(options.progress);
    std::shared_ptr<const LogitsFile> saved;
    if (!baseline.empty() && LogitsFile::is_one(baseline)) {
      NIBBLE_TRY(saved, LogitsFile::open(baseline));
    }
    if (options.model.memory > 0 && !baseline.empty() && !saved)
      return fail(
          ErrorCode::kInvalidArgument,
          "--memory holds for one model; evaluate {} with --save-logits first and name that file as the baseline",
          baseline);
    LoadOptions load = options.model;
    load.context = options.context;
    NIBBLE_TRY(LoadedModel loaded, load_model(model, load));
    NIBBLE_TRY_STATUS(check_window(options.context, *loaded.files));
    NIBBLE_TRY(const std::vector<std::int32_t> tokens, windows_of(options, *loaded.files, saved.get()));
    LoadedModel base;
    std::unique_ptr<Baseline> beside;
    if (saved) {
      NIBBLE_TRY_STATUS(check_saved(*saved, tokens, options.context));
      beside = baseline_of(saved);
    } else if (!baseline.empty()) {
      LoadOptions base_load = options.baseline;
      base_load.context = options.context;
      NIBBLE_TRY(base, load_model(baseline, base_load, loaded.pool));
      beside = baseline_of(*base.executor);
    }
    if (options.save_logits.empty())
      return evaluate_windows(*loaded.executor, beside.get(), nullptr, tokens, options.context, options.progress);
    NIBBLE_TRY(LogitsWriter writer,
               LogitsWriter::create(options.save_logits, tokens, options.context, loaded.weights->config().vocab_size));
    NIBBLE_TRY(Evaluation evaluation,
               evaluate_windows(*loaded.executor, beside.get(), &writer, tokens, options.context, options.progress));
    NIBBLE_TRY_STATUS(writer.commit());
    return evaluation;
  });
}

Result<Evaluation> evaluate(Model& model, const EvaluateOptions& given) {
  return at_boundary([&]() -> Result<Evaluation> {
    EvaluateOptions options = given;
    const Heartbeat heartbeat(options.progress);
    const auto* on_cpu = dynamic_cast<ModelOnCpu*>(&model);
    if (on_cpu == nullptr) return fail(ErrorCode::kInvalidArgument, "evaluation needs a model that Model::load gave");
    const LoadedModel& loaded = on_cpu->loaded();
    NIBBLE_TRY_STATUS(check_window(options.context, *loaded.files));
    if (options.context > model.context())
      return fail(ErrorCode::kInvalidArgument, "windows of {} tokens: the model was loaded with a context of {}",
                  options.context, model.context());
    NIBBLE_TRY(const std::vector<std::int32_t> tokens, windows_of(options, *loaded.files, nullptr));
    // An executor of its own: its batches are not the sessions'.
    CpuExecutor executor(loaded.weights, loaded.pool, loaded.run);
    return evaluate_windows(executor, nullptr, nullptr, tokens, options.context, options.progress);
  });
}

Result<std::vector<std::int32_t>> sample_windows(const std::string& model, std::int64_t windows, std::int64_t context,
                                                 std::uint64_t seed, const LoadOptions& options) {
  return at_boundary([&]() -> Result<std::vector<std::int32_t>> {
    return write_windows(model, {windows, context, seed, windows}, options);
  });
}

}  // namespace nibble
