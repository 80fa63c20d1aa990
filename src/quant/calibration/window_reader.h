// Windows of activations that are stored in slices of some windows.
#pragma once

#include <cstdint>

#include "quant/calibration/activation_store.h"

namespace nibble {

/// May be called by several threads at once.
class WindowReader {
 public:
  WindowReader(const StoredActivations& activations, std::int64_t windows_per_slice, std::int64_t window_size)
      : activations_(activations), per_slice_(windows_per_slice), size_(window_size) {}

  Status operator()(std::int64_t window, float* out) const {
    return activations_.read(static_cast<std::size_t>(window / per_slice_),
                             static_cast<std::size_t>(window % per_slice_ * size_),
                             {out, static_cast<std::size_t>(size_)});
  }

 private:
  const StoredActivations& activations_;
  std::int64_t per_slice_;
  std::int64_t size_;
};

}  // namespace nibble
