// FloatMatrix copies rows out of the mapped file; only f64 is converted.
#include "io/float_matrix.h"

#include <cstring>

#include "base/check.h"

namespace nibble {
namespace {

class FloatMatrix final : public MatrixSource {
 public:
  explicit FloatMatrix(const StoredTensor& tensor)
      : rows_(tensor.shape[0]),
        cols_(tensor.shape[1]),
        stored_(tensor.element),
        scheme_(QuantScheme::of_float(stored_ == ElementType::kF64 ? ElementType::kF32 : stored_)),
        bytes_(tensor.bytes),
        file_(tensor.file),
        file_offset_(tensor.file_offset) {}

  const QuantScheme& scheme() const override { return scheme_; }
  std::int64_t rows() const override { return rows_; }
  std::int64_t cols() const override { return cols_; }

  Status decode(std::int64_t row_begin, std::int64_t row_count, QuantizedMatrix& out) const override {
    NIBBLE_CHECK(row_begin >= 0 && row_count >= 0 && row_begin <= rows_ && row_count <= rows_ - row_begin);
    out.allocate(scheme_, rows_, cols_, row_begin, row_count);
    const std::byte* source = bytes_.data() + static_cast<std::size_t>(row_begin) * row_bytes();
    if (stored_ != ElementType::kF64) {
      NIBBLE_CHECK(out.codes.size() == static_cast<std::size_t>(row_count) * row_bytes());
      if (!out.codes.empty()) std::memcpy(out.codes.data(), source, out.codes.size());
    } else {
      for (std::size_t i = 0; i < out.codes.size() / sizeof(float); ++i) {
        double wide;
        std::memcpy(&wide, source + i * sizeof(wide), sizeof(wide));
        const auto narrow = static_cast<float>(wide);
        std::memcpy(out.codes.data() + i * sizeof(narrow), &narrow, sizeof(narrow));
      }
    }
    return file_ ? file_->check_intact() : Status{};
  }

  void release(std::int64_t row_begin, std::int64_t row_count) const override {
    if (!file_) return;
    file_->release(file_offset_ + static_cast<std::size_t>(row_begin) * row_bytes(),
                   static_cast<std::size_t>(row_count) * row_bytes());
  }

 private:
  std::size_t row_bytes() const {
    return static_cast<std::size_t>(cols_) * static_cast<std::size_t>(element_info(stored_).bits) / 8;
  }

  std::int64_t rows_;
  std::int64_t cols_;
  ElementType stored_;
  QuantScheme scheme_;
  std::span<const std::byte> bytes_;
  MappedFile::Ptr file_;
  std::size_t file_offset_;
};

}  // namespace

bool is_float_matrix(const StoredTensor& tensor) {
  const ElementType element = tensor.element;
  return tensor.shape.size() == 2 && (element == ElementType::kF32 || element == ElementType::kF16 ||
                                      element == ElementType::kBf16 || element == ElementType::kF64);
}

MatrixPtr make_float_matrix(const StoredTensor& tensor) {
  NIBBLE_CHECK(is_float_matrix(tensor));
  return std::make_shared<FloatMatrix>(tensor);
}

}  // namespace nibble
