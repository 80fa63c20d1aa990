// weight._data and weight._scale for 8 bits; weight._data._data, weight._scale and weight._shift below. Packed weights
// do not say how wide they are: the model's configuration must.
#include "io/quanto.h"

#include <algorithm>

#include "io/bit_packing.h"
#include "io/module_tensors.h"
#include "io/refused_fields.h"
#include "io/stored_matrix.h"

namespace nibble {
namespace {

using E = ElementType;
std::size_t element_size(ElementType type) { return static_cast<std::size_t>(element_info(type).bits) / 8; }

Result<FamilyModule> open_bytes(const FamilyInput& input, const std::string& name) {
  ModuleTensors tensors(input, name);
  NIBBLE_TRY(const StoredTensor* data,
             tensors.need(".weight._data", {E::kI8, E::kE4m3, E::kE5m2}, {kAnyExtent, kAnyExtent}));
  NIBBLE_TRY(const StoredTensor* scale, tensors.need(".weight._scale", {E::kF16, E::kBf16, E::kF32}));
  StoredParts parts;
  parts.rows = data->shape[0];
  parts.cols = data->shape[1];
  const bool tensor_wide = scale->bytes.size() == element_size(scale->element);
  NIBBLE_TRY_STATUS(tensors.need_count(".weight._scale", {scale->element}, tensor_wide ? 1 : parts.rows));
  parts.scheme.code = data->element == E::kI8 ? CodeFormat::integer(8, 128) : CodeFormat::floating(data->element);
  parts.scheme.scale =
      PlaneFormat{tensor_wide ? Grouping::tensor() : Grouping::row(), scale->element, false, std::nullopt};
  parts.scale.entries = entries_in_order(HeldBytes(*scale), element_size(scale->element));
  parts.codes = byte_rows(HeldBytes(*data), parts.cols, data->element == E::kI8 ? 0x80 : 0);
  parts.by_rows = {HeldBytes(*data)};
  return tensors.finish(make_stored_matrix(std::move(parts)));
}

/// Columns of a module by what its name says it reads.
Result<std::int64_t> columns_of(const ModuleTensors& tensors, const Json& config, std::int64_t weights) {
  const JsonFields fields(config, "config.json");
  const std::string& name = tensors.module();
  NIBBLE_TRY(const auto hidden, fields.integer("hidden_size"));
  NIBBLE_TRY(const auto inner, fields.integer("intermediate_size"));
  NIBBLE_TRY(const auto heads, fields.integer("num_attention_heads"));
  NIBBLE_TRY(const auto head_dim, fields.integer("head_dim"));
  std::optional<std::int64_t> cols = hidden;
  if (name.ends_with("down_proj") || name.ends_with("fc2") || name.ends_with("dense_4h_to_h")) cols = inner;
  if ((name.ends_with("o_proj") || name.ends_with("out_proj")) && heads && head_dim && *heads < kMaxExtent &&
      *head_dim < kMaxExtent)
    cols = *heads * *head_dim;
  if (!cols || *cols < 1 || *cols > kMaxExtent || weights % *cols != 0)
    return tensors.error(ErrorCode::kUnsupported,
                         "{} packed weights do not say how many columns they have, and config.json does not either",
                         weights);
  return *cols;
}

Result<FamilyModule> open_packed(const FamilyInput& input, const std::string& name, int bits) {
  ModuleTensors tensors(input, name);
  const auto types = {E::kF16, E::kBf16, E::kF32};
  NIBBLE_TRY(const StoredTensor* data, tensors.need(".weight._data._data", {E::kU8}, {kAnyExtent, kAnyExtent}));
  NIBBLE_TRY(const StoredTensor* scale, tensors.need(".weight._scale", types));
  const auto entries = static_cast<std::int64_t>(scale->bytes.size() / element_size(scale->element));
  const std::int64_t line = data->shape[1];  // a group, or a row
  const auto fits = [&](int width) { return (entries * width + 7) / 8 == data->shape[0]; };
  if (!fits(bits)) bits = 6 - bits;  // 2 and 4 bits may be mixed
  const int slabs = 8 / bits;
  if (entries < 1 || !fits(bits))
    return tensors.error(ErrorCode::kCorrupt, "\"_data\" has {} packed rows for {} scales", data->shape[0], entries);
  StoredParts parts;
  NIBBLE_TRY(parts.cols, columns_of(tensors, input.config, entries * line));
  parts.rows = entries * line / parts.cols;
  if (parts.cols % line != 0 || parts.rows > kMaxExtent)
    return tensors.error(ErrorCode::kCorrupt, "groups of {} do not divide {} columns", line, parts.cols);
  const Grouping grouping = parts.cols == line ? Grouping::row() : Grouping::columns(line);
  parts.scheme.code = CodeFormat::integer(bits, 0);
  parts.scheme.scale = PlaneFormat{grouping, scale->element, false, std::nullopt};
  parts.scale.entries = entries_in_order(HeldBytes(*scale), element_size(scale->element));
  NIBBLE_TRY(const StoredTensor* shift,
             tensors.need_count(".weight._shift", {E::kU8, E::kI8, E::kF16, E::kBf16, E::kF32}, entries));
  const HeldBytes held_shift(*shift);
  if (!element_info(shift->element).is_float) {
    parts.scheme.zero_kind = ZeroKind::kInteger;
    parts.scheme.zero = PlaneFormat{grouping, E::kI16, false, std::nullopt};
    parts.zero.entries = zero_entries([held_shift, is_signed = shift->element == E::kI8](std::int64_t entry) {
      const auto byte = std::to_integer<std::uint8_t>(held_shift.bytes[static_cast<std::size_t>(entry)]);
      return is_signed ? static_cast<std::int32_t>(static_cast<std::int8_t>(byte)) : byte;
    });
  } else {  // scale * code - shift: an offset of the other sign
    const std::size_t size = element_size(shift->element);
    parts.scheme.offset = PlaneFormat{grouping, shift->element, false, std::nullopt};
    parts.offset.entries = [read = entries_in_order(held_shift, size), size](const EntryRange& range, std::byte* out) {
      read(range, out);
      for (std::int64_t e = 1; e <= range.count; ++e) out[static_cast<std::size_t>(e) * size - 1] ^= std::byte{0x80};
    };
  }
  // Slab i of the rows of groups lies at bit i * bits, the first in the low bits.
  const std::int64_t slab = data->shape[0] * line;
  std::vector<int> shifts;
  for (int i = 0; i < slabs; ++i) shifts.push_back(i * bits);
  parts.codes = [held = HeldBytes(*data), bits, shifts, slab, cols = parts.cols](std::int64_t begin, std::int64_t rows,
                                                                                 std::uint8_t* codes) -> Status {
    unpack_slabs(held.data(), false, slab, shifts, bits, begin * cols, rows * cols, codes);
    return {};
  };
  return tensors.finish(make_stored_matrix(std::move(parts)));
}

bool detect(const FamilyInput& input) {
  if (input.is_gguf) return false;
  const Json& config = input.quantization_config;
  if (config.is_object() && config.contains("quant_method")) return config["quant_method"] == "quanto";
  return std::any_of(input.tensors.all().begin(), input.tensors.all().end(),
                     [](const StoredTensor& tensor) { return tensor.name.ends_with(".weight._data"); });
}

/// transformers' names and the library's own.
constexpr RefusedField kRefused[] = {
    {"weights", "int2 int4 int8 float8 qint2 qint4 qint8 qfloat8 qfloat8_e4m3fn qfloat8_e5m2"}};

Result<std::vector<FamilyModule>> open(const FamilyInput& input) {
  const JsonFields fields(input.quantization_config, input.what + ": quantization_config");
  NIBBLE_TRY_STATUS(refuse_fields(input.quantization_config, kRefused, fields.what()));
  NIBBLE_TRY(const auto weights, fields.string("weights"));
  const int bits = weights && weights->ends_with("int2") ? 2 : 4;
  std::vector<FamilyModule> modules;
  for (const std::string& name : modules_with(input.tensors, ".weight._data")) {
    NIBBLE_TRY(FamilyModule module, open_bytes(input, name));
    modules.push_back(std::move(module));
  }
  for (const std::string& name : modules_with(input.tensors, ".weight._data._data")) {
    NIBBLE_TRY(FamilyModule module, open_packed(input, name, bits));
    modules.push_back(std::move(module));
  }
  return modules;
}

}  // namespace

constinit const Family kQuantoFamily{.name = "quanto", .detect = detect, .open = open};

}  // namespace nibble
