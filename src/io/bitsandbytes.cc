// Reading and writing of bitsandbytes tensors. Blocks run over the flat weight and may cross rows; where they do not,
// the hub sees groups of columns, which kernels like better.
#include "io/bitsandbytes.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/log.h"
#include "io/bit_packing.h"
#include "io/module_tensors.h"
#include "io/refused_fields.h"
#include "io/stored_matrix.h"

namespace nibble {
namespace {

constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
constexpr float kOver127 = 7.874015718698502e-3f;
constexpr float kDefaultThreshold = 6.0f;
constexpr std::string_view kState = ".weight.quant_state.bitsandbytes__";
constexpr std::string_view kTypes[] = {"nf4", "fp4"};
constexpr TableKind kTables[] = {TableKind::kNf4, TableKind::kFp4};
constexpr auto kF32 = ElementType::kF32;
constexpr auto kU8 = ElementType::kU8;

// ---- 4 bits ----

struct QuantState {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t blocksize = 0;
  std::int64_t nested_blocksize = 0;
  float nested_offset = 0;
};

/// The JSON that every 4-bit weight brings along; untrusted like everything else.
Result<QuantState> parse_state(const StoredTensor& tensor, const std::string& what, std::string_view type) {
  const std::string_view text(reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size());
  NIBBLE_TRY(const Json json, parse_untrusted(text, what, {std::size_t{1} << 16, 8}));
  constexpr std::string_view kKnown[] = {"quant_type",       "blocksize",    "dtype",        "shape",
                                         "nested_blocksize", "nested_dtype", "nested_offset"};
  NIBBLE_TRY_STATUS(refuse_unknown_fields(json, kKnown, what));  // as the library does
  const JsonFields fields(json, what);
  NIBBLE_TRY(const auto quant_type, fields.string("quant_type"));
  if (quant_type && *quant_type != type)
    return fail(ErrorCode::kCorrupt, "{}: \"quant_type\" is \"{}\", the tensor's name says {}", what, *quant_type,
                type);
  NIBBLE_TRY(const auto blocksize, fields.integer("blocksize"));
  NIBBLE_TRY(const auto nested_blocksize, fields.integer("nested_blocksize"));
  NIBBLE_TRY(const auto nested_offset, fields.number("nested_offset"));
  const Json* shape = fields.child("shape");
  const auto extents = shape == nullptr ? std::nullopt : extent_pair(*shape);
  if (!extents) return fail(ErrorCode::kCorrupt, "{}: \"shape\" must be two positive numbers", what);
  QuantState state;
  state.rows = extents->first;
  state.cols = extents->second;
  state.blocksize = blocksize.value_or(0);
  state.nested_blocksize = nested_blocksize.value_or(256);
  for (const std::int64_t size : {state.blocksize, state.nested_blocksize})
    if (size < 1 || size > std::int64_t{1} << 31)
      return fail(ErrorCode::kCorrupt, "{}: \"blocksize\" or \"nested_blocksize\" is {}", what, size);
  state.nested_offset = static_cast<float>(nested_offset.value_or(0.0));
  return state;
}

Grouping block_grouping(std::int64_t blocksize, std::int64_t cols) {
  return cols % blocksize == 0 ? Grouping::columns(blocksize) : Grouping::flat(blocksize);
}

/// absmax quantized itself: dynamic 8-bit codes, an f32 per block of them, and their mean.
Status read_nested(ModuleTensors& tensors, const QuantState& state, std::int64_t blocks, StoredParts& parts) {
  const std::int64_t outers = divide_up(blocks, state.nested_blocksize);
  NIBBLE_TRY(const StoredTensor* outer, tensors.need_count(".weight.nested_absmax", {kF32}, outers));
  NIBBLE_TRY(const StoredTensor* map, tensors.need_count(".weight.nested_quant_map", {kF32}, 256));
  std::vector<float> table(256);
  decode_elements(kF32, map->bytes.data(), 256, table.data());
  const auto dynamic = table_values(TableKind::kDynamic8);
  const bool standard = std::memcmp(table.data(), dynamic.data(), 1024) == 0;  // other versions differ by an ulp
  parts.scheme.scale->element = ElementType::kF16;
  parts.scheme.scale->nested =
      NestedFormat{CodeFormat::indexed(standard ? TableKind::kDynamic8 : TableKind::kStored, 8), kF32,
                   state.nested_blocksize, false, true};
  parts.scale.outer = entries_in_order(HeldBytes(*outer), 4);
  if (!standard) parts.scale.table = std::move(table);
  parts.scale.constant = state.nested_offset;
  return {};
}

/// The kernels use the built-in table of the type; a file that stores another one means something else.
Status check_map(ModuleTensors& tensors, TableKind table) {
  if (tensors.find(".weight.quant_map") == nullptr) return {};
  NIBBLE_TRY(const StoredTensor* map, tensors.need_count(".weight.quant_map", {kF32}, 16));
  float stored[16];
  decode_elements(kF32, map->bytes.data(), 16, stored);
  const auto values = table_values(table);
  for (std::size_t i = 0; i < 16; ++i)
    if (!(std::fabs(stored[i] - values[i]) < 1e-3f))
      return tensors.error(ErrorCode::kUnsupported, "\"quant_map\" holds {} for code {}, {} is known", stored[i], i,
                           values[i]);
  return {};
}

Result<FamilyModule> open_4bit(const FamilyInput& input, const std::string& name, std::size_t type) {
  ModuleTensors tensors(input, name);
  const std::string suffix = std::string(kState) + std::string(kTypes[type]);
  NIBBLE_TRY(const StoredTensor* state_tensor, tensors.need(suffix, {kU8}));
  NIBBLE_TRY(const QuantState state, parse_state(*state_tensor, input.what + ": " + state_tensor->name, kTypes[type]));
  using E = ElementType;
  NIBBLE_TRY(const StoredTensor* weight, tensors.need(".weight", {kU8, E::kI8, E::kF16, E::kBf16, kF32, E::kF64}));
  const std::int64_t count = state.rows * state.cols;
  const auto bytes = static_cast<std::int64_t>(weight->bytes.size());
  if (bytes < divide_up(count, 2) || bytes > divide_up(count, 2) + 8)  // other storage types round up
    return tensors.error(ErrorCode::kCorrupt, "\"weight\" has {} bytes, {} x {} codes take {}", bytes, state.rows,
                         state.cols, divide_up(count, 2));
  StoredParts parts;
  parts.rows = state.rows;
  parts.cols = state.cols;
  parts.scheme.code = CodeFormat::indexed(kTables[type], 4);
  parts.scheme.scale = PlaneFormat{block_grouping(state.blocksize, state.cols), kF32, false, std::nullopt};
  const std::int64_t blocks = divide_up(count, state.blocksize);
  NIBBLE_TRY(const StoredTensor* absmax, tensors.need_count(".weight.absmax", {kF32, kU8}, blocks));
  NIBBLE_TRY_STATUS(check_map(tensors, kTables[type]));
  if (absmax->element == kU8) {
    NIBBLE_TRY_STATUS(read_nested(tensors, state, blocks, parts));
    parts.scale.codes = entries_in_order(HeldBytes(*absmax), 1);
  } else {
    parts.scale.entries = entries_in_order(HeldBytes(*absmax), 4);
  }
  parts.codes = [held = HeldBytes(*weight), cols = state.cols](std::int64_t begin, std::int64_t rows,
                                                               std::uint8_t* codes) -> Status {
    unpack_high_nibbles(held.data(), static_cast<std::uint64_t>(begin * cols), static_cast<std::size_t>(rows * cols),
                        codes);
    return {};
  };
  parts.by_rows = {HeldBytes(*weight)};
  return tensors.finish(make_stored_matrix(std::move(parts)));
}

// ---- 8 bits ----

Result<FamilyModule> open_int8(const FamilyInput& input, const std::string& name, float threshold) {
  ModuleTensors tensors(input, name);
  NIBBLE_TRY(const StoredTensor* weight, tensors.need(".weight", {ElementType::kI8}, {kAnyExtent, kAnyExtent}));
  NIBBLE_TRY(const StoredTensor* scb, tensors.need_count(".SCB", {kF32}, weight->shape[0]));
  if (tensors.find(".weight_format") != nullptr) {
    NIBBLE_TRY(const StoredTensor* format, tensors.need_count(".weight_format", {kU8}, 1));
    if (format->bytes[0] != std::byte{0})
      return tensors.error(ErrorCode::kUnsupported, "\"weight_format\" is {}; only rows (0) can be read",
                           std::to_integer<int>(format->bytes[0]));
  }
  StoredParts parts;
  parts.rows = weight->shape[0];
  parts.cols = weight->shape[1];
  parts.scheme.code = CodeFormat::integer(8, 128);
  parts.scheme.scale = PlaneFormat{Grouping::row(), kF32, false, std::nullopt};
  parts.scheme.post_scale = kOver127;
  parts.scheme.activations.kind = ActivationScheme::Kind::kDynamic;
  parts.scheme.activations.outlier_threshold = threshold;
  parts.scale.entries = entries_in_order(HeldBytes(*scb), 4);
  parts.codes = byte_rows(HeldBytes(*weight), parts.cols, 0x80);
  parts.by_rows = {HeldBytes(*weight)};
  return tensors.finish(make_stored_matrix(std::move(parts)));
}

bool detect(const FamilyInput& input) {
  if (input.is_gguf) return false;
  const Json& config = input.quantization_config;
  if (config.is_object() && config.contains("quant_method")) return config["quant_method"] == "bitsandbytes";
  return std::any_of(input.tensors.all().begin(), input.tensors.all().end(), [](const StoredTensor& tensor) {
    return tensor.name.find(kState) != std::string::npos || tensor.name.ends_with(".SCB");
  });
}

Result<std::vector<FamilyModule>> open(const FamilyInput& input) {
  const JsonFields fields(input.quantization_config, input.what + ": quantization_config");
  NIBBLE_TRY_STATUS(refuse_fields(input.quantization_config, {}, fields.what()));
  NIBBLE_TRY(const auto threshold, fields.number("llm_int8_threshold"));
  std::vector<FamilyModule> modules;
  for (std::size_t type = 0; type < 2; ++type) {
    for (const std::string& name : modules_with(input.tensors, std::string(kState) + std::string(kTypes[type]))) {
      NIBBLE_TRY(FamilyModule module, open_4bit(input, name, type));
      modules.push_back(std::move(module));
    }
  }
  for (const std::string& name : modules_with(input.tensors, ".SCB")) {
    NIBBLE_TRY(FamilyModule module, open_int8(input, name, static_cast<float>(threshold.value_or(kDefaultThreshold))));
    modules.push_back(std::move(module));
  }
  return modules;
}

// ---- writing ----

bool is_int8(const QuantScheme& scheme) { return scheme.code.kind == CodeFormat::Kind::kInteger; }

Status can_express(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols) {
  (void)rows;
  const Error no = fail(ErrorCode::kUnsupported,
                        "bitsandbytes holds nf4 and fp4 in blocks of 32 to 4096 with f32 scales or double "
                        "quantization, and LLM.int8(), not {}",
                        to_string(scheme));
  if (!scheme.scale || scheme.offset || scheme.zero_kind != ZeroKind::kNone || scheme.scale->divides) return no;
  const PlaneFormat& scale = *scheme.scale;
  if (is_int8(scheme)) {
    const bool row = scale.grouping.kind == Grouping::Kind::kRow && !scale.nested && scale.element == kF32;
    const bool dynamic = scheme.activations.kind == ActivationScheme::Kind::kDynamic && scheme.activations.group == 0;
    return row && dynamic && scheme.code == CodeFormat::integer(8, 128) && scheme.post_scale == kOver127 ? Status()
                                                                                                         : Status(no);
  }
  const bool table =
      scheme.code == CodeFormat::indexed(TableKind::kNf4, 4) || scheme.code == CodeFormat::indexed(TableKind::kFp4, 4);
  const Grouping& grouping = scale.grouping;
  const bool blocks = grouping.kind == Grouping::Kind::kFlat ||
                      (grouping.kind == Grouping::Kind::kColumns && cols % grouping.size == 0);
  const bool size = grouping.size >= 32 && grouping.size <= 4096 && (grouping.size & (grouping.size - 1)) == 0;
  if (!table || !blocks || !size || scheme.post_scale != 1.0f ||
      scheme.activations.kind != ActivationScheme::Kind::kNone)
    return no;
  if (!scale.nested) return scale.element == kF32 ? Status() : Status(no);
  const NestedFormat& nested = *scale.nested;
  const bool map = nested.code == CodeFormat::indexed(TableKind::kDynamic8, 8) ||
                   nested.code == CodeFormat::indexed(TableKind::kStored, 8);
  return map && nested.outer == kF32 && nested.entries_per_outer > 0 && !nested.outer_divides && nested.has_constant
             ? Status()
             : Status(no);
}

std::size_t type_index(const QuantScheme& scheme) { return scheme.code.table == TableKind::kNf4 ? 0 : 1; }

/// The quant_state, in the form of Python's json.dumps. Nested offsets are known only when the scales are, after the
/// sizes have been planned: that text is padded with blanks, which JSON ignores, to a length that fits any number.
std::string state_text(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols, float offset) {
  std::string text =
      fmt::format("{{\"quant_type\": \"{}\", \"blocksize\": {}, \"dtype\": \"bfloat16\", \"shape\": [{}, {}]",
                  kTypes[type_index(scheme)], scheme.scale->grouping.size, rows, cols);
  if (!scheme.scale->nested) return text + "}";
  text += fmt::format(", \"nested_blocksize\": {}, \"nested_dtype\": \"float32\", \"nested_offset\": ",
                      scheme.scale->nested->entries_per_outer);
  constexpr std::size_t kLongestNumber = 26;
  const std::size_t length = text.size() + kLongestNumber + 1;
  text += Json(static_cast<double>(offset)).dump() + "}";
  text.resize(length, ' ');
  return text;
}

Result<std::vector<EncodedPlan>> plan(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols,
                                      const std::string& module) {
  NIBBLE_TRY_STATUS(can_express(scheme, rows, cols));
  const std::string weight = module + ".weight";
  if (is_int8(scheme))
    return std::vector<EncodedPlan>{{weight, {rows, cols}, ElementType::kI8, -1},
                                    {module + ".SCB", {rows}, kF32, -1},
                                    {module + ".weight_format", {}, kU8, -1}};
  const std::int64_t blocks = divide_up(rows * cols, scheme.scale->grouping.size);
  const bool nested = scheme.scale->nested.has_value();
  const auto state_bytes = static_cast<std::int64_t>(state_text(scheme, rows, cols, 0).size());
  std::vector<EncodedPlan> planned = {
      {weight, {divide_up(rows * cols, 2), 1}, kU8, -1},
      {weight + ".absmax", {blocks}, nested ? kU8 : kF32, -1},
      {weight + ".quant_map", {16}, kF32, -1},
      {module + std::string(kState) + std::string(kTypes[type_index(scheme)]), {state_bytes}, kU8, -1}};
  if (nested) {
    planned.push_back(
        {weight + ".nested_absmax", {divide_up(blocks, scheme.scale->nested->entries_per_outer)}, kF32, -1});
    planned.push_back({weight + ".nested_quant_map", {256}, kF32, -1});
  }
  return planned;
}

Status encode_int8(const QuantizedMatrix& m, const EncodedSink& sink) {
  std::vector<std::byte> bytes(m.codes.size());
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(m.codes[i] ^ 0x80);
  NIBBLE_TRY_STATUS(sink(0, static_cast<std::uint64_t>(m.row_begin * m.cols), bytes));
  NIBBLE_TRY_STATUS(sink(1, static_cast<std::uint64_t>(m.row_begin) * 4, m.scale.entries));
  const std::byte row_format{0};
  return m.row_begin == 0 ? sink(2, 0, {&row_format, 1}) : Status();
}

/// Two rows (or the last) are whole bytes; blocks are written with their first weight.
Status encode_4bit(const QuantizedMatrix& m, const EncodedSink& sink) {
  const bool nf4 = m.scheme.code.table == TableKind::kNf4;
  std::vector<std::byte> bytes((m.codes.size() + 1) / 2);
  pack_high_nibbles(m.codes.data(), m.codes.size(), bytes.data());
  if (nf4 && m.codes.size() % 2 != 0) bytes.back() |= std::byte{7};  // the code of 0
  NIBBLE_TRY_STATUS(sink(0, static_cast<std::uint64_t>(m.row_begin * m.cols / 2), bytes));
  const PlaneFormat& format = *m.scheme.scale;
  const EntryRange owned =
      owned_entries(Grouping::flat(format.grouping.size), m.rows, m.cols, m.row_begin, m.row_count);
  const auto first = static_cast<std::size_t>(owned.first - m.scale.first_entry);
  const auto count = static_cast<std::size_t>(owned.count);
  if (count > 0 && format.nested)
    NIBBLE_TRY_STATUS(sink(1, static_cast<std::uint64_t>(owned.first),
                           std::as_bytes(std::span(m.scale.codes).subspan(first, count))));
  if (count > 0 && !format.nested)
    NIBBLE_TRY_STATUS(
        sink(1, static_cast<std::uint64_t>(owned.first) * 4, std::span(m.scale.entries).subspan(first * 4, count * 4)));
  if (format.nested) {
    const EntryRange outer = owned_outers(*format.nested, owned, m.row_begin == 0);
    if (outer.count > 0)
      NIBBLE_TRY_STATUS(sink(4, static_cast<std::uint64_t>(outer.first) * 4,
                             std::span(m.scale.outer)
                                 .subspan(static_cast<std::size_t>(outer.first - m.scale.first_outer) * 4,
                                          static_cast<std::size_t>(outer.count) * 4)));
  }
  if (m.row_begin != 0) return {};
  NIBBLE_TRY_STATUS(sink(2, 0, std::as_bytes(table_values(m.scheme.code.table))));
  const std::string state = state_text(m.scheme, m.rows, m.cols, m.scale.constant);
  NIBBLE_TRY_STATUS(sink(3, 0, std::as_bytes(std::span(state))));
  if (!format.nested) return {};
  const bool stored = format.nested->code.table == TableKind::kStored;
  return sink(5, 0, std::as_bytes(stored ? std::span<const float>(m.scale.table) : table_values(TableKind::kDynamic8)));
}

Status encode(const QuantizedMatrix& m, const std::string&, const EncodedSink& sink) {
  return is_int8(m.scheme) ? encode_int8(m, sink) : encode_4bit(m, sink);
}

/// The configuration says 4 or 8 bits for all modules, and one threshold of outliers; what else differs is beside each
/// weight.
Result<QuantScheme> scheme_among(const QuantScheme& scheme, std::span<const QuantScheme> all) {
  for (const QuantScheme& other : all)
    if (is_int8(other) != is_int8(scheme) || other.activations != scheme.activations)
      return fail(ErrorCode::kUnsupported, "bitsandbytes has 4 or 8 bits for all modules, here are {} and {}",
                  to_string(scheme), to_string(other));
  return scheme;
}

std::int64_t encode_row_step(const QuantScheme& scheme) { return is_int8(scheme) ? 1 : 2; }

Json quantization_config(std::span<const WrittenModule> modules, std::span<const std::string> unquantized) {
  const bool int8 = !modules.empty() && is_int8(modules.front().scheme);
  const bool nested = !modules.empty() && modules.front().scheme.scale->nested.has_value();
  const std::string_view type = modules.empty() ? kTypes[0] : kTypes[type_index(modules.front().scheme)];
  const float threshold = int8 ? modules.front().scheme.activations.outlier_threshold : kDefaultThreshold;
  Json skipped = nullptr;
  if (!unquantized.empty()) skipped = std::vector<std::string>(unquantized.begin(), unquantized.end());
  return {{"quant_method", "bitsandbytes"},
          {"load_in_4bit", !int8},
          {"load_in_8bit", int8},
          {"_load_in_4bit", !int8},
          {"_load_in_8bit", int8},
          {"bnb_4bit_quant_type", type},
          {"bnb_4bit_use_double_quant", nested},
          {"bnb_4bit_compute_dtype", "bfloat16"},
          {"bnb_4bit_quant_storage", "uint8"},
          {"llm_int8_threshold", threshold},
          {"llm_int8_skip_modules", skipped},
          {"llm_int8_enable_fp32_cpu_offload", false},
          {"llm_int8_has_fp16_weight", false}};
}

}  // namespace

constinit const Family kBitsandbytesFamily{
    .name = "bitsandbytes",
    .detect = detect,
    .open = open,
    .can_express = can_express,
    .plan = plan,
    .encode = encode,
    .quantization_config = quantization_config,
    .scheme_among = scheme_among,
    .encode_row_step = encode_row_step,
};

}  // namespace nibble
