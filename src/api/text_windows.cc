#include "api/text_windows.h"

#include <algorithm>

#include "base/mapped_file.h"
#include "model/text_assets.h"

namespace nibble {

Result<std::shared_ptr<const Tokenizer>> tokenizer_of(const ModelFiles& files) {
  NIBBLE_TRY(TextAssets assets, read_text_assets(files.checkpoint()));
  return Tokenizer::create(std::move(assets.tokenizer));
}

Result<std::vector<std::int32_t>> windows_of_text(const Tokenizer& tokenizer, const std::string& file,
                                                  std::int64_t context, std::int64_t chunks) {
  NIBBLE_TRY(const std::string text, read_text_file(file, std::size_t{1} << 30));
  return windows_of_string(tokenizer, text, file, context, chunks);
}

Result<std::vector<std::int32_t>> windows_of_string(const Tokenizer& tokenizer, std::string_view text,
                                                    const std::string& name, std::int64_t context,
                                                    std::int64_t chunks) {
  NIBBLE_TRY(const std::vector<std::int32_t> ids,
             tokenizer.encode(text, {.add_special = false, .parse_special = false}));
  const std::int64_t per_window = text_tokens_of_window(tokenizer, context);
  std::int64_t windows = static_cast<std::int64_t>(ids.size()) / per_window;
  if (windows == 0)
    return fail(ErrorCode::kInvalidArgument,
                "{}: {} tokens are less than one window of {}; give a longer text or a smaller --ctx", name, ids.size(),
                context);
  if (chunks > 0) windows = std::min(windows, chunks);
  std::vector<std::int32_t> out;
  out.reserve(static_cast<std::size_t>(windows * context));
  for (std::int64_t w = 0; w < windows; ++w) {
    if (per_window < context) out.push_back(*tokenizer.bos());
    const auto first = ids.begin() + w * per_window;
    out.insert(out.end(), first, first + per_window);
  }
  return out;
}

std::int64_t text_tokens_of_window(const Tokenizer& tokenizer, std::int64_t context) {
  return tokenizer.adds_bos() && tokenizer.bos().has_value() ? context - 1 : context;
}

Status check_window(std::int64_t context, const ModelFiles& files) {
  if (context < 2) return fail(ErrorCode::kInvalidArgument, "--ctx {}: a window needs at least 2 tokens", context);
  if (context > files.config().max_position_embeddings)
    return fail(ErrorCode::kInvalidArgument, "--ctx {}: {} was made for at most {} positions", context, files.path(),
                files.config().max_position_embeddings);
  return {};
}

}  // namespace nibble
