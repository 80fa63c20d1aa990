#include "api/written_windows.h"

#include <algorithm>

#include "api/loaded_model.h"
#include "api/memory_bound.h"
#include "api/text_windows.h"
#include "run/sampling.h"

namespace nibble {
namespace {

/// The windows that are written together.
class Writer {
 public:
  Writer(LoadedModel& model, const WrittenWindows& wanted, const Progress& progress)
      : model_(model),
        progress_(progress),
        context_(static_cast<std::size_t>(wanted.context)),
        windows_(static_cast<std::size_t>(wanted.windows)),
        seed_(wanted.seed) {}

  /// Windows [begin, end), of which `tokens` holds all; the first token of each stands there.
  Status write(std::size_t begin, std::size_t end, std::vector<std::int32_t>& tokens) {
    std::vector<std::unique_ptr<Sequence>> sequences;
    std::vector<Sampler> samplers;
    for (std::size_t w = begin; w < end; ++w) {
      sequences.push_back(model_.executor->new_sequence());
      samplers.push_back(sampler(w));
    }
    const auto vocab = static_cast<std::size_t>(model_.weights->config().vocab_size);
    for (std::size_t position = 0; position + 1 < context_; ++position) {
      std::vector<BatchItem> batch;
      for (std::size_t w = begin; w < end; ++w)
        batch.push_back({sequences[w - begin].get(), {&tokens[w * context_ + position], 1}, BatchItem::Logits::kLast});
      NIBBLE_TRY_STATUS(
          model_.executor->forward(batch, [&](std::size_t item, std::int64_t, std::int64_t, const float* logits) {
            tokens[(begin + item) * context_ + position + 1] = samplers[item].sample({logits, vocab});
          }));
      if (progress_ &&
          !progress_("sampling", begin * context_ + (position + 1) * (end - begin), context_ * windows_, "tokens"))
        return fail(ErrorCode::kCancelled, "sampling was stopped");
    }
    return {};
  }

 private:
  Sampler sampler(std::size_t window) const {
    Sampling sampling;
    sampling.temperature = 1.0f;
    sampling.top_k = 0;
    sampling.top_p = 1.0f;
    sampling.min_p = 0.0f;
    sampling.seed = seed_ * 1000003u + window;
    return Sampler(sampling);
  }

  LoadedModel& model_;
  const Progress& progress_;
  std::size_t context_;
  std::size_t windows_;
  std::uint64_t seed_;
};

}  // namespace

Result<std::int64_t> windows_at_once(const ModelFiles& files, const WrittenWindows& wanted, std::uint64_t max_memory,
                                     std::string_view flag) {
  if (max_memory == 0) return wanted.windows;
  NIBBLE_TRY(const WritingMemory needs, writing_memory(files, wanted.context));
  if (needs.model + needs.of_window > max_memory)
    return fail(ErrorCode::kInvalidArgument,
                "--max-memory {} MB: without {} the model itself writes the text, and for that all of {} is loaded, {} "
                "MB; give a text",
                max_memory / 1'000'000, flag, files.path(), (needs.model + needs.of_window) / 1'000'000 + 1);
  const std::uint64_t fit = (max_memory - needs.model) / needs.of_window;
  return static_cast<std::int64_t>(std::min(fit, static_cast<std::uint64_t>(wanted.windows)));
}

Result<std::vector<std::int32_t>> write_windows(const std::string& model, const WrittenWindows& wanted,
                                                const LoadOptions& options) {
  LoadOptions load = options;
  load.context = wanted.context;
  NIBBLE_TRY(LoadedModel loaded, load_model(model, load));
  NIBBLE_TRY_STATUS(check_window(wanted.context, *loaded.files));
  NIBBLE_TRY(const std::shared_ptr<const Tokenizer> tokenizer, tokenizer_of(*loaded.files));
  const std::optional<std::int32_t> first = tokenizer->bos() ? tokenizer->bos() : tokenizer->eos();
  if (!first) return fail(ErrorCode::kUnsupported, "{}: the tokenizer has no token to begin a text with", model);
  const auto count = static_cast<std::size_t>(wanted.windows);
  const auto context = static_cast<std::size_t>(wanted.context);
  std::vector<std::int32_t> tokens(count * context);
  for (std::size_t w = 0; w < count; ++w) tokens[w * context] = *first;
  Writer writer(loaded, wanted, options.progress);
  const auto at_once = static_cast<std::size_t>(std::max<std::int64_t>(wanted.at_once, 1));
  for (std::size_t begin = 0; begin < count; begin += at_once)
    NIBBLE_TRY_STATUS(writer.write(begin, std::min(begin + at_once, count), tokens));
  return tokens;
}

}  // namespace nibble
