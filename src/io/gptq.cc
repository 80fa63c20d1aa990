// Reading of GPTQ tensors and configurations; writing of symmetric (v1) and asymmetric (v2) ones.
#include "io/gptq.h"

#include <algorithm>
#include <cstring>

#include "base/log.h"
#include "io/bit_packing.h"
#include "io/name_pattern.h"
#include "io/refused_fields.h"
#include "io/stored_matrix.h"
#include "io/word_columns.h"

namespace nibble {
namespace {

constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
std::size_t element_size(ElementType type) { return static_cast<std::size_t>(element_info(type).bits) / 8; }

// ---- bits ----

/// The planes of the planar layout: low bits first.
struct BitPlane {
  int width;
  int offset;
};
std::span<const BitPlane> bit_planes(int bits) {
  static constexpr BitPlane kPlanes[9][3] = {{},       {{1, 0}},         {{2, 0}},         {{2, 0}, {1, 2}},
                                             {{4, 0}}, {{4, 0}, {1, 4}}, {{4, 0}, {2, 4}}, {{4, 0}, {2, 4}, {1, 6}},
                                             {{8, 0}}};
  static constexpr std::size_t kCounts[9] = {0, 1, 1, 2, 1, 2, 2, 3, 1};
  return {kPlanes[bits], kCounts[bits]};
}

/// 32 codes from the `bits` words of the planar layout; each plane is a dense stream of its own.
void unpack_planar(const std::uint32_t* words, int bits, std::uint8_t* codes) {
  std::fill_n(codes, 32, std::uint8_t{0});
  for (const BitPlane& plane : bit_planes(bits)) {
    std::uint8_t part[32];
    unpack_bits(reinterpret_cast<const std::byte*>(words), plane.width, 32, part);
    for (int i = 0; i < 32; ++i) codes[i] = static_cast<std::uint8_t>(codes[i] | part[i] << plane.offset);
    words += plane.width;
  }
}

CodeReader code_reader(HeldBytes held, int bits, bool planar, std::int64_t rows, std::int64_t cols) {
  return [held = std::move(held), bits, planar, rows, cols](std::int64_t begin, std::int64_t count,
                                                            std::uint8_t* codes) -> Status {
    const WordColumns words{held.data(), rows};
    if (!planar) {
      words.unpack(begin, count, bits, cols, codes, cols);
      return {};
    }
    for (std::int64_t r = 0; r < count; ++r) {
      for (std::int64_t c = 0; c < cols; c += 32) {
        std::uint32_t group[8];
        for (int j = 0; j < bits; ++j) group[j] = words.word(c / 32 * bits + j, begin + r);
        unpack_planar(group, bits, codes + r * cols + c);
      }
    }
    return {};
  };
}

/// The stored field of zero point `row` of group `group`: fields run along the row of words of their group.
std::uint32_t zero_field(const std::byte* words, std::int64_t words_per_group, std::int64_t group, std::int64_t row,
                         const GptqLayout& layout) {
  const std::byte* line = words + group * words_per_group * 4;
  const auto word_at = [line](std::int64_t index) {
    std::uint32_t word;
    std::memcpy(&word, line + index * 4, 4);
    return word;
  };
  const int bits = layout.bits;
  if (layout.planar) {
    std::uint32_t packed[8];
    for (int j = 0; j < bits; ++j) packed[j] = word_at(row / 32 * bits + j);
    std::uint8_t fields[32];
    unpack_planar(packed, bits, fields);
    return fields[row % 32];
  }
  const std::int64_t index = row * bits / 32;
  const int shift = static_cast<int>(row * bits % 32);
  if (layout.zeros == GptqZeros::kV1Words && 32 % bits == 0)  // one in every field, carries included
    return (word_at(index) + 0xFFFFFFFFu / ((1u << bits) - 1u)) >> shift & ((1u << bits) - 1u);
  std::uint32_t field = word_at(index) >> shift;
  if (shift + bits > 32) field |= word_at(index + 1) << (32 - shift);
  return field & ((1u << bits) - 1u);
}

/// Every field of a stored qzeros tensor is `value`.
bool all_zero_fields(const StoredTensor& tensor, int bits, std::uint32_t value, std::int64_t rows) {
  const std::int64_t words = tensor.shape[1];
  const GptqLayout plain{bits, -1, GptqZeros::kV2, false};
  for (std::int64_t g = 0; g < tensor.shape[0]; ++g)
    for (std::int64_t r = 0; r < rows; ++r)
      if (zero_field(tensor.bytes.data(), words, g, r, plain) != value) return false;
  return true;
}

// ---- a module ----

struct GptqModule {
  ModuleTensors& tensors;
  GptqLayout layout;
  std::int64_t groups = 0;
  StoredParts parts = {};
};

/// The grouping of the columns from g_idx, or ascending where there is none.
Result<Grouping> column_grouping(GptqModule& m) {
  const std::int64_t cols = m.parts.cols;
  const std::int64_t groups = m.groups;
  std::int64_t size = m.layout.group_size > 0 ? std::min(m.layout.group_size, cols) : cols;
  if (divide_up(cols, size) != groups) {
    if (groups > cols || cols % groups != 0)
      return m.tensors.error(ErrorCode::kCorrupt, "\"scales\" has {} groups; {} columns in groups of {} have {}",
                             groups, cols, m.layout.group_size, divide_up(cols, size));
    size = cols / groups;
  }
  const Grouping ascending = groups == 1 ? Grouping::row() : Grouping::columns(size);
  if (m.tensors.find(".g_idx") == nullptr) return ascending;
  NIBBLE_TRY(const StoredTensor* index, m.tensors.need(".g_idx", {ElementType::kI32, ElementType::kI64}, {cols}));
  bool trivial = true;
  bool all_zero = true;
  std::vector<std::int32_t> group_index(static_cast<std::size_t>(cols));
  for (std::int64_t c = 0; c < cols; ++c) {
    const std::int64_t group = integer_element(*index, c);
    if (group < 0 || group >= groups)
      return m.tensors.error(ErrorCode::kCorrupt, "\"g_idx\" holds {} for column {}, there are {} groups", group, c,
                             groups);
    trivial = trivial && group == c / size;
    all_zero = all_zero && group == 0;
    group_index[static_cast<std::size_t>(c)] = static_cast<std::int32_t>(group);
  }
  if (all_zero && !trivial)  // as other readers take it; a matrix of one group would have one row of scales
    log_warning("module \"{}\": \"g_idx\" is all zeros beside {} groups; it was never filled and is ignored",
                m.tensors.module(), groups);
  if (trivial || all_zero) return ascending;
  m.parts.group_index = std::move(group_index);
  return Grouping::indexed(groups);
}

Status read_zeros(GptqModule& m) {
  const int bits = m.layout.bits;
  const std::int64_t rows = m.parts.rows;
  const auto words = static_cast<std::int64_t>(packed_word_bytes(static_cast<std::uint64_t>(rows), bits) / 4);
  const std::uint32_t centre = 1u << (bits - 1);
  if (m.tensors.find(".qzeros") != nullptr || m.layout.zeros != GptqZeros::kSymmetric) {
    NIBBLE_TRY(const StoredTensor* zeros, m.tensors.need(".qzeros", {ElementType::kI32}));
    if (m.layout.zeros == GptqZeros::kSymmetric) return {};  // some files label or pad them wrongly: not looked at
    NIBBLE_TRY_STATUS(m.tensors.need(".qzeros", {ElementType::kI32}, {m.groups, words}));
    if (m.layout.zeros == GptqZeros::kInspect) {
      if (all_zero_fields(*zeros, bits, centre - 1, rows) || all_zero_fields(*zeros, bits, centre, rows)) return {};
      m.layout.zeros = GptqZeros::kV1Fields;
    }
    const Grouping grouping = m.parts.scheme.scale->grouping;
    m.parts.scheme.code.bias = 0;
    m.parts.scheme.zero_kind = ZeroKind::kInteger;
    m.parts.scheme.zero = PlaneFormat{grouping, ElementType::kI16, false, std::nullopt};
    m.parts.zero.entries =
        zero_entries([held = HeldBytes(*zeros), words, groups = m.groups, layout = m.layout](std::int64_t entry) {
          std::uint32_t field = zero_field(held.data(), words, entry % groups, entry / groups, layout);
          const bool straddling_words = layout.zeros == GptqZeros::kV1Words && 32 % layout.bits != 0;
          if (layout.zeros == GptqZeros::kV1Fields || straddling_words) ++field;
          return static_cast<std::int32_t>(field & ((1u << layout.bits) - 1u));
        });
  }
  return {};
}

}  // namespace

Result<FamilyModule> open_gptq_module(ModuleTensors& tensors, const GptqLayout& layout) {
  GptqModule m{tensors, layout};
  const int bits = layout.bits;
  NIBBLE_TRY(const StoredTensor* weight, tensors.need(".qweight", {ElementType::kI32}, {kAnyExtent, kAnyExtent}));
  m.parts.rows = weight->shape[1];
  const StoredTensor* index = tensors.find(".g_idx");
  m.parts.cols = index != nullptr && index->shape.size() == 1 ? index->shape[0] : weight->shape[0] * 32 / bits;
  if (m.parts.cols < 1 || m.parts.cols > kMaxExtent ||
      static_cast<std::int64_t>(packed_word_bytes(static_cast<std::uint64_t>(m.parts.cols), bits) / 4) !=
          weight->shape[0])
    return tensors.error(ErrorCode::kCorrupt, "\"qweight\" has {} rows of words, which is not {} columns of {} bits",
                         weight->shape[0], m.parts.cols, bits);
  if (layout.planar && (m.parts.cols % 32 != 0 || m.parts.rows % 32 != 0))
    return tensors.error(ErrorCode::kCorrupt, "the planar layout needs multiples of 32, this is {} x {}", m.parts.rows,
                         m.parts.cols);
  NIBBLE_TRY(
      const StoredTensor* scales,
      tensors.need(".scales", {ElementType::kF16, ElementType::kBf16, ElementType::kF32}, {kAnyExtent, m.parts.rows}));
  m.groups = scales->shape[0];
  NIBBLE_TRY(const Grouping grouping, column_grouping(m));
  m.parts.scheme.code = CodeFormat::integer(bits, 1 << (bits - 1));
  m.parts.scheme.scale = PlaneFormat{grouping, scales->element, false, std::nullopt};
  m.parts.scale.entries = entries_transposed(HeldBytes(*scales), element_size(scales->element), m.groups, m.parts.rows);
  NIBBLE_TRY_STATUS(read_zeros(m));
  m.parts.codes = code_reader(HeldBytes(*weight), bits, layout.planar, m.parts.rows, m.parts.cols);
  m.parts.by_matrix = {HeldBytes(*weight), HeldBytes(*scales)};
  return tensors.finish(make_stored_matrix(std::move(m.parts)));
}

namespace {

// ---- configuration ----

/// "gptqmodel:1.2" among the writers: zero points of v1 were subtracted word by word.
bool written_word_by_word(const JsonFields& fields) {
  if (fields.has("autoround_version")) return true;
  const auto provider = fields.string("provider");
  if (provider.ok() && *provider && (*provider)->find("auto-round") != std::string::npos) return true;
  const Json* meta = fields.child("meta");
  if (meta == nullptr) return false;
  const auto writers = JsonFields(*meta, fields.what()).strings("quantizer");
  if (!writers.ok() || !*writers) return false;
  return std::any_of((*writers)->begin(), (*writers)->end(),
                     [](const std::string& writer) { return writer.starts_with("gptqmodel:"); });
}

/// Words of other widths hold the codes elsewhere.
constexpr RefusedField kRefused[] = {{"pack_dtype", "int32"}, {"method", "gptq"}};

/// Fields that the checkpoint sets for all modules and `dynamic` for some.
struct GptqSettings {
  std::int64_t bits = 4;
  std::int64_t group_size = 128;
  std::optional<bool> symmetric;
};

Status read_settings(const JsonFields& fields, GptqSettings& settings) {
  NIBBLE_TRY(const auto bits, fields.integer("bits"));
  NIBBLE_TRY(const auto group_size, fields.integer("group_size"));
  NIBBLE_TRY(const auto symmetric, fields.boolean("sym"));
  settings.bits = bits.value_or(settings.bits);
  settings.group_size = group_size.value_or(settings.group_size);
  if (symmetric) settings.symmetric = symmetric;
  if (settings.bits < 2 || settings.bits > 8)
    return fail(ErrorCode::kUnsupported, "{}: \"bits\" is {}; GPTQ has 2 to 8", fields.what(), settings.bits);
  if (settings.group_size == 0 || settings.group_size < -1)
    return fail(ErrorCode::kCorrupt, "{}: \"group_size\" is {}", fields.what(), settings.group_size);
  return {};
}

class GptqConfig {
 public:
  static Result<GptqConfig> parse(const Json& json, const std::string& what) {
    GptqConfig config;
    config.json_ = json.is_object() ? json : Json::object();
    config.what_ = what + ": quantization_config";
    config.patterns_ = NamePatterns(config.what_ + ": \"dynamic\"");
    const JsonFields fields(config.json_, config.what_);
    NIBBLE_TRY_STATUS(refuse_fields(config.json_, kRefused, config.what_));
    NIBBLE_TRY_STATUS(read_settings(fields, config.settings_));
    NIBBLE_TRY(const auto old_name, fields.string("checkpoint_format"));
    NIBBLE_TRY(const auto new_name, fields.string("format"));
    config.format_ = old_name.value_or(new_name.value_or("gptq"));
    NIBBLE_TRY(const auto marlin, fields.boolean("is_marlin_format"));
    if (marlin.value_or(false)) config.format_ = "marlin";
    if (config.format_ != "gptq" && config.format_ != "gptq_v2" && config.format_ != "gptq_p")
      return fail(ErrorCode::kUnsupported,
                  "{}: the checkpoint format \"{}\" is made for one kernel and not readable; known: gptq, gptq_v2, "
                  "gptq_p; convert the checkpoint with the tool that wrote it",
                  config.what_, config.format_);
    config.word_by_word_ = written_word_by_word(fields);
    return config;
  }

