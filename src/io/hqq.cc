// W_q, scale, zero and the metadata that HQQ stores as tensors. W_q holds the weight reshaped to [-1, group] (axis 1)
// or [group, -1] (axis 0) and cut into equal slabs of rows that share bytes, the first slab in the high bits.
#include "io/hqq.h"

#include <algorithm>

#include "io/bit_packing.h"
#include "io/module_tensors.h"
#include "io/refused_fields.h"
#include "io/stored_matrix.h"

namespace nibble {
namespace {

using E = ElementType;
std::size_t element_size(ElementType type) { return static_cast<std::size_t>(element_info(type).bits) / 8; }

/// An integer that HQQ stores as a scalar tensor.
Result<std::optional<std::int64_t>> integer(ModuleTensors& tensors, std::string_view suffix) {
  if (tensors.find(suffix) == nullptr) return std::optional<std::int64_t>{};
  NIBBLE_TRY(const StoredTensor* tensor, tensors.need_count(suffix, {E::kI32, E::kI64, E::kU8}, 1));
  if (tensor->element == E::kU8) return std::optional<std::int64_t>(std::to_integer<std::int64_t>(tensor->bytes[0]));
  return std::optional<std::int64_t>(integer_element(*tensor, 0));
}

/// How the library stores codes of `nbits`: 1.58 is ternary.
struct Packing {
  float nbits;
  std::string_view name;
  int code_bits;
  int field_bits;
};
/// The first of an nbits is the library's choice. Ternary checkpoints that it has loaded and saved again say 1.
constexpr Packing kPackings[] = {{8.0f, "8bit_u8", 8, 8},  {6.0f, "8bit_u8", 6, 8}, {5.0f, "8bit_u8", 5, 8},
                                 {4.0f, "4bit_u8", 4, 4},  {3.0f, "3bit_32", 3, 3}, {2.0f, "2bit_u8", 2, 2},
                                 {1.58f, "2bit_u8", 2, 2}, {1.0f, "1bit_u8", 1, 1}, {1.0f, "2bit_u8", 2, 2}};

/// A text that HQQ stores as one character per byte.
Result<std::optional<std::string>> text(ModuleTensors& tensors, std::string_view suffix) {
  if (tensors.find(suffix) == nullptr) return std::optional<std::string>{};
  NIBBLE_TRY(const StoredTensor* tensor, tensors.need(suffix, {E::kU8}));
  return std::optional(std::string(reinterpret_cast<const char*>(tensor->bytes.data()), tensor->bytes.size()));
}

struct HqqModule {
  ModuleTensors& tensors;
  Packing packing = kPackings[3];
  std::int64_t axis = 1;
  std::int64_t group = 0;
  StoredParts parts = {};
};

/// Metadata that says nothing about the values but belongs to the module.
Status consume_metadata(HqqModule& m) {
  for (const std::string_view suffix :
       {".unpack_view_dtype", ".view_as_float", ".compute_dtype", ".channel_wise", ".optimize", ".round_zero",
        ".offload_meta", ".stores_quant_config", ".encoded_state_dict"}) {
    if (m.tensors.find(suffix) != nullptr)
      NIBBLE_TRY_STATUS(m.tensors.need(suffix, {E::kU8, E::kI8, E::kBool, E::kI32, E::kI64, E::kF32, E::kF64}));
  }
  return {};
}

Status read_packing(HqqModule& m) {
  float nbits = 4.0f;
  if (m.tensors.find(".nbits") != nullptr) {
    NIBBLE_TRY(const StoredTensor* tensor, m.tensors.need_count(".nbits", {E::kI32, E::kI64, E::kU8, E::kF32}, 1));
    nbits = scalar_value(*tensor);
  }
  NIBBLE_TRY(const auto name, text(m.tensors, ".packing"));
  for (const Packing& packing : kPackings) {
    if (packing.nbits != nbits || (name && packing.name != *name)) continue;
    m.packing = packing;
    return {};
  }
  return m.tensors.error(ErrorCode::kUnsupported,
                         "\"nbits\" is {} and \"packing\" \"{}\"; known: 8bit_u8 (8, 6, 5), 4bit_u8 (4), 3bit_32 (3), "
                         "2bit_u8 (2, 1.58), 1bit_u8 (1)",
                         nbits, printable(name.value_or("")));
}

Status read_shape(HqqModule& m) {
  NIBBLE_TRY(const StoredTensor* shape, m.tensors.need_count(".shape", {E::kI64, E::kI32}, 2));
  m.parts.rows = integer_element(*shape, 0);
  m.parts.cols = integer_element(*shape, 1);
  if (m.parts.rows < 1 || m.parts.cols < 1 || m.parts.rows > kMaxExtent || m.parts.cols > kMaxExtent)
    return m.tensors.error(ErrorCode::kCorrupt, "\"shape\" is [{}, {}]", m.parts.rows, m.parts.cols);
  NIBBLE_TRY(const auto axis, integer(m.tensors, ".axis"));
  NIBBLE_TRY(const auto group, integer(m.tensors, ".group_size"));
  m.axis = axis.value_or(1);
  m.group = group.value_or(m.axis == 1 ? m.parts.cols : m.parts.rows);
  if (m.axis < 0 || m.axis > 1) return m.tensors.error(ErrorCode::kUnsupported, "\"axis\" is {}", m.axis);
  // rows * cols is below 2^62; that the weight is as large is checked with W_q.
  if (m.group < 1 || m.parts.rows * m.parts.cols % m.group != 0)
    return m.tensors.error(ErrorCode::kCorrupt, "\"group_size\" {} does not divide {} x {} weights", m.group,
                           m.parts.rows, m.parts.cols);
  return {};
}

/// Weight f lies in slab f / slab, whose bits begin at `shift(slab)` of element f % slab.
Status read_codes(HqqModule& m) {
  NIBBLE_TRY(const StoredTensor* packed, m.tensors.need(".W_q", {E::kU8, E::kI32, E::kF16, E::kBf16, E::kF32}));
  const int bits = m.packing.code_bits;
  const int width = bits == 3 ? 4 : 1;  // bytes of one packed element; W_q may be viewed as another type
  const int stored_bits = m.packing.field_bits;
  const int slabs = bits == 3 ? 10 : 8 / stored_bits;
  const std::int64_t count = m.parts.rows * m.parts.cols;
  const std::int64_t line = m.axis == 1 ? m.group : count / m.group;  // columns of the reshaped weight
  const std::int64_t lines = count / line;
  const std::int64_t slab = (lines + slabs - 1) / slabs * line;
  if (static_cast<std::int64_t>(packed->bytes.size()) != slab * width || (bits != 3 && lines % slabs != 0))
    return m.tensors.error(ErrorCode::kCorrupt, "\"W_q\" has {} bytes; {} x {} codes of {} bits take {}",
                           packed->bytes.size(), m.parts.rows, m.parts.cols, bits, slab * width);
  std::vector<int> shifts;
  for (int i = slabs - 1; i >= 0; --i) shifts.push_back(i * stored_bits);
  m.parts.codes = [held = HeldBytes(*packed), bits, stored_bits, shifts, slab, cols = m.parts.cols,
                   module = m.tensors.module()](std::int64_t begin, std::int64_t rows, std::uint8_t* codes) -> Status {
    unpack_slabs(held.data(), bits == 3, slab, shifts, stored_bits, begin * cols, rows * cols, codes);
    const std::span<const std::uint8_t> written(codes, static_cast<std::size_t>(rows * cols));
    if (stored_bits != bits && std::any_of(written.begin(), written.end(), [&](int code) { return code >> bits != 0; }))
      return fail(ErrorCode::kCorrupt, "module \"{}\": \"W_q\" holds a code of more than {} bits", module, bits);
    return {};
  };
  return {};
}

Result<FamilyModule> open_module(const FamilyInput& input, const std::string& name) {
  ModuleTensors tensors(input, name);
  HqqModule m{tensors};
  NIBBLE_TRY_STATUS(read_packing(m));
  NIBBLE_TRY_STATUS(read_shape(m));
  NIBBLE_TRY_STATUS(read_codes(m));
  NIBBLE_TRY_STATUS(consume_metadata(m));
  Grouping grouping{Grouping::Kind::kStrided, m.group, 1};
  if (m.axis == 1) grouping = m.parts.cols % m.group == 0 ? Grouping::columns(m.group) : Grouping::flat(m.group);
  if (grouping == Grouping::columns(m.parts.cols)) grouping = Grouping::row();
  const std::int64_t entries = m.parts.rows * m.parts.cols / m.group;
  const auto types = {E::kF16, E::kBf16, E::kF32};
  NIBBLE_TRY(const StoredTensor* scale, tensors.need_count(".scale", types, entries));
  NIBBLE_TRY(const StoredTensor* zero, tensors.need_count(".zero", types, entries));
  m.parts.scheme.code = CodeFormat::integer(m.packing.code_bits, 0);
  m.parts.scheme.scale = PlaneFormat{grouping, scale->element, false, std::nullopt};
  m.parts.scheme.zero_kind = ZeroKind::kReal;
  m.parts.scheme.zero = PlaneFormat{grouping, zero->element, false, std::nullopt};
  m.parts.scale.entries = entries_in_order(HeldBytes(*scale), element_size(scale->element));
  m.parts.zero.entries = entries_in_order(HeldBytes(*zero), element_size(zero->element));
  return tensors.finish(make_stored_matrix(std::move(m.parts)));
}

bool detect(const FamilyInput& input) {
  if (input.is_gguf) return false;
  const Json& config = input.quantization_config;
  if (config.is_object() && config.contains("quant_method")) return config["quant_method"] == "hqq";
  return std::any_of(input.tensors.all().begin(), input.tensors.all().end(),
                     [](const StoredTensor& tensor) { return tensor.name.ends_with(".W_q"); });
}

/// Scales and zero points that are quantized themselves.
constexpr RefusedField kRefused[] = {{"scale_quant_params"}, {"zero_quant_params"}, {"quant_scale"}, {"quant_zero"}};

/// `quant_config` holds the parameters of all modules, or those of each under its name.
Status check_config(const FamilyInput& input) {
  const std::string what = input.what + ": quantization_config";
  NIBBLE_TRY_STATUS(refuse_fields(input.quantization_config, kRefused, what));
  if (!input.quantization_config.is_object()) return {};
  const auto params = input.quantization_config.find("quant_config");
  if (params == input.quantization_config.end() || !params->is_object()) return {};
  NIBBLE_TRY_STATUS(refuse_fields(*params, kRefused, what + ".quant_config"));
  for (const auto& [key, value] : params->items())
    NIBBLE_TRY_STATUS(refuse_fields(value, kRefused, what + ".quant_config." + printable(key)));
  return {};
}

Result<std::vector<FamilyModule>> open(const FamilyInput& input) {
  NIBBLE_TRY_STATUS(check_config(input));
  std::vector<FamilyModule> modules;
  for (const std::string& name : modules_with(input.tensors, ".W_q")) {
    NIBBLE_TRY(FamilyModule module, open_module(input, name));
    modules.push_back(std::move(module));
  }
  return modules;
}

}  // namespace

constinit const Family kHqqFamily{.name = "hqq", .detect = detect, .open = open};

}  // namespace nibble
