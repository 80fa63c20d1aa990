// For tests: the small models of tests/golden, and tokens for them.
#pragma once

#include <filesystem>
#include <random>
#include <string>

#include "model/model_files.h"
#include "quant/calibration/block_runner.h"

namespace nibble {

inline ModelFiles::Ptr open_golden(const std::string& name) {
  return ModelFiles::open(std::filesystem::path(NIBBLE_SOURCE_DIR) / "tests/golden/models" / name).value();
}

/// The same ones every time.
inline CalibrationTokens random_tokens(const ModelWeights& weights, std::int64_t windows, std::int64_t window) {
  std::mt19937 random(5);
  CalibrationTokens out;
  out.window = window;
  for (std::int64_t i = 0; i < windows * window; ++i)
    out.ids.push_back(static_cast<std::int32_t>(random() % static_cast<unsigned>(weights.config().vocab_size)));
  return out;
}

}  // namespace nibble
