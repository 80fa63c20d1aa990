// Logits of a text's windows in a file: what an original model said once, for every later comparison with it.
//
// "NIBLOGIT", then as little-endian 32-bit integers: version (1), vocabulary, tokens per window, windows, 0, 0; the
// token ids, int32 [windows][context]; and after padding to 64 bytes the logits, float32 [windows][context - 1][vocab]:
// no position but the last of a window is left out, whose prediction is not scored.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "base/atomic_output.h"
#include "base/mapped_file.h"
#include "base/result.h"

namespace nibble {

/// The file under construction; it appears with commit().
class LogitsWriter {
 public:
  /// `tokens`: whole windows, back to back.
  static Result<LogitsWriter> create(const std::filesystem::path& path, std::span<const std::int32_t> tokens,
                                     std::int64_t context, std::int64_t vocab);
  /// The next `count` positions, float32 [count, vocab].
  Status append(const float* logits, std::int64_t count);
  Status commit() { return file_.commit(); }

 private:
  LogitsWriter(AtomicFile file, std::int64_t vocab) : file_(std::move(file)), vocab_(vocab) {}
  AtomicFile file_;
  std::int64_t vocab_;
};

class LogitsFile {
 public:
  /// Whether the file begins as these do; anything else, a folder too, does not.
  static bool is_one(const std::filesystem::path& path);
  /// Errors: kNotFound, kIo; kCorrupt where sizes and contents contradict each other; kUnsupported for another version.
  static Result<std::shared_ptr<const LogitsFile>> open(const std::filesystem::path& path);

  const std::string& path() const noexcept { return file_->path(); }
  std::int64_t vocab() const noexcept { return vocab_; }
  std::int64_t context() const noexcept { return context_; }
  std::int64_t windows() const noexcept { return static_cast<std::int64_t>(tokens_.size()) / context_; }
  /// [windows][context]
  std::span<const std::int32_t> tokens() const noexcept { return tokens_; }
  /// The logits at `position`, 0 to context - 2, of a window: float32 [vocab], positions back to back.
  const float* logits(std::int64_t window, std::int64_t position) const noexcept {
    return logits_ + (window * (context_ - 1) + position) * vocab_;
  }
  /// Says that a window is done with, and fails where the file was cut short while it was read.
  Status finish_window(std::int64_t window) const;

 private:
  MappedFile::Ptr file_;
  std::int64_t vocab_ = 0;
  std::int64_t context_ = 0;
  std::vector<std::int32_t> tokens_;
  const float* logits_ = nullptr;
};

}  // namespace nibble
