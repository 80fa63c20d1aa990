#include "io/ggml.h"

#include <cstring>

#include "base/utf8.h"
#include "format/ggml_blocks.h"
#include "tensor/ggml_codec.h"
#include "tensor/ggml_schemes.h"

namespace nibble {
namespace {

constexpr std::string_view kSuffix = ".weight";

/// A tensor of blocks or floats, decoded on demand from the mapped bytes.
class GgmlMatrix final : public MatrixSource {
 public:
  GgmlMatrix(StoredTensor tensor, QuantScheme scheme, std::int64_t rows, std::int64_t cols, float tensor_scale)
      : tensor_(std::move(tensor)),
        scheme_(std::move(scheme)),
        rows_(rows),
        cols_(cols),
        row_bytes_(rows == 0 ? 0 : tensor_.bytes.size() / static_cast<std::size_t>(rows)),
        tensor_scale_(tensor_scale) {}

  const QuantScheme& scheme() const override { return scheme_; }
  std::int64_t rows() const override { return rows_; }
  std::int64_t cols() const override { return cols_; }

  Status decode(std::int64_t row_begin, std::int64_t row_count, QuantizedMatrix& out) const override {
    if (row_begin < 0 || row_count < 0 || row_begin > rows_ || row_count > rows_ - row_begin) {
      return fail(ErrorCode::kInvalidArgument, "{}: rows {} to {} are not within {} rows", where(), row_begin,
                  row_begin + row_count, rows_);
    }
    const auto bytes = tensor_.bytes.subspan(static_cast<std::size_t>(row_begin) * row_bytes_,
                                             static_cast<std::size_t>(row_count) * row_bytes_);
    if (Status status = decode_ggml(tensor_.ggml_type, bytes, rows_, cols_, row_begin, row_count, out); !status.ok()) {
      return with_context(status.error(), where());
    }
    if (tensor_.ggml_type == GgmlNvfp4::kId) std::memcpy(out.scale.outer.data(), &tensor_scale_, sizeof(float));
    return tensor_.file ? tensor_.file->check_intact() : Status();
  }

  void release(std::int64_t row_begin, std::int64_t row_count) const override {
    if (!tensor_.file) return;
    tensor_.file->release(tensor_.file_offset + static_cast<std::size_t>(row_begin) * row_bytes_,
                          static_cast<std::size_t>(row_count) * row_bytes_);
  }

 private:
  std::string where() const {
    return fmt::format("{}: tensor \"{}\"", tensor_.file ? tensor_.file->path() : std::string("GGUF"),
                       printable(tensor_.name));
  }

