// Which layout holds a matrix: the plan that packing follows. A pure function of scheme, shape and, for what the scheme
// leaves open, the first rows.
#pragma once

#include <optional>
#include <vector>

#include "kernel/matmul/packed_view.h"
#include "tensor/quantized_matrix.h"

namespace nibble::kernel {

/// How a plane's entries go into panels.
struct PlanePlan {
  PlaneView view;  ///< positions are filled in by the packer
  PlaneFormat format;
  bool raw = false;     ///< entries keep their stored bytes; else they are decoded to float32 first
  bool nested = false;  ///< codes and outer scales are kept
  int code_shift = 0;   ///< kI8: integer = code_step * code + code_shift
  int code_step = 1;
  float outer_factor = 1.0f;  ///< kI8: the outer scale is multiplied by this (a power of two)
  std::vector<float> lut;
};

struct PackPlan {
  Layout layout = Layout::kGeneric;
  bool decode_floats = false;  ///< codes of the hub are dequantized first (float matrices with planes)
  std::int32_t bias = 0;       ///< of the packed codes
  std::optional<PlanePlan> scale;
  std::optional<PlanePlan> zero;
  std::optional<PlanePlan> offset;
  std::vector<float> table;                  ///< up to 4 bits always, else when codes index a table
  std::vector<std::uint8_t> int_table;       ///< 16 bytes, or none
  std::vector<std::uint8_t> int_table_high;  ///< 16 bytes, or none
  std::int32_t int_table_bias = 128;         ///< the tables hold table * factor + bias
  float table_factor = 1.0f;
  bool has_int8 = false;
  int fold = 32;
  std::int64_t table_index_group = 0;
  std::vector<std::int32_t> column_order;
};

/// `first` holds some rows of the matrix. `wide_zero`: integer zeros, bias added, do not all fit a byte.
PackPlan plan_packing(const QuantizedMatrix& first, bool wide_zero);

/// float of every code of a width up to 8 that has one meaning throughout the matrix; empty for tables of its own.
std::vector<float> code_values(const CodeFormat& code, std::span<const float> stored_table);

}  // namespace nibble::kernel
