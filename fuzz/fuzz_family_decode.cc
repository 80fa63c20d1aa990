// Any family on any small set of tensors with any configuration: opening, decoding ranges and writing again never
// crash, and what decode() accepts is a valid matrix. Starts from checkpoints that are right and breaks them, or from
// names alone.
#include <fuzzer/FuzzedDataProvider.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/family.h"

namespace {

using namespace nibble;

constexpr std::size_t kMaxTensorBytes = 1 << 13;  // thousands of executions a second
constexpr std::int64_t kMaxWeights = 1 << 13;

struct RawTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  ElementType element = ElementType::kU8;
  std::vector<std::byte> bytes;
};

const char* const kSuffixes[] = {".weight",
                                 ".weight_packed",
                                 ".weight_scale",
                                 ".weight_shape",
                                 ".weight_zero_point",
                                 ".weight_g_idx",
                                 ".weight_global_scale",
                                 ".weight_scale_2",
                                 ".weight_scale_inv",
                                 ".scale",
                                 ".input_scale",
                                 ".qweight",
                                 ".qzeros",
                                 ".scales",
                                 ".scaled_zeros",
                                 ".g_idx",
                                 ".SCB",
                                 ".weight_format",
                                 ".weight.absmax",
                                 ".weight.quant_map",
                                 ".weight.nested_absmax",
                                 ".weight.nested_quant_map",
                                 ".weight.quant_state.bitsandbytes__nf4",
                                 ".weight.quant_state.bitsandbytes__fp4",
                                 "_blocks",
                                 "_scales",
                                 "",
                                 "_scale",
                                 ".W_q",
                                 ".packing",
                                 ".zero",
                                 ".shape",
                                 ".nbits",
                                 ".axis",
                                 ".group_size",
                                 ".weight._data",
                                 ".weight._data._data",
                                 ".weight._scale",
                                 ".weight._shift",
                                 ".codes",
                                 ".scale.codes",
                                 ".scale.outer",
                                 ".table",
                                 ".selector",
                                 ".group_index"};

const char* const kConfigs[] = {
    R"({"bits":4,"group_size":8,"sym":false,"checkpoint_format":"gptq","dynamic":{"m":{"bits":3}}})",
    R"({"bits":5,"group_size":-1,"sym":true,"checkpoint_format":"gptq_p"})",
    R"({"bits":4,"group_size":8,"version":"gemv","zero_point":true})",
    R"({"packing_format":"auto_round:auto_awq","bits":4,"group_size":8,"extra_config":{"m":{"sym":false}}})",
    R"({"weight_block_size":[4,8],"activation_scheme":"dynamic"})",
    R"({"weights":"int4"})",
    R"({"config_groups":{"g":{"targets":["re:m"],"weights":{"num_bits":3,"symmetric":false,"strategy":"group","group_size":8}}}})",
    R"({"config_groups":{"g":{"targets":["Linear"],"weights":{"num_bits":8,"type":"float","strategy":"block","block_structure":[4,8]}}}})",
    R"({"version":1,"schemes":{"s":{"code":{"kind":"integer","bits":3,"bias":4},"scale":{"grouping":"g8","type":"f16"}}},"modules":{"m":"s"}})"};

const char* const kSchemes[] = {"int4-g8-sym",
                                "int3-g8-asym",
                                "int8-channel-asym",
                                "int4-tensor-asym",
                                "nf4-g32-dq",
                                "fp4-flat64-dq",
                                "nf4-flat64-scale:f32",
                                "fp8-e4m3-block4x8-scale:f32",
                                "fp8-e4m3-tensor-scale:f32",
                                "codebook4-row-g8",
                                "codebook3-g8",
                                "int2-block3x5",
                                "int8-channel-sym+dyn-token",
                                "int4-g32-asym",
                                "int4-g32-sym",
                                "int3-g8-sym-keep8:10%-rank2",
                                "codebook3-row-keep16:5%",
                                "int3-flat7"};

