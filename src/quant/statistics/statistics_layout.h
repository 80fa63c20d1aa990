// The file of saved statistics: safetensors, with these tensors for each group of linears that share an input, under
// the name of the first of them. Means over tokens, so that they say the same of any number of them.
//
//   NAME.second_moments   F32 [K, K]  E[x x^T], symmetric
//   NAME.mean             F32 [K]     E[x]
//   NAME.mean_magnitude   F32 [K]     E|x|
//   NAME.tokens           U32 [1]     how many were seen
//   model.fingerprint     U8 [N]      what the model is recognised by; the file's makers choose it
#pragma once

#include <array>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "model/model_layout.h"

namespace nibble::statistics {

inline constexpr const char* kFingerprint = "model.fingerprint";

/// The tensors of a group, in this order.
enum Part : std::size_t { kSecondMoments, kMean, kMeanMagnitude, kTokens, kParts };

inline std::array<SafetensorsPlan, kParts> group_tensors(const LinearInfo& first) {
  return {{{first.name + ".second_moments", {first.cols, first.cols}, ElementType::kF32},
           {first.name + ".mean", {first.cols}, ElementType::kF32},
           {first.name + ".mean_magnitude", {first.cols}, ElementType::kF32},
           {first.name + ".tokens", {1}, ElementType::kU32}}};
}

}  // namespace nibble::statistics
