// Generation of one text after the other: feed a prompt, choose, decode, until something says stop.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "nibble/model.h"
#include "run/cpu_executor.h"
#include "text/tokenizer.h"

namespace nibble {

/// One text under way on an executor: remembers the tokens whose keys and values are cached, and feeds only what
/// differs.
class Generator {
 public:
  Generator(CpuExecutor& executor, std::shared_ptr<const Tokenizer> tokenizer)
      : executor_(executor), tokenizer_(std::move(tokenizer)) {}

  /// `prompt` is the whole text so far; its longest cached prefix is not computed again. Text goes to the sink in whole
  /// characters; with stop strings, what might be the beginning of one is held back.
  Result<GenerateReport> generate(const std::vector<std::int32_t>& prompt, const GenerateOptions& options,
                                  const TextSink& sink);

 private:
  Status feed(std::span<const std::int32_t> tokens);
  /// Feeds a prompt in slices; false when the sink ended it between two of them.
  Result<bool> feed_prompt(std::span<const std::int32_t> tokens, const TextSink& sink);

  CpuExecutor& executor_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::unique_ptr<Sequence> sequence_;
  std::vector<std::int32_t> cached_;  ///< the tokens of the sequence
  std::vector<float> logits_;         ///< after the last cached token
};

}  // namespace nibble