/// Tensors and configuration of a matrix that a family wrote itself; false when it cannot hold the scheme.
bool write_valid(const Family& family, FuzzedDataProvider& data, std::vector<RawTensor>& tensors, Json& config) {
  QuantScheme scheme = parse_scheme(data.PickValueInArray(kSchemes)).value();
  if (data.ConsumeBool() && scheme.scale && scheme.scale->grouping.kind == Grouping::Kind::kColumns) {
    scheme.scale->grouping = Grouping::indexed(4);
    if (scheme.zero_kind != ZeroKind::kNone) scheme.zero.grouping = scheme.scale->grouping;
  }
  const std::int64_t rows = data.ConsumeBool() ? 8 : data.ConsumeIntegralInRange<std::int64_t>(1, 12);
  const std::int64_t cols = data.ConsumeBool() ? 64 : data.ConsumeIntegralInRange<std::int64_t>(1, 80);
  if (family.encode == nullptr || !family.expresses(scheme, rows, cols).ok()) return false;
  QuantizedMatrix matrix;
  matrix.allocate(scheme, rows, cols, 0, rows);
  for (std::size_t c = 0; c < matrix.group_index.size(); ++c) matrix.group_index[c] = static_cast<std::int32_t>(c % 4);
  const auto plan = family.plan(scheme, rows, cols, "m");
  if (!plan.ok()) std::abort();  // can_express() said yes
  for (const EncodedPlan& planned : *plan) {
    std::uint64_t count = 1;
    for (const std::int64_t extent : planned.shape) count *= static_cast<std::uint64_t>(extent);
    tensors.push_back({planned.name, planned.shape, planned.element,
                       std::vector<std::byte>(element_bytes(planned.element, count).value())});
  }
  (void)family.encode(
      matrix, "m", [&](std::size_t index, std::uint64_t offset, std::span<const std::byte> bytes) -> Status {
        if (index >= tensors.size() || offset + bytes.size() > tensors[index].bytes.size()) std::abort();
        std::copy(bytes.begin(), bytes.end(), tensors[index].bytes.begin() + static_cast<std::ptrdiff_t>(offset));
        return {};
      });
  const WrittenModule written{"m", scheme, true, rows, cols};
  config = family.quantization_config({&written, 1}, {});
  return true;
}

/// A right checkpoint of what a family reads and does not write: 8 x 64 weights.
struct ReadOnlyTensor {
  const char* suffix;
  ElementType element;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> integers = {};  ///< its values; else zeros
};
struct ReadOnlyCheckpoint {
  const char* family;
  const char* config;
  std::vector<ReadOnlyTensor> tensors;
};

const std::vector<ReadOnlyCheckpoint>& read_only_checkpoints() {
  using E = ElementType;
  static const std::vector<ReadOnlyCheckpoint> kAll{
      {"hqq",
       R"({"quant_method":"hqq"})",
       {{".W_q", E::kU8, {32, 8}},
        {".scale", E::kF16, {64, 1}},
        {".zero", E::kF16, {64, 1}},
        {".shape", E::kI64, {2}, {8, 64}},
        {".nbits", E::kI64, {1}, {4}},
        {".axis", E::kI64, {1}, {1}},
        {".group_size", E::kI64, {1}, {8}}}},
      {"hqq",
       R"({"quant_method":"hqq"})",
       {{".W_q", E::kI32, {7, 8}},
        {".scale", E::kF16, {64, 1}},
        {".zero", E::kF16, {64, 1}},
        {".shape", E::kI64, {2}, {8, 64}},
        {".nbits", E::kI64, {1}, {3}},
        {".group_size", E::kI64, {1}, {8}}}},
      {"fp8", R"({"quant_method":"fbgemm_fp8"})", {{"", E::kE4m3, {2, 64, 4}}, {"_scale", E::kF32, {2, 1, 4}}}},
      {"mxfp4", R"({"quant_method":"mxfp4"})", {{"_blocks", E::kU8, {1, 8, 2, 16}}, {"_scales", E::kU8, {1, 8, 2}}}},
      {"modelopt",
       R"({"quant_method":"modelopt"})",
       {{".weight", E::kU8, {8, 32}}, {".weight_scale", E::kE4m3, {8, 4}}, {".weight_scale_2", E::kF32, {1}}}},
      {"modelopt",
       R"({"producer":{"name":"modelopt"}})",
       {{".weight", E::kE4m3, {8, 64}}, {".weight_scale", E::kF32, {1}}, {".input_scale", E::kF32, {1}}}},
      {"quanto",
       R"({"quant_method":"quanto","weights":"int8"})",
       {{".weight._data", E::kI8, {8, 64}}, {".weight._scale", E::kF32, {8, 1}}}},
      {"quanto",
       R"({"quant_method":"quanto","weights":"int4"})",
       {{".weight._data._data", E::kU8, {32, 8}},
        {".weight._scale", E::kF16, {64, 1}},
        {".weight._shift", E::kU8, {64, 1}}}},
      {"auto-round",
       R"({"quant_method":"auto-round","bits":4,"group_size":8,"sym":false})",
       {{".qweight", E::kI32, {8, 8}}, {".qzeros", E::kI32, {8, 1}}, {".scales", E::kF16, {8, 8}}}},
      {"auto-round",
       R"({"quant_method":"auto-round","packing_format":"auto_round:auto_awq","bits":4,"group_size":8,"sym":false})",
       {{".qweight", E::kI32, {64, 1}}, {".qzeros", E::kI32, {8, 1}}, {".scales", E::kF16, {8, 8}}}}};
  return kAll;
}

