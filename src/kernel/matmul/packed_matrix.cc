// The packed matrix: its memory, and single rows dequantized (embedding lookup).
#include "kernel/matmul/packed_matrix.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "base/check.h"
#include "base/cpu_features.h"
#include "kernel/matmul/generic_rows.h"
#include "kernel/matmul/packed_access.h"
#include "kernel/matmul/packed_storage.h"

namespace nibble::kernel {
namespace {

constexpr std::size_t kLine = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kSlabBytes = std::size_t{64} << 20;

constexpr std::size_t round_up_to(std::size_t size, std::size_t unit) { return (size + unit - 1) / unit * unit; }

/// Huge pages are asked for in the first `huge` bytes.
std::shared_ptr<std::uint8_t> allocate(std::size_t size, std::size_t huge) {
  const std::size_t alignment = huge > 0 ? kHugePage : kLine;
  auto* data = static_cast<std::uint8_t*>(std::aligned_alloc(alignment, round_up_to(size + 1, alignment)));
  if (data == nullptr) return nullptr;
  if (huge > 0) madvise(data, huge, MADV_HUGEPAGE);
  return {data, std::free};
}

}  // namespace

PanelArena::PanelArena() = default;
PanelArena::~PanelArena() = default;

std::shared_ptr<std::uint8_t> PanelArena::take(std::size_t size) {
  size = round_up_to(size + 1, kLine);
  if (size_ - used_ < size) {
    // What is not used is not touched, and is no memory.
    const std::size_t slab = round_up_to(std::max(size, kSlabBytes), kHugePage);
    std::shared_ptr<std::uint8_t> memory = allocate(slab, slab);
    if (memory == nullptr) return nullptr;
    slab_ = std::move(memory);
    size_ = slab;
    used_ = 0;
  }
  used_ += size;
  return {slab_, slab_.get() + used_ - size};
}

/// Alone, whole huge pages only: the last one would be taken whole for a part of it, a fourth of all memory with
/// matrices of a few MiB.
AlignedBytes::AlignedBytes(std::size_t size, PanelArena* arena)
    : memory_(arena != nullptr ? arena->take(size) : allocate(size, size / kHugePage * kHugePage)), size_(size) {}

std::size_t PackedMatrix::Storage::bytes() const {
  std::size_t total = panel_bytes().size() + (table.size() + tables.size()) * sizeof(float) + int_table.size() +
                      int_table_high.size() + column_order.size() * sizeof(std::int32_t) + selector.size() +
                      group_index.size() * sizeof(std::int32_t);
  for (const auto& lut : luts) total += lut.size() * sizeof(float);
  for (const auto& plane : generic_planes) total += plane.size() * sizeof(float);
  total += (supplement.kept.size() + supplement.left.size() + supplement.right.size()) * sizeof(float) +
           supplement.columns.size() * sizeof(std::int32_t);
  return total;
}

namespace {

/// How weights are asked for before they are used, measured with int4.
struct Prefetching {
  std::int64_t ahead_bytes;
  std::int64_t few_ahead_bytes;
  bool few_into_first_level;
};
/// Zen 4, four tokens: 15 GB/s with 512 bytes, 13 with 2 KiB, 21 with 6.
constexpr Prefetching kPrefetching = {512, 6144, false};
/// Two threads of an Intel Xeon, eight tokens: 11.8 GB/s with 6 KiB, 12.5 with 3, 12.7 with 3 into the first level.
constexpr Prefetching kPrefetchingAcrossPages = {2048, 3072, true};

}  // namespace

PackedMatrix::PackedMatrix() : storage_(std::make_unique<Storage>()) {}
PackedMatrix::PackedMatrix(std::unique_ptr<Storage> storage) : storage_(std::move(storage)) {
  const Prefetching& how = cpu_prefetcher_stops_at_pages() ? kPrefetchingAcrossPages : kPrefetching;
  storage_->view.ahead_bytes = how.ahead_bytes;
  storage_->view.few_ahead_bytes = how.few_ahead_bytes;
  storage_->view.few_into_first_level = how.few_into_first_level;
}
PackedMatrix::PackedMatrix(PackedMatrix&&) noexcept = default;
PackedMatrix& PackedMatrix::operator=(PackedMatrix&&) noexcept = default;
PackedMatrix::~PackedMatrix() = default;

std::int64_t PackedMatrix::rows() const { return storage_->view.rows; }
std::int64_t PackedMatrix::cols() const { return storage_->view.cols; }
std::size_t PackedMatrix::packed_bytes() const { return storage_->bytes(); }
std::string_view PackedMatrix::layout_name() const { return storage_->name; }
const PackedView& PackedMatrix::view() const { return storage_->view; }
std::span<const std::int32_t> PackedMatrix::column_order() const { return storage_->column_order; }
const SupplementValues& PackedMatrix::supplement() const { return storage_->supplement; }
const PackedMatrix::Storage& PackedMatrix::storage() const { return *storage_; }

void PackedMatrix::decode_row(std::int64_t row, float* out) const {
  const PackedView& w = storage_->view;
  NIBBLE_CHECK(row >= 0 && row < w.rows);
  if (w.layout == Layout::kGeneric) {
    for (std::int64_t c = 0; c < w.cols; c += kBlockCols)
      generic_row(w, row, c, c + kBlockCols < w.cols ? c + kBlockCols : w.cols, out + c);
    return storage_->supplement.add_to_row(row, out);
  }
  const std::uint8_t* panel = w.data + row / kPanelRows * w.panel_bytes;
  const int lane = static_cast<int>(row % kPanelRows);
  const std::vector<std::int32_t>& order = storage_->column_order;
  for (std::int64_t c = 0; c < w.cols; ++c)
    out[order.empty() ? c : order[static_cast<std::size_t>(c)]] = packed_weight(w, panel, lane, c);
  storage_->supplement.add_to_row(row, out);
}

}  // namespace nibble::kernel
