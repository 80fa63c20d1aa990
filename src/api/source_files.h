// The files that a model is read from: those that no output may replace, and that make it another model when they
// change.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "model/model_files.h"

namespace nibble {

/// The weights, all parts of them, and what lies beside them of configuration, index, tokenizer and chat template.
/// Sorted, each once.
std::vector<std::filesystem::path> source_files(const ModelFiles& files);

/// kInvalidArgument where `out` is one of these, their folder, or one of `texts`.
Status refuse_replacing(const ModelFiles& files, const std::vector<std::string>& texts, const std::string& out);

}  // namespace nibble