bool take_read_only(const Family& family, FuzzedDataProvider& data, std::vector<RawTensor>& tensors, Json& config) {
  std::vector<const ReadOnlyCheckpoint*> of_family;
  for (const ReadOnlyCheckpoint& checkpoint : read_only_checkpoints())
    if (checkpoint.family == family.name) of_family.push_back(&checkpoint);
  if (of_family.empty()) return false;
  const ReadOnlyCheckpoint& chosen = *of_family[data.ConsumeIntegralInRange<std::size_t>(0, of_family.size() - 1)];
  for (const ReadOnlyTensor& tensor : chosen.tensors) {
    std::uint64_t count = 1;
    for (const std::int64_t extent : tensor.shape) count *= static_cast<std::uint64_t>(extent);
    std::vector<std::byte> bytes(element_bytes(tensor.element, count).value());
    const auto content = std::as_bytes(std::span(tensor.integers));
    std::copy(content.begin(), content.end(), bytes.begin());
    tensors.push_back({"m" + std::string(tensor.suffix), tensor.shape, tensor.element, std::move(bytes)});
  }
  config = parse_untrusted(chosen.config, "config").value();
  return true;
}

std::vector<std::int64_t> any_shape(FuzzedDataProvider& data) {
  std::vector<std::int64_t> shape(data.ConsumeIntegralInRange<std::size_t>(0, 4));
  for (auto& extent : shape)
    extent = data.ConsumeIntegralInRange(0, 30) == 0 ? data.ConsumeIntegral<std::int64_t>()
                                                     : data.ConsumeIntegralInRange<std::int64_t>(0, 40);
  return shape;
}

ElementType any_element(FuzzedDataProvider& data) {
  return element_types()[data.ConsumeIntegralInRange<std::size_t>(0, element_types().size() - 1)].type;
}

/// The bytes that shape and type ask for, unless they are too many.
void fit_bytes(RawTensor& tensor, FuzzedDataProvider& data) {
  std::uint64_t count = 1;
  for (const std::int64_t extent : tensor.shape)
    if (__builtin_mul_overflow(count, static_cast<std::uint64_t>(extent), &count)) count = kMaxTensorBytes + 1;
  const auto bytes = element_bytes(tensor.element, count);
  if (!bytes || *bytes > kMaxTensorBytes) return;
  tensor.bytes.assign(*bytes, static_cast<std::byte>(data.ConsumeIntegral<std::uint8_t>()));
  const std::string content = data.ConsumeRandomLengthString(64);
  std::copy_n(reinterpret_cast<const std::byte*>(content.data()), std::min(content.size(), tensor.bytes.size()),
              tensor.bytes.begin());
}