  /// The layout of a module: the first matching pattern of `dynamic` overrides the checkpoint's fields.
  Result<GptqLayout> layout_of(const std::string& module) {
    GptqSettings settings = settings_;
    const JsonFields fields(json_, what_);
    if (const Json* dynamic = fields.child("dynamic"); dynamic != nullptr && dynamic->is_object()) {
      for (const auto& [key, value] : dynamic->items()) {
        const bool excludes = key.starts_with("-:");  // "not quantized": its tensors say otherwise, and they decide
        const std::string pattern = excludes || key.starts_with("+:") ? key.substr(2) : key;
        NIBBLE_TRY(const bool matched, patterns_.matches_start(pattern, module));
        if (!matched) continue;
        if (!excludes) NIBBLE_TRY_STATUS(read_settings(JsonFields(value, what_ + ".dynamic." + key), settings));
        break;
      }
    }
    GptqLayout layout;
    layout.bits = static_cast<int>(settings.bits);
    layout.group_size = settings.group_size;
    layout.planar = format_ == "gptq_p";
    if (settings.symmetric.value_or(false)) {
      layout.zeros = GptqZeros::kSymmetric;
    } else if (format_ != "gptq") {
      layout.zeros = GptqZeros::kV2;
    } else if (!settings.symmetric) {
      layout.zeros = GptqZeros::kInspect;
    } else {
      layout.zeros = word_by_word_ ? GptqZeros::kV1Words : GptqZeros::kV1Fields;
    }
    if (32 % layout.bits != 0 && layout.bits != 3 && !layout.planar)
      return fail(ErrorCode::kUnsupported, "{}: module \"{}\": {} bits exist in the format gptq_p only", what_, module,
                  layout.bits);
    return layout;
  }

