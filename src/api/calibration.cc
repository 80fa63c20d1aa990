#include "api/calibration.h"

#include <algorithm>
#include <span>
#include <utility>

#include "api/calibration_documents.h"
#include "api/text_windows.h"
#include "base/log.h"
#include "nibble/evaluate.h"

namespace nibble {
namespace {

/// Windows of documents: of all of them back to back, or the beginning of each that is long enough.
std::vector<std::vector<std::int32_t>> windows_of(const std::vector<std::vector<std::int32_t>>& documents,
                                                  std::int64_t tokens, bool per_document) {
  std::vector<std::vector<std::int32_t>> out;
  std::vector<std::int32_t> all;
  for (const std::vector<std::int32_t>& ids : documents) {
    if (!per_document) {
      all.insert(all.end(), ids.begin(), ids.end());
    } else if (static_cast<std::int64_t>(ids.size()) >= tokens) {
      out.emplace_back(ids.begin(), ids.begin() + tokens);
    }
  }
  const auto count = static_cast<std::int64_t>(all.size()) / tokens;
  for (std::int64_t w = 0; w < count; ++w) out.emplace_back(all.begin() + w * tokens, all.begin() + (w + 1) * tokens);
  return out;
}

/// A window of `context` ids: BOS stands in front where there is room for it.
void append_window(const Tokenizer& tokenizer, std::int64_t context, std::span<const std::int32_t> ids,
                   std::vector<std::int32_t>& out) {
  if (static_cast<std::int64_t>(ids.size()) < context) out.push_back(*tokenizer.bos());
  out.insert(out.end(), ids.begin(), ids.end());
}

/// As many windows of each text as of the others where they are long enough, and what is left of each behind them.
struct DividedTexts {
  std::vector<std::int32_t> taken;              ///< windows, BOS in front where the tokenizer adds it
  std::vector<std::vector<std::int32_t>> rest;  ///< by text
};

Result<DividedTexts> divide_texts(const ModelFiles& files, const CalibrationOptions& options, std::int64_t context) {
  NIBBLE_TRY(const DocumentReader reader, DocumentReader::create(files, options));
  DividedTexts out;
  const auto texts = static_cast<std::int64_t>(options.texts.size());
  std::int64_t left = options.samples;
  for (std::int64_t i = 0; i < texts; ++i) {
    const std::string& file = options.texts[static_cast<std::size_t>(i)];
    NIBBLE_TRY(const auto documents, reader.read(file));
    const bool is_ids = file.ends_with(".tokens");
    const std::int64_t tokens = is_ids ? context : text_tokens_of_window(reader.tokenizer(), context);
    const std::vector<std::vector<std::int32_t>> windows =
        windows_of(documents, tokens, options.per_document || is_ids);
    if (windows.empty())
      return fail(ErrorCode::kInvalidArgument,
                  "{}: {} than one window of {} tokens; give a longer text or a smaller --ctx", file,
                  options.per_document ? "no document is longer" : "less", context);
    const auto share = static_cast<std::size_t>((left + texts - i - 1) / (texts - i));
    const std::size_t count = std::min(share, windows.size());
    for (std::size_t w = 0; w < count; ++w) append_window(reader.tokenizer(), context, windows[w], out.taken);
    left -= static_cast<std::int64_t>(count);
    out.rest.emplace_back();
    for (std::size_t w = count; w < windows.size(); ++w)
      out.rest.back().insert(out.rest.back().end(), windows[w].begin(), windows[w].end());
  }
  return out;
}

}  // namespace

Result<std::int64_t> calibration_window(const ModelFiles& files, const CalibrationOptions& options) {
  const std::int64_t window =
      options.context > 0 ? options.context : std::min<std::int64_t>(1024, files.config().max_position_embeddings);
  NIBBLE_TRY_STATUS(check_window(window, files));
  if (options.samples < 1)
    return fail(ErrorCode::kInvalidArgument, "--samples {}: calibration needs at least one window", options.samples);
  return window;
}

Result<CalibrationTokens> calibration_tokens(const std::string& path, const ModelFiles& files,
                                             const CalibrationOptions& options, int threads, const Progress& progress) {
  CalibrationTokens out;
  NIBBLE_TRY(out.window, calibration_window(files, options));
  if (options.texts.empty()) {
    log_info("no --calibration text: calibrating on {} windows that the model writes itself", options.samples);
    LoadOptions load;
    load.threads = threads;
    load.progress = progress;
    NIBBLE_TRY(out.ids, sample_windows(path, options.samples, out.window, options.seed, load));
    return out;
  }
  NIBBLE_TRY(DividedTexts texts, divide_texts(files, options, out.window));
  out.ids = std::move(texts.taken);
  const std::int64_t found = static_cast<std::int64_t>(out.ids.size()) / out.window;
  if (found < options.samples) log_info("the calibration texts hold {} of {} windows", found, options.samples);
  return out;
}

Result<CalibrationTokens> held_out_tokens(const ModelFiles& files, const CalibrationOptions& options,
                                          std::int64_t windows, std::int64_t context) {
  NIBBLE_TRY(const std::int64_t calibrated, calibration_window(files, options));
  NIBBLE_TRY(const DividedTexts texts, divide_texts(files, options, calibrated));
  NIBBLE_TRY(const std::shared_ptr<const Tokenizer> tokenizer, tokenizer_of(files));
  CalibrationTokens out;
  out.window = context;
  const auto count = static_cast<std::int64_t>(texts.rest.size());
  for (std::int64_t i = 0; i < count; ++i) {
    const auto rest =
        windows_of({texts.rest[static_cast<std::size_t>(i)]}, text_tokens_of_window(*tokenizer, context), false);
    const std::int64_t left = windows - static_cast<std::int64_t>(out.ids.size()) / context;
    const auto share = static_cast<std::size_t>((left + count - i - 1) / (count - i));
    for (std::size_t w = 0; w < std::min(share, rest.size()); ++w) append_window(*tokenizer, context, rest[w], out.ids);
  }
  return out;
}

}  // namespace nibble
