// What a checkpoint is, without running it; and what this machine can run.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "nibble/result.h"

namespace nibble {

struct InspectedTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  std::string scheme;  ///< a GGUF tensor's type name, a quantized module's scheme, else the element type
  std::uint64_t bytes = 0;
};

struct Inspection {
  std::string path;
  std::string container;  ///< "gguf", "safetensors" or "pytorch"
  std::string family;
  std::string architecture;  ///< as the file names it; may be one that Nibble does not run
  bool runnable = false;
  std::string why_not;  ///< when not runnable
  std::int64_t parameters = 0;
  double bits_per_weight = 0;
  std::uint64_t file_bytes = 0;
  std::int64_t context = 0;
  std::uint64_t memory_to_run = 0;  ///< packed weights and a cache of min(context, 4096) positions, estimated
  std::vector<std::pair<std::string, std::string>> notes;  ///< tokenizer, chat template, rope scaling, ...
  std::vector<InspectedTensor> tensors;
};

Result<Inspection> inspect(const std::string& model);

/// The inspection as JSON.
std::string to_json(const Inspection& inspection);

struct KernelChoice {
  std::string operation;
  std::string format;
  std::string chosen;
  std::vector<std::pair<std::string, std::string>> passed_over;  ///< kernel, reason
};

struct MachineInfo {
  std::string version;
  std::string processor;
  std::vector<std::string> features;       ///< that the processor and system have
  std::vector<std::string> used_features;  ///< after NIBBLE_ISA
  int threads = 0;
  std::vector<KernelChoice> kernels;
};

/// Fails when NIBBLE_ISA names an unknown or unsupported level.
Result<MachineInfo> machine_info();

std::string to_json(const MachineInfo& info);

struct TokenizedText {
  std::vector<std::int32_t> ids;
  std::vector<std::string> pieces;
};

/// Tokenizes with the tokenizer of a model or of a tokenizer-only GGUF file.
Result<TokenizedText> tokenize_text(const std::string& model, const std::string& text, bool add_bos,
                                    bool parse_special);

/// The ids of every line (ended by "\n", which is not part of it) of a text.
Result<std::vector<std::vector<std::int32_t>>> tokenize_lines(const std::string& model, const std::string& text,
                                                              bool add_bos, bool parse_special);

/// Fails when NIBBLE_ISA names an instruction set that is unknown or that this machine lacks.
Status check_isa();

}  // namespace nibble
