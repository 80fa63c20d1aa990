// Float views.
#include "quant/float_view.h"

namespace nibble {
namespace {

class FloatView final : public MatrixSource {
 public:
  FloatView(MatrixPtr source, ElementType type) : source_(std::move(source)), scheme_(QuantScheme::of_float(type)) {}
  const QuantScheme& scheme() const override { return scheme_; }
  std::int64_t rows() const override { return source_->rows(); }
  std::int64_t cols() const override { return source_->cols(); }
  std::int64_t row_step() const override { return source_->row_step(); }
  void release(std::int64_t begin, std::int64_t count) const override { source_->release(begin, count); }

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

 private:
  MatrixPtr source_;
  QuantScheme scheme_;
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
