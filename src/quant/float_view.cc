// Float views.
#include "quant/float_view.h"
#include "quant/matrix_view.h"

namespace nibble {
namespace {

class FloatView final : public MatrixView {
 public:
  FloatView(MatrixPtr source, ElementType type) : MatrixView(std::move(source), QuantScheme::of_float(type)) {}

  Status decode(std::int64_t begin, std::int64_t count, QuantizedMatrix& out) const override {
    thread_local QuantizedMatrix stored;
    thread_local std::vector<float> values;
    NIBBLE_TRY_STATUS(source_->decode(begin, count, stored));
    values.resize(static_cast<std::size_t>(count * cols()));
    dequantize(stored, values.data());
    out.allocate(scheme_, rows(), cols(), begin, count);
    encode_elements(scheme_.code.float_type, values.data(), values.size(),
                    reinterpret_cast<std::byte*>(out.codes.data()));
    return {};
  }
};

}  // namespace

MatrixPtr float_view(MatrixPtr source, ElementType type) {
  if (source->scheme() == QuantScheme::of_float(type)) return source;
  return std::make_shared<FloatView>(std::move(source), type);
}

bool float_view_is_exact(const QuantScheme& scheme, ElementType type) {
  return type == ElementType::kF32 || scheme == QuantScheme::of_float(type);
}

}  // namespace nibble
