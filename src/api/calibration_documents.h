// Calibration files as documents of token ids: a text, or the lines of a JSONL file.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/model_files.h"
#include "nibble/quantize.h"
#include "text/template/chat_template.h"
#include "text/tokenizer.h"

namespace nibble {

class DocumentReader {
 public:
  static Result<DocumentReader> create(const ModelFiles& files, const CalibrationOptions& options);

  const Tokenizer& tokenizer() const { return *tokenizer_; }

  /// A text is one document; its paragraphs (between empty lines) are documents where the options ask for documents or
  /// for the chat template. Lines of a file that ends in .jsonl are objects with "text", "messages" (role, content),
  /// "conversations" (from, value) or "prompt" and "completion" or "response"; all but "text" go through the chat
  /// template, which prints BOS itself. Lines of a file that ends in .tokens are ids, as `nibble sample` writes them.
  /// Gives the first `most` windows of `tokens` ids: of the documents back to back, or the beginning of each that is
  /// long enough, where the options ask for that or lines are ids. Reads no more of the file than these take. Errors
  /// name file and line.
  Result<std::vector<std::vector<std::int32_t>>> windows(const std::string& file, std::int64_t tokens,
                                                         std::int64_t most) const;

 private:
  class Windows;
  DocumentReader() = default;
  Status read_lines(const std::string& file, std::string_view text, Windows& out) const;
  Status read_paragraphs(const std::string& file, std::string_view text, Windows& out) const;
  Result<std::vector<std::int32_t>> ids(const std::string& text, const std::string& where) const;
  Result<std::vector<std::int32_t>> plain(const std::string& text) const;
  Result<std::vector<std::int32_t>> conversation(const Json& messages, const std::string& where) const;
  Result<std::vector<std::int32_t>> line(const std::string& text, const std::string& where) const;

  std::shared_ptr<const Tokenizer> tokenizer_;
  std::optional<ChatTemplate> chat_;
  bool chat_template_ = false;
  bool per_document_ = false;
  std::int64_t vocab_size_ = 0;
};

}  // namespace nibble
