#include "api/calibration.h"

#include <algorithm>
#include <span>
#include <utility>

#include "api/calibration_documents.h"
#include "api/text_windows.h"
#include "api/written_windows.h"
#include "base/log.h"

namespace nibble {
namespace {

/// A window of `context` ids: BOS stands in front where there is room for it.
void append_window(const Tokenizer& tokenizer, std::int64_t context, std::span<const std::int32_t> ids,
                   std::vector<std::int32_t>& out) {
  if (static_cast<std::int64_t>(ids.size()) < context) out.push_back(*tokenizer.bos());
  out.insert(out.end(), ids.begin(), ids.end());
}

/// Windows of `context` tokens, behind those that are calibrated on.
struct HeldOut {
  std::int64_t windows = 0;
  std::int64_t context = 0;
};

/// Windows back to back, BOS in front of each where the tokenizer adds it.
struct DividedTexts {
  std::vector<std::int32_t> taken;
  std::vector<std::int32_t> held_out;
};

/// What is left for text number `i` when all and those before it have had their parts.
std::int64_t share_of(std::int64_t left, std::int64_t texts, std::int64_t i) {
  return (left + texts - i - 1) / (texts - i);
}

/// As many windows of each text as of the others where they are long enough, and of what is left of each.
Result<DividedTexts> divide_texts(const ModelFiles& files, const CalibrationOptions& options, std::int64_t context,
                                  const HeldOut& held_out) {
  NIBBLE_TRY(const DocumentReader reader, DocumentReader::create(files, options));
  DividedTexts out;
  const auto texts = static_cast<std::int64_t>(options.texts.size());
  const std::int64_t held_tokens = text_tokens_of_window(reader.tokenizer(), held_out.context);
  std::int64_t left = options.samples;
  std::int64_t held_left = held_out.windows;
  for (std::int64_t i = 0; i < texts; ++i) {
    const std::string& file = options.texts[static_cast<std::size_t>(i)];
    const bool is_ids = file.ends_with(".tokens");
    const std::int64_t tokens = is_ids ? context : text_tokens_of_window(reader.tokenizer(), context);
    const std::int64_t share = share_of(left, texts, i);
    const std::int64_t held_share = share_of(held_left, texts, i);
    const std::int64_t behind = (held_share * held_tokens + tokens - 1) / tokens;
    NIBBLE_TRY(const auto windows, reader.windows(file, tokens, std::max<std::int64_t>(share + behind, 1)));
    if (windows.empty())
      return fail(ErrorCode::kInvalidArgument,
                  "{}: {} than one window of {} tokens; give a longer text or a smaller --ctx", file,
                  options.per_document ? "no document is longer" : "less", context);
    const std::size_t count = std::min(static_cast<std::size_t>(share), windows.size());
    for (std::size_t w = 0; w < count; ++w) append_window(reader.tokenizer(), context, windows[w], out.taken);
    left -= static_cast<std::int64_t>(count);
    std::vector<std::int32_t> rest;
    for (std::size_t w = count; w < windows.size(); ++w) rest.insert(rest.end(), windows[w].begin(), windows[w].end());
    const std::size_t held_size = std::min(rest.size(), static_cast<std::size_t>(held_share * held_tokens));
    for (std::span<const std::int32_t> ids(rest.data(), held_size);
         held_share > 0 && static_cast<std::int64_t>(ids.size()) >= held_tokens;
         ids = ids.subspan(static_cast<std::size_t>(held_tokens)), --held_left)
      append_window(reader.tokenizer(), held_out.context, ids.first(static_cast<std::size_t>(held_tokens)),
                    out.held_out);
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
                                             const CalibrationOptions& options, int threads, std::uint64_t max_memory,
                                             const Progress& progress) {
  CalibrationTokens out;
  NIBBLE_TRY(out.window, calibration_window(files, options));
  if (options.texts.empty()) {
    log_info("no --calibration text: calibrating on {} windows that the model writes itself", options.samples);
    LoadOptions load;
    load.threads = threads;
    load.progress = progress;
    WrittenWindows wanted{options.samples, out.window, options.seed};
    NIBBLE_TRY(wanted.at_once, windows_at_once(files, wanted, max_memory, "--calibration"));
    NIBBLE_TRY(out.ids, write_windows(path, wanted, load));
    return out;
  }
  NIBBLE_TRY(DividedTexts texts, divide_texts(files, options, out.window, {}));
  out.ids = std::move(texts.taken);
  const std::int64_t found = static_cast<std::int64_t>(out.ids.size()) / out.window;
  if (found < options.samples) log_info("the calibration texts hold {} of {} windows", found, options.samples);
  return out;
}

Result<CalibrationTokens> held_out_tokens(const ModelFiles& files, const CalibrationOptions& options,
                                          std::int64_t windows, std::int64_t context) {
  NIBBLE_TRY(const std::int64_t calibrated, calibration_window(files, options));
  NIBBLE_TRY(DividedTexts texts, divide_texts(files, options, calibrated, {windows, context}));
  CalibrationTokens out;
  out.window = context;
  out.ids = std::move(texts.held_out);
  return out;
}

}  // namespace nibble
