#include "api/calibration.h"

#include <algorithm>

#include "api/text_windows.h"
#include "base/log.h"
#include "nibble/evaluate.h"

namespace nibble {

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
  NIBBLE_TRY(const std::shared_ptr<const Tokenizer> tokenizer, tokenizer_of(files));
  const auto texts = static_cast<std::int64_t>(options.texts.size());
  std::int64_t left = options.samples;
  for (std::int64_t i = 0; i < texts && left > 0; ++i) {
    const std::int64_t share = (left + texts - i - 1) / (texts - i);
    NIBBLE_TRY(const std::vector<std::int32_t> ids,
               windows_of_text(*tokenizer, options.texts[static_cast<std::size_t>(i)], out.window, share));
    out.ids.insert(out.ids.end(), ids.begin(), ids.end());
    left -= static_cast<std::int64_t>(ids.size()) / out.window;
  }
  if (left > 0) log_info("the calibration texts hold {} of {} windows", options.samples - left, options.samples);
  return out;
}

}  // namespace nibble
