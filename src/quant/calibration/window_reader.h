// Windows of activations that are stored in slices of some windows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "quant/calibration/activation_store.h"

namespace nibble {

/// Reads one after another. The last slice is kept: neighbours need no second reading.
class WindowReader {
 public:
  WindowReader(const StoredActivations& activations, std::int64_t windows_per_slice, std::int64_t window_size)
      : activations_(activations), per_slice_(windows_per_slice), size_(window_size) {}

  Status operator()(std::int64_t window, float* out) {
    const std::int64_t slice = window / per_slice_;
    if (slice != held_) {
      NIBBLE_TRY_STATUS(activations_.read(static_cast<std::size_t>(slice), numbers_));
      held_ = slice;
    }
    std::copy_n(numbers_.begin() + window % per_slice_ * size_, size_, out);
    return {};
  }

 private:
  const StoredActivations& activations_;
  std::int64_t per_slice_;
  std::int64_t size_;
  std::int64_t held_ = -1;
  std::vector<float> numbers_;
};

}  // namespace nibble
