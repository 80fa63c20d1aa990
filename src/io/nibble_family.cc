// Reading and writing of the nibble family. Everything follows from the scheme, which the configuration spells out, and
// from the list of tensors in nibble_layout.cc.
#include "io/nibble_family.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <numeric>

#include "io/bit_packing.h"
#include "io/module_tensors.h"
#include "io/nibble_layout.h"
#include "io/scheme_json.h"
#include "io/stored_matrix.h"

namespace nibble {
namespace {

constexpr std::int64_t kVersion = 2;  ///< 2: schemes may have a supplement

std::size_t element_size(ElementType type) { return static_cast<std::size_t>(element_info(type).bits) / 8; }

// ---- reading ----

/// Entries of a dense stream over the whole plane; a range may begin within a byte.
EntryReader packed_entries(HeldBytes held, int bits) {
  return [held = std::move(held), bits](const EntryRange& range, std::byte* out) {
    const std::int64_t skip = range.first % 8;
    const std::byte* from = held.data() + (range.first / 8) * bits;
    if (skip == 0) {
      unpack_bits(from, bits, static_cast<std::size_t>(range.count), reinterpret_cast<std::uint8_t*>(out));
      return;
    }
    std::vector<std::uint8_t> codes(static_cast<std::size_t>(skip + range.count));
    unpack_bits(from, bits, codes.size(), codes.data());
    std::memcpy(out, codes.data() + skip, static_cast<std::size_t>(range.count));
  };
}

std::vector<float> float_table(const StoredTensor& tensor) {
  std::int64_t count = 1;
  for (const std::int64_t extent : tensor.shape) count *= extent;
  std::vector<float> values(static_cast<std::size_t>(count));
  decode_elements(tensor.element, tensor.bytes.data(), values.size(), values.data());
  return values;
}

/// Codes of a constant table that is not full: those behind its end are refused.
CodeReader within_table(CodeReader codes, std::int64_t cols, std::size_t table_size, std::string module) {
  return [codes = std::move(codes), cols, table_size, module = std::move(module)](
             std::int64_t begin, std::int64_t count, std::uint8_t* out) -> Status {
    NIBBLE_TRY_STATUS(codes(begin, count, out));
    for (std::int64_t i = 0; i < count * cols; ++i)
      if (out[i] >= table_size)
        return fail(ErrorCode::kCorrupt, "module \"{}\": \"codes\" holds {}, the table has {} values", module, out[i],
                    table_size);
    return {};
  };
}

struct NibbleModule {
  ModuleTensors tensors;
  StoredParts parts;
};

PlaneReaders& plane_readers(StoredParts& parts, NibblePlane plane) {
  return plane == NibblePlane::kScale ? parts.scale : plane == NibblePlane::kZero ? parts.zero : parts.offset;
}

Status read_group_index(NibbleModule& m, const StoredTensor& tensor) {
  std::int64_t groups = INT64_MAX;
  const auto limit = [&](const PlaneFormat& plane) {
    if (plane.grouping.kind == Grouping::Kind::kIndexed) groups = std::min(groups, plane.grouping.size);
  };
  const QuantScheme& scheme = m.parts.scheme;
  if (scheme.scale) limit(*scheme.scale);
  if (scheme.zero_kind != ZeroKind::kNone) limit(scheme.zero);
  if (scheme.offset) limit(*scheme.offset);
  for (std::int64_t c = 0; c < m.parts.cols; ++c) {
    const std::int64_t group = integer_element(tensor, c);
    if (group < 0 || group >= groups)
      return m.tensors.error(ErrorCode::kCorrupt, "\"group_index\" holds {} for column {}, there are {} groups", group,
                             c, groups);
    m.parts.group_index.push_back(static_cast<std::int32_t>(group));
  }
  return {};
}

Status read_kept_columns(NibbleModule& m, const StoredTensor& tensor) {
  std::int64_t after = -1;
  const std::int64_t kept = m.parts.scheme.supplement.kept_columns(m.parts.cols);  // a single one may have no shape
  for (std::int64_t i = 0; i < kept; ++i) {
    const std::int64_t column = integer_element(tensor, i);
    if (column <= after || column >= m.parts.cols)
      return m.tensors.error(ErrorCode::kCorrupt, "\"kept.columns\" holds {} behind {} in a matrix of {} columns",
                             column, after, m.parts.cols);
    m.parts.supplement.columns.push_back(static_cast<std::int32_t>(column));
    after = column;
  }
  return {};
}

void read_codes(NibbleModule& m, const StoredTensor& tensor) {
  const CodeFormat& code = m.parts.scheme.code;
  const HeldBytes held(tensor);
  const std::uint64_t row_bytes = nibble_row_bytes(code, m.parts.cols);
  m.parts.by_rows = {held};
  if (code.code_bytes() > 1 || code.bits == 8) {
    m.parts.codes = byte_rows(held, static_cast<std::int64_t>(row_bytes));
    return;
  }
  m.parts.codes = packed_rows(held, code.bits, m.parts.cols, row_bytes);
  const std::size_t table_size = table_values(code.table).size();
  if (table_size != 0 && table_size != std::size_t{1} << code.bits)
    m.parts.codes = within_table(std::move(m.parts.codes), m.parts.cols, table_size, m.tensors.module());
}

/// Makes the readers of one tensor, whose type and shape are right.
Status read_part(NibbleModule& m, const NibbleTensor& part, const StoredTensor& tensor) {
  const HeldBytes held(tensor);
  PlaneReaders& readers = plane_readers(m.parts, part.plane);
  const QuantScheme& scheme = m.parts.scheme;
  switch (part.part) {
    case NibblePart::kShape:
      break;
    case NibblePart::kCodes:
      read_codes(m, tensor);
      break;
    case NibblePart::kEntries:
    case NibblePart::kOuter:
      (part.part == NibblePart::kOuter ? readers.outer : readers.entries) =
          entries_in_order(held, element_size(part.element));
      break;
    case NibblePart::kNestedCodes:
      readers.codes = packed_entries(held, plane_format(scheme, part.plane).nested->code.bits);
      break;
    case NibblePart::kNestedTable:
      readers.table = float_table(tensor);
      break;
    case NibblePart::kConstant:
      readers.constant = scalar_value(tensor);
      break;
    case NibblePart::kTable: {
      const auto values = static_cast<std::int64_t>(1) << scheme.code.bits;
      const ElementType element = scheme.table.element;
      m.parts.tables = [held, values, element](const EntryRange& range, float* out) {
        decode_elements(element, held.data() + static_cast<std::size_t>(range.first * values) * element_size(element),
                        static_cast<std::size_t>(range.count * values), out);
      };
      break;
    }
    case NibblePart::kSelector:
      for (const std::byte pick : tensor.bytes)
        if (std::to_integer<int>(pick) >= scheme.table.bank_size)
          return m.tensors.error(ErrorCode::kCorrupt, "\"selector\" holds {}, the bank has {} tables",
                                 std::to_integer<int>(pick), scheme.table.bank_size);
      m.parts.selector = entries_in_order(held, 1);
      break;
    case NibblePart::kGroupIndex:
      return read_group_index(m, tensor);
    case NibblePart::kKeptColumns:
      return read_kept_columns(m, tensor);
    case NibblePart::kKept:
      m.parts.supplement.kept = held;
      break;
    case NibblePart::kKeptScale:
      m.parts.supplement.kept_scale = held;
      break;
    case NibblePart::kLeft:
      m.parts.supplement.left = held;
      break;
    case NibblePart::kRight:
      m.parts.supplement.right = held;
      break;
  }
  return {};
}

/// Widens `step` to a multiple of `rows`; beyond any matrix it stays at "all rows".
void widen_step(std::int64_t& step, std::int64_t rows) {
  step = std::min(step / std::gcd(step, rows) * rows, kMaxExtent);
}

std::int64_t block_rows(const QuantScheme& scheme) {
  std::int64_t step = 1;
  const auto consider = [&](const PlaneFormat& plane) {
    if (plane.grouping.kind == Grouping::Kind::kBlock) widen_step(step, plane.grouping.rows);
  };
  if (scheme.scale) consider(*scheme.scale);
  if (scheme.zero_kind != ZeroKind::kNone) consider(scheme.zero);
  if (scheme.offset) consider(*scheme.offset);
  return step;
}

Result<FamilyModule> open_module(const FamilyInput& input, const std::string& name, const QuantScheme& scheme) {
  NibbleModule m{ModuleTensors(input, name), {}};
  NIBBLE_TRY(const StoredTensor* shape, m.tensors.need(".shape", {ElementType::kI64}, {2}));
  m.parts.scheme = scheme;
  m.parts.rows = integer_element(*shape, 0);
  m.parts.cols = integer_element(*shape, 1);
  if (m.parts.rows < 1 || m.parts.cols < 1 || m.parts.rows > kMaxExtent || m.parts.cols > kMaxExtent)
    return m.tensors.error(ErrorCode::kCorrupt, "\"shape\" is [{}, {}]", m.parts.rows, m.parts.cols);
  m.parts.row_step = block_rows(scheme);
  // The codes bound rows x columns by the file's size; no product below can overflow after this.
  const auto row_bytes = static_cast<std::int64_t>(nibble_row_bytes(scheme.code, m.parts.cols));
  NIBBLE_TRY_STATUS(m.tensors.need(".codes", {ElementType::kU8}, {m.parts.rows, row_bytes}));
  auto tensors = nibble_tensors(scheme, m.parts.rows, m.parts.cols);
  if (!tensors.ok()) return m.tensors.in_module(tensors.error());
  for (const NibbleTensor& part : *tensors) {
    std::int64_t count = 1;
    for (const std::int64_t extent : part.shape) count *= extent;
    NIBBLE_TRY(const StoredTensor* tensor, m.tensors.need_count(part.suffix, {part.element}, count));
    NIBBLE_TRY_STATUS(read_part(m, part, *tensor));
  }
  return m.tensors.finish(make_stored_matrix(std::move(m.parts)));
}

bool detect(const FamilyInput& input) {
  const Json& config = input.quantization_config;
  return !input.is_gguf && config.is_object() && config.contains("quant_method") && config["quant_method"] == "nibble";
}

Result<std::vector<FamilyModule>> open(const FamilyInput& input) {
  const std::string what = input.what + ": quantization_config";
  const JsonFields fields(input.quantization_config, what);
  NIBBLE_TRY(const auto version, fields.integer("version"));
  if (!version || *version < 1 || *version > kVersion)
    return fail(ErrorCode::kUnsupported, "{}: \"version\" is {}; this program reads versions 1 to {}", what,
                version ? std::to_string(*version) : "missing", kVersion);
  const Json* schemes_json = fields.child("schemes");
  const Json* modules_json = fields.child("modules");
  if (schemes_json == nullptr || !schemes_json->is_object() || modules_json == nullptr || !modules_json->is_object())
    return fail(ErrorCode::kCorrupt, "{}: \"schemes\" and \"modules\" must be objects", what);
  std::map<std::string, QuantScheme> schemes;
  for (const auto& [name, json] : schemes_json->items()) {
    NIBBLE_TRY(QuantScheme scheme, scheme_from_json(json, what + ".schemes." + name));
    schemes.emplace(name, std::move(scheme));
  }
  std::vector<FamilyModule> modules;
  for (const auto& [module, json] : modules_json->items()) {
    const auto scheme = json.is_string() ? schemes.find(json.get<std::string>()) : schemes.end();
    if (scheme == schemes.end())
      return fail(ErrorCode::kCorrupt, "{}.modules: \"{}\" must name one of \"schemes\"", what, module);
    NIBBLE_TRY(FamilyModule opened, open_module(input, module, scheme->second));
    modules.push_back(std::move(opened));
  }
  return modules;
}

// ---- writing ----

Status can_express(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols) {
  if (rows < 1 || cols < 1 || rows > kMaxExtent || cols > kMaxExtent)
    return fail(ErrorCode::kUnsupported, "a matrix of {} x {}", rows, cols);
  if (scheme.is_float() && !scheme.scale && !scheme.offset)
    return fail(ErrorCode::kUnsupported, "plain {} needs no family; it is stored as it is", to_string(scheme));
  NIBBLE_TRY_STATUS(check_storable(scheme));
  const auto tensors = nibble_tensors(scheme, rows, cols);
  return tensors.ok() ? Status() : Status(tensors.error());
}

Result<std::vector<EncodedPlan>> plan(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols,
                                      const std::string& module) {
  NIBBLE_TRY_STATUS(can_express(scheme, rows, cols));
  NIBBLE_TRY(const std::vector<NibbleTensor> tensors, nibble_tensors(scheme, rows, cols));
  std::vector<EncodedPlan> planned;
  for (const NibbleTensor& tensor : tensors)
    planned.push_back({module + tensor.suffix, tensor.shape, tensor.element, -1});
  return planned;
}

/// `count` items of `size` bytes from `held`, which begins with item `first_held`, to their place in a tensor.
Status write_items(const EncodedSink& sink, std::size_t index, const std::byte* held, std::int64_t first_held,
                   const EntryRange& items, std::size_t size) {
  if (items.count == 0) return {};
  return sink(
      index, static_cast<std::uint64_t>(items.first) * size,
      {held + static_cast<std::size_t>(items.first - first_held) * size, static_cast<std::size_t>(items.count) * size});
}

Status write_codes(const QuantizedMatrix& m, std::size_t index, const EncodedSink& sink) {
  const CodeFormat& code = m.scheme.code;
  const std::uint64_t row_bytes = nibble_row_bytes(code, m.cols);
  const std::uint64_t offset = static_cast<std::uint64_t>(m.row_begin) * row_bytes;
  if (code.code_bytes() > 1 || code.bits == 8) return sink(index, offset, std::as_bytes(std::span(m.codes)));
  std::vector<std::byte> bytes(row_bytes * static_cast<std::size_t>(m.row_count));
  for (std::size_t r = 0; r < static_cast<std::size_t>(m.row_count); ++r)
    pack_bits(m.codes.data() + r * static_cast<std::size_t>(m.cols), code.bits, static_cast<std::size_t>(m.cols),
              bytes.data() + r * row_bytes);
  return sink(index, offset, bytes);
}

/// Codes of a nested plane. encode_row_step() makes ranges begin at whole bytes of the stream.
Status write_nested_codes(const PlaneFormat& format, const PlaneData& data, const EntryRange& owned, std::size_t index,
                          const EncodedSink& sink) {
  if (owned.count == 0) return {};
  const int bits = format.nested->code.bits;
  std::vector<std::byte> bytes(packed_bytes(static_cast<std::uint64_t>(owned.count), bits));
  pack_bits(data.codes.data() + (owned.first - data.first_entry), bits, static_cast<std::size_t>(owned.count),
            bytes.data());
  return sink(index, static_cast<std::uint64_t>(owned.first / 8 * bits + owned.first % 8 * bits / 8), bytes);
}

/// Table values in their stored type; a value that the type cannot hold is refused.
Status write_tables(const QuantizedMatrix& m, std::size_t index, const EncodedSink& sink) {
  const ElementType element = m.scheme.table.element;
  const bool bank = m.scheme.table.bank_size > 0;
  const EntryRange owned = bank ? EntryRange{0, m.row_begin == 0 ? m.scheme.table.bank_size : 0}
                                : owned_entries(m.scheme.table.grouping, m.rows, m.cols, m.row_begin, m.row_count);
  for (const float value : m.tables)
    if (round_to_element(element, value) != value && value == value)
      return fail(ErrorCode::kInvalidArgument, "the table value {} is no {}", value, element_info(element).name);
  std::vector<std::byte> bytes(m.tables.size() * element_size(element));
  encode_elements(element, m.tables.data(), m.tables.size(), bytes.data());
  const std::size_t table_bytes = (std::size_t{1} << m.scheme.code.bits) * element_size(element);
  return write_items(sink, index, bytes.data(), bank ? 0 : m.first_table, owned, table_bytes);
}

Status write_plane(const QuantizedMatrix& m, const NibbleTensor& part, std::size_t index, const EncodedSink& sink) {
  const PlaneFormat& format = plane_format(m.scheme, part.plane);
  const PlaneData& data = part.plane == NibblePlane::kScale  ? m.scale
                          : part.plane == NibblePlane::kZero ? m.zero
                                                             : m.offset;
  const EntryRange owned = owned_entries(format.grouping, m.rows, m.cols, m.row_begin, m.row_count);
  const bool first = m.row_begin == 0;
  switch (part.part) {
    case NibblePart::kEntries:
      return write_items(sink, index, data.entries.data(), data.first_entry, owned, element_size(part.element));
    case NibblePart::kNestedCodes:
      return write_nested_codes(format, data, owned, index, sink);
    case NibblePart::kOuter: {
      const EntryRange outer = owned_outers(*format.nested, owned, first);
      return write_items(sink, index, data.outer.data(), data.first_outer, outer, element_size(part.element));
    }
    case NibblePart::kNestedTable:
      return first ? sink(index, 0, std::as_bytes(std::span(data.table))) : Status();
    default:
      return first ? sink(index, 0, std::as_bytes(std::span(&data.constant, 1))) : Status();
  }
}

/// The parts that every matrix has as a whole, given with its first rows: no plane's, no row's.
std::span<const std::byte> whole_part(const QuantizedMatrix& m, NibblePart part) {
  if (part == NibblePart::kGroupIndex) return std::as_bytes(std::span(m.group_index));
  if (part == NibblePart::kKeptColumns) return std::as_bytes(std::span(m.supplement.columns));
  return m.supplement.right;
}

/// The supplement's parts that have rows; empty for others.
std::span<const std::byte> supplement_rows(const QuantizedMatrix& m, NibblePart part) {
  if (part == NibblePart::kKept) return m.supplement.kept;
  if (part == NibblePart::kKeptScale) return m.supplement.kept_scale;
  if (part == NibblePart::kLeft) return m.supplement.left;
  return {};
}

Status encode(const QuantizedMatrix& m, const std::string& module, const EncodedSink& sink) {
  NIBBLE_TRY(const std::vector<NibbleTensor> tensors, nibble_tensors(m.scheme, m.rows, m.cols));
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const NibbleTensor& part = tensors[i];
    Status status;
    if (part.plane != NibblePlane::kNone) {
      status = write_plane(m, part, i, sink);
    } else if (part.part == NibblePart::kCodes) {
      status = write_codes(m, i, sink);
    } else if (part.part == NibblePart::kTable) {
      status = write_tables(m, i, sink);
    } else if (part.part == NibblePart::kSelector) {
      const EntryRange owned = owned_entries(m.scheme.table.grouping, m.rows, m.cols, m.row_begin, m.row_count);
      status = write_items(sink, i, reinterpret_cast<const std::byte*>(m.selector.data()), m.first_table, owned, 1);
    } else if (const auto rows = supplement_rows(m, part.part); !rows.empty()) {
      status =
          sink(i, rows.size() / static_cast<std::size_t>(m.row_count) * static_cast<std::uint64_t>(m.row_begin), rows);
    } else if (m.row_begin == 0) {
      const std::int64_t shape[2] = {m.rows, m.cols};
      status = sink(i, 0, part.part == NibblePart::kShape ? std::as_bytes(std::span(shape)) : whole_part(m, part.part));
    }
    if (!status.ok()) return with_context(status.error(), "module \"" + module + "\"");
  }
  return {};
}

/// Rows after which the stream of a nested plane's codes is at a whole byte; 0 (all) when that depends on the matrix.
std::int64_t encode_row_step(const QuantScheme& scheme) {
  std::int64_t step = block_rows(scheme);
  bool all = false;
  const auto consider = [&](const PlaneFormat& plane) {
    if (!plane.nested || plane.nested->code.bits == 8 || plane.grouping.kind == Grouping::Kind::kTensor) return;
    if (plane.grouping.row_aligned())
      widen_step(step, 8 * plane.grouping.rows);
    else
      all = true;
  };
  if (scheme.scale) consider(*scheme.scale);
  if (scheme.zero_kind != ZeroKind::kNone) consider(scheme.zero);
  if (scheme.offset) consider(*scheme.offset);
  return all || step == kMaxExtent ? 0 : step;
}

Json quantization_config(std::span<const WrittenModule> modules, std::span<const std::string> unquantized) {
  (void)unquantized;  // a module that is not listed is not quantized
  std::map<std::string, QuantScheme> schemes;
  Json schemes_json = Json::object();
  Json::object_t names;  // appended to, not searched: there may be ten thousands
  for (const WrittenModule& module : modules) {
    const std::string plain = to_string(module.scheme);
    std::string name = plain;
    for (int n = 2;; ++n) {
      const auto [it, is_new] = schemes.emplace(name, module.scheme);
      if (is_new) schemes_json[name] = scheme_to_json(module.scheme);
      if (it->second == module.scheme) break;
      name = fmt::format("{}#{}", plain, n);
    }
    names.emplace_back(module.module, name);
  }
  const auto supplemented = [](const WrittenModule& module) { return !module.scheme.supplement.empty(); };
  const std::int64_t version = std::ranges::any_of(modules, supplemented) ? 2 : 1;
  return {{"quant_method", "nibble"}, {"version", version}, {"schemes", schemes_json}, {"modules", std::move(names)}};
}

}  // namespace

constinit const Family kNibbleFamily{
    .name = "nibble",
    .detect = detect,
    .open = open,
    .can_express = can_express,
    .plan = plan,
    .encode = encode,
    .quantization_config = quantization_config,
    .mixes_schemes = true,
    .holds_supplements = true,
    .encode_row_step = encode_row_step,
};

}  // namespace nibble
