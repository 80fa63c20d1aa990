#include "eval/logits_file.h"

#include <array>
#include <cstring>
#include <fstream>

#include "base/byte_reader.h"

namespace nibble {
namespace {

constexpr std::string_view kMagic = "NIBLOGIT";
constexpr std::uint32_t kVersion = 1;
constexpr std::uint64_t kAlignment = 64;
constexpr std::uint64_t kHeaderBytes = 32;

std::uint64_t logits_offset(std::uint64_t tokens) {
  return (kHeaderBytes + tokens * sizeof(std::int32_t) + kAlignment - 1) / kAlignment * kAlignment;
}

std::span<const std::byte> bytes_of(const void* data, std::size_t size) {
  return {static_cast<const std::byte*>(data), size};
}

}  // namespace

Result<LogitsWriter> LogitsWriter::create(const std::filesystem::path& path, std::span<const std::int32_t> tokens,
                                          std::int64_t context, std::int64_t vocab) {
  const auto windows = static_cast<std::int64_t>(tokens.size()) / context;
  const std::uint64_t begin = logits_offset(tokens.size());
  NIBBLE_TRY(AtomicFile file, AtomicFile::create(path));
  NIBBLE_TRY_STATUS(file.reserve(begin + static_cast<std::uint64_t>(windows * (context - 1) * vocab) * sizeof(float)));
  std::vector<std::byte> head(begin);
  const std::array<std::uint32_t, 4> fields{kVersion, static_cast<std::uint32_t>(vocab),
                                            static_cast<std::uint32_t>(context), static_cast<std::uint32_t>(windows)};
  std::memcpy(head.data(), kMagic.data(), kMagic.size());
  std::memcpy(head.data() + kMagic.size(), fields.data(), sizeof(fields));
  std::memcpy(head.data() + kHeaderBytes, tokens.data(), tokens.size_bytes());
  NIBBLE_TRY_STATUS(file.append(head));
  return LogitsWriter(std::move(file), vocab);
}

Status LogitsWriter::append(const float* logits, std::int64_t count) {
  return file_.append(bytes_of(logits, static_cast<std::size_t>(count * vocab_) * sizeof(float)));
}

bool LogitsFile::is_one(const std::filesystem::path& path) {
  std::array<char, kMagic.size()> begin{};
  std::ifstream file(path, std::ios::binary);
  return file.read(begin.data(), begin.size()) && std::string_view(begin.data(), begin.size()) == kMagic;
}

Result<std::shared_ptr<const LogitsFile>> LogitsFile::open(const std::filesystem::path& path) {
  const auto out = std::make_shared<LogitsFile>();
  NIBBLE_TRY(out->file_, MappedFile::open(path));
  const std::string name = path.string();
  ByteReader reader(out->file_->bytes(), name);
  NIBBLE_TRY_STATUS(reader.seek(kMagic.size(), "the header"));
  NIBBLE_TRY(const auto version, reader.read<std::uint32_t>("version"));
  if (version != kVersion)
    return fail(ErrorCode::kUnsupported, "{}: logits of version {}; this program reads version {}; save them again",
                name, version, kVersion);
  NIBBLE_TRY(const auto vocab, reader.read<std::uint32_t>("vocabulary"));
  NIBBLE_TRY(const auto context, reader.read<std::uint32_t>("tokens per window"));
  NIBBLE_TRY(const auto windows, reader.read<std::uint32_t>("windows"));
  if (vocab == 0 || vocab > INT32_MAX || context < 2 || context > INT32_MAX || windows == 0)
    return fail(ErrorCode::kCorrupt, "{}: {} windows of {} tokens of a vocabulary of {} cannot be; save them again",
                name, windows, context, vocab);
  // Each factor is under 2^32, so the number of tokens is under 2^64, and of logits where the tokens are in the file.
  const std::uint64_t tokens = std::uint64_t{windows} * context;
  NIBBLE_TRY_STATUS(reader.seek(kHeaderBytes, "the header"));
  if (tokens > reader.remaining() / sizeof(std::int32_t))
    return fail(ErrorCode::kCorrupt, "{}: is too short for the ids of {} windows of {} tokens; save the logits again",
                name, windows, context);
  const std::uint64_t begin = logits_offset(tokens);
  const std::uint64_t rows = std::uint64_t{windows} * (context - 1);
  const std::uint64_t size = out->file_->bytes().size();
  if (begin > size || (size - begin) / sizeof(float) / vocab != rows || (size - begin) % (sizeof(float) * vocab) != 0)
    return fail(ErrorCode::kCorrupt,
                "{}: {} bytes are not those of the logits of {} windows of {} tokens over {}; save them again", name,
                size, windows, context, vocab);
  out->vocab_ = vocab;
  out->context_ = context;
  NIBBLE_TRY(const auto ids, reader.read_bytes(tokens * sizeof(std::int32_t), "token ids"));
  out->tokens_.resize(tokens);
  std::memcpy(out->tokens_.data(), ids.data(), ids.size());
  out->logits_ = reinterpret_cast<const float*>(out->file_->bytes().data() + begin);
  return std::shared_ptr<const LogitsFile>(out);
}

Status LogitsFile::finish_window(std::int64_t window) const {
  const auto bytes = static_cast<std::size_t>((context_ - 1) * vocab_) * sizeof(float);
  const auto begin = static_cast<std::size_t>(reinterpret_cast<const std::byte*>(logits_) - file_->bytes().data());
  NIBBLE_TRY_STATUS(file_->check_intact());
  file_->release(begin + static_cast<std::size_t>(window) * bytes, bytes);
  return {};
}

}  // namespace nibble