  StoredTensor tensor_;
  QuantScheme scheme_;
  std::int64_t rows_;
  std::int64_t cols_;
  std::size_t row_bytes_;
  float tensor_scale_;
};

bool detect(const FamilyInput& input) { return input.is_gguf; }

/// NVFP4's scale per tensor lies beside the weight as X.scale; the product is the weight. nullptr: it is 1.
Result<const StoredTensor*> nvfp4_scale(const FamilyInput& input, const std::string& module) {
  const StoredTensor* scale = input.tensors.find(module + ".scale");
  if (scale == nullptr) return scale;
  if (scale->ggml_type != GgmlF32::kId || scale->elements() != 1 || scale->bytes.size() != sizeof(float)) {
    return fail(ErrorCode::kCorrupt, "{}: tensor \"{}\" should be one f32, the scale of an NVFP4 weight", input.what,
                printable(scale->name));
  }
  return scale;
}

Result<FamilyModule> open_module(const FamilyInput& input, const StoredTensor& tensor, const QuantScheme& scheme) {
  const std::int64_t cols = tensor.shape.back();
  const std::int64_t rows = tensor.shape.size() == 2 ? tensor.shape.front() : 1;
  const Result<std::int64_t> row_bytes = ggml_row_bytes(tensor.ggml_type, cols);
  if (!row_bytes.ok()) {
    return with_context(row_bytes.error(), fmt::format("{}: tensor \"{}\"", input.what, printable(tensor.name)));
  }
  std::uint64_t expected = 0;
  if (rows < 0 ||
      __builtin_mul_overflow(static_cast<std::uint64_t>(rows), static_cast<std::uint64_t>(*row_bytes), &expected) ||
      expected != tensor.bytes.size()) {
    return fail(ErrorCode::kCorrupt, "{}: tensor \"{}\": {} x {} {} does not have {} bytes", input.what,
                printable(tensor.name), rows, cols, to_string(scheme), tensor.bytes.size());
  }
  FamilyModule module;
  module.module = tensor.name.substr(0, tensor.name.size() - kSuffix.size());
  module.consumed.push_back(&tensor);
  float tensor_scale = 1.0f;
  if (tensor.ggml_type == GgmlNvfp4::kId) {
    NIBBLE_TRY(const StoredTensor* scale, nvfp4_scale(input, module.module));
    if (scale != nullptr) {
      std::memcpy(&tensor_scale, scale->bytes.data(), sizeof tensor_scale);
      module.consumed.push_back(scale);
    }
  }
  module.weight = std::make_shared<GgmlMatrix>(tensor, scheme, rows, cols, tensor_scale);
  return module;
}

Result<std::vector<FamilyModule>> open(const FamilyInput& input) {
  std::vector<FamilyModule> modules;
  for (const StoredTensor& tensor : input.tensors.all()) {
    if (!tensor.name.ends_with(kSuffix)) continue;
    const Result<QuantScheme> scheme = ggml_scheme(tensor.ggml_type);
    if (!scheme.ok()) continue;
    // ggml's tools drop trailing dimensions of one, so a matrix of one row may be written as a vector. A float vector
    // is a norm; a vector of blocks can only be such a matrix.
    const bool one_row = tensor.shape.size() == 1 && !scheme->is_float();
    if (tensor.shape.size() != 2 && !one_row) continue;
    NIBBLE_TRY(FamilyModule module, open_module(input, tensor, *scheme));
    modules.push_back(std::move(module));
  }
  return modules;
}

/// The ggml type of this structure. Activations are the reader's business: GGUF says nothing of them.
Result<int> type_for(const QuantScheme& scheme, std::int64_t cols) {
  QuantScheme weights = scheme;
  weights.activations = {};
  const std::optional<int> type = ggml_type_of(weights);
  if (!type) return fail(ErrorCode::kUnsupported, "no GGUF type is {}", to_string(scheme));
  const GgmlBlockFormat& format = *find_ggml_block_format(*type);
  if (format.pack == nullptr)
    return fail(ErrorCode::kUnsupported, "{} can be read but not written; requantize with --scheme", format.name);
  if (cols % format.block_values != 0)
    return fail(ErrorCode::kUnsupported, "rows of {} are not whole {} blocks of {}", cols, format.name,
                format.block_values);
  return *type;
}

Status can_express(const QuantScheme& scheme, std::int64_t, std::int64_t cols) {
  const Result<int> type = type_for(scheme, cols);
  return type.ok() ? Status() : Status(type.error());
}

Result<std::vector<EncodedPlan>> plan(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols,
                                      const std::string& module) {
  NIBBLE_TRY(const int type, type_for(scheme, cols));
  EncodedPlan weight;
  weight.name = module + std::string(kSuffix);
  weight.shape = {rows, cols};
  weight.element = ggml_scheme(type)->code.float_type;
  weight.ggml_type = type;
  return std::vector<EncodedPlan>{std::move(weight)};
}

Status encode(const QuantizedMatrix& rows, const std::string& module, const EncodedSink& sink) {
  NIBBLE_TRY(const int type, type_for(rows.scheme, rows.cols));
  const Result<std::vector<std::byte>> bytes = encode_ggml(type, rows);
  if (!bytes.ok()) return with_context(bytes.error(), module);
  NIBBLE_TRY(const std::int64_t row_bytes, ggml_row_bytes(type, rows.cols));
  return sink(0, static_cast<std::uint64_t>(rows.row_begin) * static_cast<std::uint64_t>(row_bytes), *bytes);
}

}  // namespace

const Family kGgmlFamily = {
    .name = "gguf",
    .detect = detect,
    .open = open,
    .can_express = can_express,
    .plan = plan,
    .encode = encode,
    .quantization_config = nullptr,
    .mixes_schemes = true,
    .encode_row_step = nullptr,
};

}  // namespace nibble