void break_something(std::vector<RawTensor>& tensors, Json& config, FuzzedDataProvider& data) {
  const int what = data.ConsumeIntegralInRange(0, 5);
  if (what == 0 || tensors.empty()) {
    RawTensor tensor{"m" + std::string(data.PickValueInArray(kSuffixes)), any_shape(data), any_element(data), {}};
    fit_bytes(tensor, data);
    tensors.push_back(std::move(tensor));
    return;
  }
  RawTensor& tensor = tensors[data.ConsumeIntegralInRange<std::size_t>(0, tensors.size() - 1)];
  if (what == 1 && !tensor.bytes.empty())
    tensor.bytes[data.ConsumeIntegralInRange<std::size_t>(0, tensor.bytes.size() - 1)] =
        static_cast<std::byte>(data.ConsumeIntegral<std::uint8_t>());
  if (what == 2) tensor.shape = any_shape(data), fit_bytes(tensor, data);
  if (what == 3) tensor.element = any_element(data);
  if (what == 4) {
    std::string text = config.dump();
    if (!text.empty())
      text[data.ConsumeIntegralInRange<std::size_t>(0, text.size() - 1)] = data.ConsumeIntegralInRange<char>(32, 126);
    if (auto parsed = parse_untrusted(text, "config"); parsed.ok()) config = std::move(parsed).value();
  }
  if (what == 5 && !tensor.bytes.empty()) tensor.bytes.pop_back();
}

void use(const FamilyModule& module, FuzzedDataProvider& data) {
  const MatrixSource& source = *module.weight;
  if (source.rows() < 1 || source.cols() < 1 || source.rows() > kMaxWeights / source.cols()) return;
  const std::int64_t step = source.row_step();
  QuantizedMatrix matrix;
  std::vector<float> values;
  for (const bool whole : {true, false}) {
    std::int64_t begin = 0;
    std::int64_t count = source.rows();
    if (!whole) {
      begin = data.ConsumeIntegralInRange<std::int64_t>(0, (source.rows() - 1) / step) * step;
      count = std::min(step * data.ConsumeIntegralInRange<std::int64_t>(1, 3), source.rows() - begin);
    }
    if (!source.decode(begin, count, matrix).ok()) continue;
    if (!matrix.validate().ok()) std::abort();  // decode() let something through
    values.resize(static_cast<std::size_t>(count * source.cols()));
    dequantize(matrix, values.data());
    for (const Family* family : all_families()) {
      if (!whole || family->encode == nullptr || !family->expresses(matrix.scheme, matrix.rows, matrix.cols).ok())
        continue;
      (void)family->encode(matrix, "m", [](auto, auto, auto) { return Status(); });
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  FuzzedDataProvider data(bytes, size);
  const auto families = all_families();
  const Family& family = *families[data.ConsumeIntegralInRange<std::size_t>(0, families.size() - 1)];
  if (family.name == "gguf") return 0;
  std::vector<RawTensor> tensors;
  Json config;
  const bool valid = data.ConsumeBool() && ((family.encode != nullptr && write_valid(family, data, tensors, config)) ||
                                            take_read_only(family, data, tensors, config));
  if (!valid) {
    auto parsed = parse_untrusted(
        data.ConsumeBool() ? data.ConsumeRandomLengthString(400) : data.PickValueInArray(kConfigs), "config");
    if (parsed.ok()) config = std::move(parsed).value();
    for (int i = data.ConsumeIntegralInRange(0, 6); i > 0; --i) {
      RawTensor tensor{"m" + std::string(data.PickValueInArray(kSuffixes)), any_shape(data), any_element(data), {}};
      fit_bytes(tensor, data);
      tensors.push_back(std::move(tensor));
    }
  }
  for (int i = data.ConsumeIntegralInRange(0, 6); i > 0; --i) break_something(tensors, config, data);
  TensorSet set;
  for (const RawTensor& raw : tensors) {
    StoredTensor tensor;
    tensor.name = raw.name;
    tensor.shape = raw.shape;
    tensor.element = raw.element;
    tensor.bytes = raw.bytes;
    (void)set.add(std::move(tensor));
  }
  const Json model = {{"hidden_size", 64}, {"intermediate_size", 32}};
  const FamilyInput input{"fuzz", model, config, set, false};
  (void)family.detect(input);
  const auto modules = family.open(input);
  if (!modules.ok()) return 0;
  for (const FamilyModule& module : *modules) use(module, data);
  return 0;
}
