// Which files of a repository a model needs.
#pragma once

#include <string>
#include <vector>

#include "hub/hub_client.h"

namespace nibble {

/// What to download first: with `include`, every file that one of the patterns (*, ?, [...]; * crosses slashes)
/// matches; else configuration, tokenizer, templates and the index of the weights. Errors: kNotFound when nothing
/// matches, with what there is.
Result<std::vector<std::string>> select_files(const HubListing& listing, const std::vector<std::string>& include,
                                              const std::string& what);

/// The weights, without `include`: safetensors, else PyTorch files, else the only GGUF model. `indexed` are the files
/// that the downloaded index lists, ignored when none is there but the model in one file; empty when there is no index.
/// Errors: kNotFound when there are no weights, kInvalidArgument when there are several GGUF models to choose from,
/// with their names and sizes.
Result<std::vector<std::string>> select_weights(const HubListing& listing, const std::vector<std::string>& indexed,
                                                const std::string& what);

/// The index that select_weights() wants read, among these: as the readers of folders, safetensors before PyTorch, the
/// usual name before the only other one. Empty when there is none.
std::string weight_index_of(const std::vector<std::string>& paths);

}  // namespace nibble