 private:
  Json json_;
  std::string what_;
  std::string format_;
  GptqSettings settings_;
  bool word_by_word_ = false;
  NamePatterns patterns_;
};

bool detect(const FamilyInput& input) {
  if (input.is_gguf) return false;
  const Json& config = input.quantization_config;
  if (config.is_object() && config.contains("quant_method")) return config["quant_method"] == "gptq";
  return std::any_of(input.tensors.all().begin(), input.tensors.all().end(), [&](const StoredTensor& tensor) {
    if (!tensor.name.ends_with(".qweight") || tensor.element != ElementType::kI32 || tensor.shape.size() != 2)
      return false;
    const StoredTensor* scales = input.tensors.find(tensor.name.substr(0, tensor.name.size() - 7) + "scales");
    return scales != nullptr && scales->shape.size() == 2 && scales->shape[1] == tensor.shape[1];
  });
}

Result<std::vector<FamilyModule>> open(const FamilyInput& input) {
  NIBBLE_TRY(GptqConfig config, GptqConfig::parse(input.quantization_config, input.what));
  std::vector<FamilyModule> modules;
  for (const std::string& name : modules_with(input.tensors, ".qweight")) {
    NIBBLE_TRY(const GptqLayout layout, config.layout_of(name));
    ModuleTensors tensors(input, name);
    NIBBLE_TRY(FamilyModule module, open_gptq_module(tensors, layout));
    modules.push_back(std::move(module));
  }
  return modules;
}

// ---- writing ----

Status can_express(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols) {
  const CodeFormat& code = scheme.code;
  const int bits = code.bits;
  const bool width = bits == 2 || bits == 3 || bits == 4 || bits == 8;
  if (code.kind != CodeFormat::Kind::kInteger || !width || !scheme.scale || scheme.offset ||
      scheme.post_scale != 1.0f || scheme.zero_kind == ZeroKind::kReal ||
      scheme.activations.kind != ActivationScheme::Kind::kNone)
    return fail(ErrorCode::kUnsupported, "GPTQ holds integers of 2, 3, 4 or 8 bits, not {}", to_string(scheme));
  const PlaneFormat& scale = *scheme.scale;
  using Kind = Grouping::Kind;
  const Grouping& grouping = scale.grouping;
  const bool groups = grouping.kind == Kind::kRow || grouping.kind == Kind::kColumns || grouping.kind == Kind::kIndexed;
  if (scale.nested || scale.divides || !groups ||
      (scale.element != ElementType::kF16 && scale.element != ElementType::kBf16))
    return fail(ErrorCode::kUnsupported, "GPTQ has scales of F16 or BF16 per row or group of columns, not {}",
                to_string(scheme));
  if (scheme.zero_kind == ZeroKind::kNone ? code.bias != 1 << (bits - 1)
                                          : scheme.zero.nested.has_value() || scheme.zero.grouping != grouping)
    return fail(ErrorCode::kUnsupported, "GPTQ has zero points grouped like the scales, or codes around 2^(bits-1)");
  if (rows % 32 != 0 || cols % 32 != 0)
    return fail(ErrorCode::kUnsupported, "GPTQ needs multiples of 32 rows and columns, this is {} x {}", rows, cols);
  if (grouping.kind == Kind::kColumns && cols % grouping.size != 0)
    return fail(ErrorCode::kUnsupported, "{} columns do not divide into groups of {}, as GPTQ's readers need", cols,
                grouping.size);
  return {};
}

std::int64_t group_count(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols) {
  return scheme.scale->grouping.entries_per_row(rows, cols);
}

Result<std::vector<EncodedPlan>> plan(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols,
                                      const std::string& module) {
  NIBBLE_TRY_STATUS(can_express(scheme, rows, cols));
  const int bits = scheme.code.bits;
  const std::int64_t groups = group_count(scheme, rows, cols);
  return std::vector<EncodedPlan>{{module + ".qweight", {cols * bits / 32, rows}, ElementType::kI32, -1},
                                  {module + ".qzeros", {groups, rows * bits / 32}, ElementType::kI32, -1},
                                  {module + ".scales", {groups, rows}, scheme.scale->element, -1},
                                  {module + ".g_idx", {cols}, ElementType::kI32, -1}};
}

/// Zero points as stored: v1 for symmetric codes, v2 for others.
Result<std::vector<std::byte>> pack_zeros(const QuantizedMatrix& m, std::int64_t groups) {
  const int bits = m.scheme.code.bits;
  const auto rows = static_cast<std::size_t>(m.rows);
  const std::size_t line = packed_word_bytes(rows, bits);
  std::vector<std::byte> packed(line * static_cast<std::size_t>(groups));
  std::vector<std::uint8_t> fields(rows, static_cast<std::uint8_t>((1 << (bits - 1)) - 1));
  for (std::int64_t g = 0; g < groups; ++g) {
    for (std::size_t r = 0; m.scheme.zero_kind == ZeroKind::kInteger && r < rows; ++r) {
      std::int16_t zero;
      std::memcpy(&zero,
                  m.zero.entries.data() + (r * static_cast<std::size_t>(groups) + static_cast<std::size_t>(g)) * 2, 2);
      const int field = zero + m.scheme.code.bias;
      if (field < 0 || field >= 1 << bits)
        return fail(ErrorCode::kInvalidArgument, "the zero point {} does not fit in {} bits", field, bits);
      fields[r] = static_cast<std::uint8_t>(field);
    }
    pack_bits(fields.data(), bits, rows, packed.data() + static_cast<std::size_t>(g) * line);
  }
  return packed;
}

/// All rows at once: codes are packed down the columns of the file's matrix.
Status encode(const QuantizedMatrix& m, const std::string& module, const EncodedSink& sink) {
  const int bits = m.scheme.code.bits;
  const auto rows = static_cast<std::size_t>(m.rows);
  const auto cols = static_cast<std::size_t>(m.cols);
  const std::size_t words = cols * static_cast<std::size_t>(bits) / 32;
  thread_local std::vector<std::uint32_t>
      weight;  // whole matrices: kept, or the system would clear its pages each time
  weight.resize(words * rows);
  pack_word_columns(m.codes.data(), m.rows, bits, m.cols, weight.data());
  NIBBLE_TRY_STATUS(sink(0, 0, std::as_bytes(std::span(weight))));
  const std::int64_t groups = group_count(m.scheme, m.rows, m.cols);
  auto zeros = pack_zeros(m, groups);
  if (!zeros.ok()) return with_context(zeros.error(), "module \"" + module + "\"");
  NIBBLE_TRY_STATUS(sink(1, 0, *zeros));
  const std::size_t size = element_size(m.scheme.scale->element);
  std::vector<std::byte> scales(m.scale.entries.size());
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t g = 0; g < static_cast<std::size_t>(groups); ++g)
      std::memcpy(scales.data() + (g * rows + r) * size,
                  m.scale.entries.data() + (r * static_cast<std::size_t>(groups) + g) * size, size);
  NIBBLE_TRY_STATUS(sink(2, 0, scales));
  std::vector<std::int32_t> index = m.group_index;
  index.resize(cols);
  const Grouping& grouping = m.scheme.scale->grouping;
  for (std::int64_t c = 0; m.group_index.empty() && c < m.cols; ++c)
    index[static_cast<std::size_t>(c)] =
        grouping.kind == Grouping::Kind::kColumns ? static_cast<std::int32_t>(c / grouping.size) : 0;
  return sink(3, 0, std::as_bytes(std::span(index)));
}

/// One label says for all modules how zero points are stored, and some readers look at those of symmetric codes too:
/// beside asymmetric modules they are written as what they are.
Result<QuantScheme> scheme_among(const QuantScheme& scheme, std::span<const QuantScheme> all) {
  const auto symmetric = [](const QuantScheme& each) { return each.zero_kind == ZeroKind::kNone; };
  QuantScheme among = scheme;
  if (!symmetric(scheme) || std::all_of(all.begin(), all.end(), symmetric)) return among;
  among.code.bias = 0;
  among.zero_kind = ZeroKind::kInteger;
  among.zero = PlaneFormat{scheme.scale->grouping, ElementType::kI16, false, std::nullopt};
  return among;
}

std::int64_t encode_row_step(const QuantScheme&) { return 0; }

std::int64_t group_size_of(const WrittenModule& module) {
  const Grouping& grouping = module.scheme.scale->grouping;
  if (grouping.kind == Grouping::Kind::kRow) return -1;
  return grouping.kind == Grouping::Kind::kIndexed ? module.cols / grouping.size : grouping.size;
}

/// A pattern of `dynamic` that matches this module alone.
std::string pattern_of(std::string_view kind, std::string_view module) {
  std::string pattern = std::string(kind) + "^";
  for (const char c : module) pattern += c == '.' ? std::string("\\.") : std::string(1, c);
  return pattern + "$";
}

Json quantization_config(std::span<const WrittenModule> modules, std::span<const std::string> unquantized) {
  Json config = {{"bits", 4},
                 {"group_size", 128},
                 {"desc_act", false},
                 {"sym", true},
                 {"lm_head", false},
                 {"quant_method", "gptq"},
                 {"checkpoint_format", "gptq"},
                 {"pack_dtype", "int32"},
                 {"true_sequential", true},
                 {"static_groups", false},
                 {"damp_percent", 0.01}};
  if (modules.empty()) return config;
  const auto settings = [](const WrittenModule& module) {
    return Json{{"bits", module.scheme.code.bits},
                {"group_size", group_size_of(module)},
                {"desc_act", module.scheme.scale->grouping.kind == Grouping::Kind::kIndexed},
                {"sym", module.scheme.zero_kind == ZeroKind::kNone}};
  };
  const Json common = settings(modules.front());
  config.update(common);
  Json dynamic = Json::object();
  for (const WrittenModule& module : modules) {
    if (module.scheme.zero_kind != ZeroKind::kNone) config["checkpoint_format"] = "gptq_v2";
    if (module.module == "lm_head") config["lm_head"] = true;
    Json own = settings(module);
    if (own == common) continue;
    dynamic[pattern_of("+:", module.module)] = own;
  }
  for (const std::string& module : unquantized)
    if (module != "lm_head") dynamic[pattern_of("-:", module)] = Json::object();  // of the head, "lm_head" says it
  if (!dynamic.empty()) config["dynamic"] = dynamic;
  return config;
}

}  // namespace

constinit const Family kGptqFamily{
    .name = "gptq",
    .detect = detect,
    .open = open,
    .can_express = can_express,
    .plan = plan,
    .encode = encode,
    .quantization_config = quantization_config,
    .scheme_among = scheme_among,
    .mixes_schemes = true,
    .encode_row_step = encode_row_step,
};

}  // namespace nibble
