// The quantization_config of compressed-tensors: config groups, targets and ignore lists, read and written
// (docs/formats/compressed-tensors.md; the library's quant_config.py and quant_args.py).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/json.h"
#include "io/family.h"
#include "io/name_pattern.h"

namespace nibble {

/// How the tensors of a module are laid out; the library calls it the format.
enum class CtLayout { kPack, kInteger, kFloat, kNvfp4, kMxfp4, kMxfp8 };

/// QuantizationArgs of the weights.
struct CtArgs {
  int bits = 8;
  bool is_float = false;
  bool symmetric = true;
  std::string strategy;         ///< tensor, channel, group, block, tensor_group
  std::int64_t group_size = 0;  ///< group: columns that share a scale
  std::int64_t block_rows = 0;
  std::int64_t block_cols = 0;
};

/// A QuantizationScheme: one of the config groups.
struct CtGroup {
  std::string key;
  std::vector<std::string> targets;
  CtArgs weights;
  ActivationScheme activations;
};

class CtConfig {
 public:
  /// Parses an untrusted quantization_config. Fails on formats whose tensors mean something else (sparse and
  /// transformed checkpoints).
  static Result<CtConfig> parse(const Json& json, const std::string& what);

  /// The group whose targets name `module`: exact names first, then patterns, then classes. Checkpoints disagree with
  /// their own lists in practice, so a quantized module that no target names takes the only group there is.
  /// kCorrupt when several groups could be meant.
  Result<const CtGroup*> group_of(const std::string& module);

  /// Written by a library before 0.17, whose 3-, 5-, 6- and 7-bit words hold whole fields only.
  bool padded_words() const { return padded_words_; }

 private:
  void index_targets();

  std::string what_;
  std::vector<CtGroup> groups_;
  std::unordered_map<std::string, std::size_t> by_name_;         ///< exact targets to groups
  std::unordered_map<std::string, std::size_t> by_tail_;         ///< the same from "layers." on
  std::vector<std::pair<std::string, std::size_t>> by_pattern_;  ///< "re:" targets, without the prefix
  NamePatterns patterns_;
  std::optional<std::size_t> linear_;  ///< the group of class Linear, of Embedding
  std::optional<std::size_t> embedding_;
  bool padded_words_ = false;
};

/// The config of a folder that holds these modules.
Json ct_write_config(std::span<const WrittenModule> modules, std::span<const std::string> unquantized);

/// The layout that holds the scheme, or nothing.
std::optional<CtLayout> ct_layout_of(const QuantScheme& scheme);

}  // namespace nibble
