#include "api/text_windows.h"

#include <algorithm>

#include "base/mapped_file.h"
#include "model/text_assets.h"

namespace nibble {
namespace {

constexpr EncodeOptions kPlain{.add_special = false, .parse_special = false};

/// The length of a beginning of `text` of about so many bytes: up to the end of a line, else of a character.
std::size_t beginning(std::string_view text, std::size_t bytes) {
  const std::size_t line = text.rfind('\n', bytes - 1);
  if (line != std::string_view::npos && line >= bytes / 2) return line + 1;
  while (bytes > 1 && (static_cast<unsigned char>(text[bytes]) & 0xC0) == 0x80) --bytes;
  return bytes;
}

}  // namespace

Result<std::vector<std::int32_t>> first_tokens(const Tokenizer& tokenizer, std::string_view text, std::int64_t count) {
  // How a text goes on decides the tokens shortly before; so many are thrown away.
  constexpr std::size_t kMargin = 2048;
  const auto wanted = static_cast<std::size_t>(count);
  const std::size_t first = wanted < text.size() ? 6 * (wanted + kMargin) : text.size();
  for (std::size_t bytes = first; bytes < text.size(); bytes *= 2) {
    NIBBLE_TRY(std::vector<std::int32_t> ids, tokenizer.encode(text.substr(0, beginning(text, bytes)), kPlain));
    if (ids.size() < wanted + kMargin) continue;
    ids.resize(wanted);
    return ids;
  }
  NIBBLE_TRY(std::vector<std::int32_t> ids, tokenizer.encode(text, kPlain));
  if (ids.size() > wanted) ids.resize(wanted);
  return ids;
}

Result<std::shared_ptr<const Tokenizer>> tokenizer_of(const ModelFiles& files) {
  NIBBLE_TRY(TextAssets assets, read_text_assets(files.checkpoint()));
  return Tokenizer::create(std::move(assets.tokenizer));
}

std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

Result<std::vector<std::int32_t>> windows_of_text(const Tokenizer& tokenizer, const std::string& file,
                                                  std::int64_t context, std::int64_t chunks) {
  NIBBLE_TRY(const MappedFile::Ptr mapped, MappedFile::open(file));
  NIBBLE_TRY(std::vector<std::int32_t> out, windows_of_string(tokenizer, text_of(*mapped), file, context, chunks));
  NIBBLE_TRY_STATUS(mapped->check_intact());
  return out;
}

Result<std::vector<std::int32_t>> windows_of_string(const Tokenizer& tokenizer, std::string_view text,
                                                    const std::string& name, std::int64_t context,
                                                    std::int64_t chunks) {
  const std::int64_t per_window = text_tokens_of_window(tokenizer, context);
  const bool all = chunks <= 0 || chunks >= static_cast<std::int64_t>(text.size());
  NIBBLE_TRY(const std::vector<std::int32_t> ids,
             all ? tokenizer.encode(text, kPlain) : first_tokens(tokenizer, text, chunks * per_window));
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
