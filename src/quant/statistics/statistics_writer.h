// Writes what calibration knows of the inputs of a model's linears, for runs that come later.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "io/safetensors.h"
#include "model/model_layout.h"
#include "quant/calibration/input_gram.h"

namespace nibble {

/// A file under construction (statistics_layout.h), that appears whole or not at all.
class StatisticsWriter {
 public:
  /// `fingerprint` is what reading asks for again; `metadata` is for people.
  static Result<std::unique_ptr<StatisticsWriter>> create(const std::filesystem::path& path, const ModelLayout& layout,
                                                          std::string_view fingerprint,
                                                          const std::map<std::string, std::string>& metadata);
  virtual ~StatisticsWriter() = default;
  /// Of the linears that share an input, each group once. Refuses numbers that are not finite.
  virtual Status write(std::span<const LinearId> linears, const InputGram& gram) = 0;
  /// Puts the file in place. Fails where a group is missing.
  virtual Status finish() = 0;
};

}  // namespace nibble
