// Packing: tiles of rows are decoded by their source and rearranged into panels, several tiles at once.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <numeric>
#include <optional>

#include "base/check.h"
#include "kernel/matmul/matmul_kernel.h"
#include "kernel/matmul/pack_generic.h"
#include "kernel/matmul/pack_plan.h"
#include "kernel/matmul/packed_access.h"
#include "kernel/matmul/packed_storage.h"
#include "kernel/matmul/panel_geometry.h"
#include "kernel/matmul/supplement.h"

namespace nibble::kernel {
namespace {

/// Codes of one tile, about; small enough for the second-level cache.
constexpr std::int64_t kTileBytes = 256 * 1024;

/// 512 codes of one block, numbered as in packed_view.h, into bit planes.
void pack_block(Layout layout, const std::uint8_t* codes, std::uint8_t* block) {
  int shift = 0;
  for (const int bits : bit_planes(layout).bits) {
    if (bits == 0) break;
    const int bytes = 64 * bits;
    const unsigned mask = (1u << bits) - 1u;
    for (int i = 0; i < bytes; ++i) block[i] = static_cast<std::uint8_t>((codes[i] >> shift) & mask);
    for (int part = 1; part < 8 / bits; ++part)
      for (int i = 0; i < bytes; ++i)
        block[i] = static_cast<std::uint8_t>(
            block[i] | (((static_cast<unsigned>(codes[part * bytes + i]) >> shift) & mask) << (bits * part)));
    block += bytes;
    shift += bits;
  }
}

/// use(chunk, i, col) for entry i of each chunk of a row; col is the first column of the entry's group.
template <typename Use>
void for_entries(const PackedView& w, std::int64_t group, std::int64_t cols, const Use& use) {
  const std::int64_t chunk_cols = w.chunk_blocks * kBlockCols;
  for (std::int64_t begin = 0; begin < cols; begin += chunk_cols) {
    const ChunkPlace chunk = chunk_of(w, begin);
    const std::int64_t first = begin / group;
    const std::int64_t last = (std::min(begin + chunk_cols, cols) - 1) / group;
    for (std::int64_t entry = first; entry <= last; ++entry) use(chunk, entry - first, entry * group);
  }
}

/// Copies one plane's entries of the rows of a tile into panels.
class PlanePacker {
 public:
  PlanePacker(const PlanePlan& plan, const PlaneData& data, const QuantizedMatrix& m,
              const std::vector<std::int32_t>& order)
      : plan_(plan), data_(data), m_(m), order_(order) {
    if (!plan.raw && !plan.nested) {
      decoded_.resize(static_cast<std::size_t>(plane_entries_held(plan.format, data)));
      decode_plane(plan.format, data, decoded_);
    }
    if (plan.nested) {
      const ElementType outer = plan.format.nested->outer;
      const std::size_t bytes = static_cast<std::size_t>(element_info(outer).bits) / 8;
      outer_.resize(data.outer.size() / bytes);
      decode_elements(outer, data.outer.data(), outer_.size(), outer_.data());
    }
  }

  /// False when an integer zero does not fit its byte.
  bool pack_row(const PackedView& w, std::int64_t r, std::uint8_t* panel) const {
    const PlaneView& view = plan_.view;
    const int lane = static_cast<int>(r % kPanelRows);
    bool fits = true;
    for_entries(w, view.group, m_.cols, [&](const ChunkPlace& chunk, std::int64_t i, std::int64_t col) {
      fits = pack_entry(entry_of(r, col), panel + chunk.position + view.position, kPanelRows * i + lane) && fits;
    });
    if (!plan_.nested) return fits;
    for_entries(w, view.outer_group, m_.cols, [&](const ChunkPlace& chunk, std::int64_t i, std::int64_t col) {
      pack_outer(entry_of(r, col), panel + chunk.position + view.outer_position, kPanelRows * i + lane);
    });
    return fits;
  }

 private:
  std::int64_t entry_of(std::int64_t r, std::int64_t col) const {
    const std::int64_t c = order_.empty() ? col : order_[static_cast<std::size_t>(col)];
    return plan_.format.grouping.entry(r, c, m_.rows, m_.cols, m_.group_index.data());
  }

  bool pack_entry(std::int64_t entry, std::uint8_t* entries, std::int64_t to) const {
    const auto from = static_cast<std::size_t>(entry - data_.first_entry);
    if (plan_.raw) {
      const auto bytes = static_cast<std::size_t>(entry_bytes(plan_.view.kind));
      std::memcpy(entries + static_cast<std::size_t>(to) * bytes, data_.entries.data() + from * bytes, bytes);
    } else if (plan_.view.kind == PlaneKind::kLut) {
      entries[to] = data_.codes[from];
    } else if (plan_.view.kind == PlaneKind::kI8) {
      entries[to] = static_cast<std::uint8_t>(plan_.code_step * data_.codes[from] + plan_.code_shift);
    } else if (plan_.view.kind == PlaneKind::kU8) {
      const float value = decoded_[from] + static_cast<float>(plan_.code_shift);
      if (!(value >= 0.0f && value <= 255.0f)) return false;
      entries[to] = static_cast<std::uint8_t>(value);
    } else {
      std::memcpy(entries + 4 * to, &decoded_[from], 4);
    }
    return true;
  }

  void pack_outer(std::int64_t entry, std::uint8_t* outers, std::int64_t to) const {
    const std::int64_t per_outer = plan_.format.nested->entries_per_outer;
    const auto from = static_cast<std::size_t>(per_outer == 0 ? 0 : entry / per_outer - data_.first_outer);
    if (plan_.view.outer_kind == PlaneKind::kF16) {
      std::memcpy(outers + 2 * to, data_.outer.data() + 2 * from, 2);
    } else {
      const float value = outer_[from] * plan_.outer_factor;
      std::memcpy(outers + 4 * to, &value, 4);
    }
  }

  const PlanePlan& plan_;
  const PlaneData& data_;
  const QuantizedMatrix& m_;
  const std::vector<std::int32_t>& order_;
  std::vector<float> decoded_;
  std::vector<float> outer_;
};

/// One worker's buffers.
struct TileBuffers {
  QuantizedMatrix matrix;
  std::vector<float> floats;         ///< decode_floats: the tile dequantized
  std::vector<std::uint8_t> sorted;  ///< a row's codes in column order
};

/// Packs matrices whose plan is a panel layout.
class PanelPacker {
 public:
  PanelPacker(const PackPlan& plan, PackedMatrix::Storage& storage) : plan_(plan), storage_(storage) {}

  bool pack_tile(TileBuffers& tile) const {
    const QuantizedMatrix& m = tile.matrix;
    const PackedView& view = storage_.view;
    const std::int64_t first = m.row_begin / kPanelRows;
    const std::int64_t last = divide_up(m.row_begin + m.row_count, kPanelRows);
    for (std::int64_t p = first; p < last; ++p) {
      std::uint8_t* panel = panel_at(p);
      std::memset(panel, 0, static_cast<std::size_t>(view.panel_bytes));
    }
    if (plan_.decode_floats) {
      tile.floats.resize(static_cast<std::size_t>(m.row_count * m.cols));
      dequantize(m, tile.floats.data());
    }
    if (is_integer_layout(view.layout)) {
      for (std::int64_t p = first; p < last; ++p) pack_integer_codes(p, tile);
    } else {
      for (std::int64_t r = m.row_begin; r < m.row_begin + m.row_count; ++r) pack_element_row(r, tile);
    }
    if (plan_.table_index_group > 0) pack_table_numbers(m);
    return pack_plane(plan_.scale, m.scale, m) && pack_plane(plan_.zero, m.zero, m) &&
           pack_plane(plan_.offset, m.offset, m);
  }

 private:
  std::uint8_t* panel_at(std::int64_t p) const { return storage_.panels.data() + p * storage_.view.panel_bytes; }

  bool pack_plane(const std::optional<PlanePlan>& plan, const PlaneData& data, const QuantizedMatrix& m) const {
    if (!plan) return true;
    const PlanePacker packer(*plan, data, m, plan_.column_order);
    bool fits = true;
    for (std::int64_t r = m.row_begin; r < m.row_begin + m.row_count; ++r)
      fits = packer.pack_row(storage_.view, r, panel_at(r / kPanelRows)) && fits;
    return fits;
  }

  /// The row's bytes of codes in column order.
  const std::uint8_t* codes_of_row(std::int64_t row, TileBuffers& tile, std::uint8_t* sorted) const {
    const std::uint8_t* codes = tile.matrix.codes.data() + row * tile.matrix.cols;
    if (plan_.column_order.empty()) return codes;
    for (const std::int32_t c : plan_.column_order) *sorted++ = codes[c];
    return sorted - plan_.column_order.size();
  }

  void pack_integer_codes(std::int64_t p, TileBuffers& tile) const {
    const QuantizedMatrix& m = tile.matrix;
    const std::int64_t begin = p * kPanelRows - m.row_begin;
    const int rows = static_cast<int>(std::min<std::int64_t>(kPanelRows, m.row_count - begin));
    const std::uint8_t* row_codes[kPanelRows] = {};
    if (!plan_.column_order.empty()) tile.sorted.resize(static_cast<std::size_t>(kPanelRows * m.cols));
    const std::size_t sorted_row = tile.sorted.size() / kPanelRows;
    for (int row = 0; row < rows; ++row)
      row_codes[row] = codes_of_row(begin + row, tile, tile.sorted.data() + static_cast<std::size_t>(row) * sorted_row);
    std::uint8_t* panel = panel_at(p);
    for (std::int64_t col = 0; col < m.cols; col += kBlockCols) {
      std::uint8_t codes[512] = {};
      const std::int64_t count = std::min<std::int64_t>(kBlockCols, m.cols - col);
      for (int row = 0; row < rows; ++row) {
        std::uint8_t line[kBlockCols] = {};
        std::memcpy(line, row_codes[row] + col, static_cast<std::size_t>(count));
        for (int quad = 0; quad < kBlockCols / 4; ++quad) std::memcpy(codes + 64 * quad + 4 * row, line + 4 * quad, 4);
      }
      pack_block(storage_.view.layout, codes, panel + block_position(storage_.view, col / kBlockCols));
    }
  }

  /// Layouts of whole elements: element 16 * column + row.
  void pack_element_row(std::int64_t r, const TileBuffers& tile) const {
    const QuantizedMatrix& m = tile.matrix;
    const std::int64_t row = r - m.row_begin;
    std::uint8_t* panel = panel_at(r / kPanelRows);
    const std::int64_t lane = r % kPanelRows;
    const auto copy = [&](const auto* from) {
      using T = std::remove_cvref_t<decltype(*from)>;
      for (std::int64_t begin = 0; begin < m.cols; begin += kBlockCols) {
        T* to = reinterpret_cast<T*>(panel + block_position(storage_.view, begin / kBlockCols)) + lane;
        for (std::int64_t c = begin; c < std::min(begin + kBlockCols, m.cols); ++c, to += kPanelRows)
          *to = from[plan_.column_order.empty() ? c : plan_.column_order[static_cast<std::size_t>(c)]];
      }
    };
    if (plan_.decode_floats)
      copy(tile.floats.data() + row * m.cols);
    else if (storage_.view.layout == Layout::kF32)
      copy(reinterpret_cast<const std::uint32_t*>(m.codes.data()) + row * m.cols);
    else if (storage_.view.layout == Layout::kF16 || storage_.view.layout == Layout::kBf16)
      copy(reinterpret_cast<const std::uint16_t*>(m.codes.data()) + row * m.cols);
    else
      copy(m.codes.data() + row * m.cols);
  }

  void pack_table_numbers(const QuantizedMatrix& m) const {
    const Grouping& g = m.scheme.table.grouping;
    for (std::int64_t r = m.row_begin; r < m.row_begin + m.row_count; ++r) {
      std::uint8_t* numbers = panel_at(r / kPanelRows) + storage_.view.table_index_position;
      for_entries(storage_.view, plan_.table_index_group, m.cols,
                  [&](const ChunkPlace& chunk, std::int64_t i, std::int64_t col) {
                    const std::int64_t entry = g.entry(r, col, m.rows, m.cols, nullptr);
                    const auto number = m.selector.empty()
                                            ? static_cast<std::int32_t>(entry)
                                            : std::int32_t{m.selector[static_cast<std::size_t>(entry - m.first_table)]};
                    std::memcpy(numbers + chunk.position + 4 * (kPanelRows * i + r % kPanelRows), &number, 4);
                  });
    }
  }

  const PackPlan& plan_;
  PackedMatrix::Storage& storage_;
};

/// Collects the tables that tiles bring, each 2^bits of the layout long.
class TableCollector {
 public:
  TableCollector(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols, int layout_bits,
                 std::vector<float>& tables)
      : size_(std::size_t{1} << scheme.code.bits), stride_(std::size_t{1} << layout_bits), tables_(tables) {
    const std::int64_t count =
        scheme.table.bank_size > 0 ? scheme.table.bank_size : scheme.table.grouping.entries(rows, cols);
    tables_.assign(static_cast<std::size_t>(count) * stride_, 0.0f);
  }
  void add(const QuantizedMatrix& m) {
    const std::size_t first = m.selector.empty() ? static_cast<std::size_t>(m.first_table) : 0;
    const std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < m.tables.size() / size_; ++i)
      std::copy_n(m.tables.begin() + static_cast<std::ptrdiff_t>(i * size_), size_,
                  tables_.begin() + static_cast<std::ptrdiff_t>((first + i) * stride_));
  }

 private:
  std::size_t size_;
  std::size_t stride_;
  std::vector<float>& tables_;
  std::mutex mutex_;
};

/// Rows per tile: whole panels, whole steps of the source, and about kTileBytes of codes.
std::int64_t tile_rows(const MatrixSource& source) {
  const std::int64_t step = std::lcm(std::max<std::int64_t>(source.row_step(), 1), std::int64_t{kPanelRows});
  const std::int64_t row_bytes = std::max<std::int64_t>(source.cols() * source.scheme().code.code_bytes(), 1);
  return step * std::max<std::int64_t>(kTileBytes / (row_bytes * step), 1);
}

/// Decodes all tiles in parallel and hands them to pack_tile(TileBuffers&) -> bool. False when a tile said so.
template <typename PackTile>
Result<bool> for_tiles(const MatrixSource& source, ThreadPool& pool, bool release, SupplementValues& supplement,
                       PackTile&& pack_tile) {
  const std::int64_t rows = source.rows();
  const std::int64_t per_tile = tile_rows(source);
  std::vector<TileBuffers> buffers(static_cast<std::size_t>(pool.threads()));
  std::atomic<bool> stop{false};
  bool fits = true;
  std::optional<Error> error;
  std::mutex mutex;
  pool.run(static_cast<std::size_t>(divide_up(rows, per_tile)), 1, [&](std::size_t begin, std::size_t end, int worker) {
    TileBuffers& tile = buffers[static_cast<std::size_t>(worker)];
    for (std::size_t i = begin; i < end && !stop.load(std::memory_order_relaxed); ++i) {
      const std::int64_t first = static_cast<std::int64_t>(i) * per_tile;
      const std::int64_t count = std::min(per_tile, rows - first);
      const Status decoded = source.decode(first, count, tile.matrix);
      if (decoded.ok()) take_supplement(tile.matrix, supplement);
      const bool packed = decoded.ok() && pack_tile(tile);
      if (packed) {
        if (release) source.release(first, count);
        continue;
      }
      stop.store(true, std::memory_order_relaxed);
      const std::lock_guard lock(mutex);
      fits = false;
      if (!decoded.ok()) error = decoded.error();
    }
  });
  if (error) return *error;
  return fits;
}

std::string plane_name(const char* what, const std::optional<PlanePlan>& plan, std::int64_t padded_cols) {
  if (!plan) return "";
  constexpr const char* kNames[] = {"none", "f32", "f16", "bf16", "e8m0", "u8", "i8*", "lut*"};
  std::string name = fmt::format(" {} {}", what, kNames[static_cast<int>(plan->view.kind)]);
  if (is_nested(plan->view.kind)) name += plan->view.outer_kind == PlaneKind::kF16 ? "f16" : "f32";
  return plan->view.group == padded_cols ? name + "/row" : fmt::format("{}/{}", name, plan->view.group);
}

/// Fills the view from the plan and takes the panels' memory.
Status prepare_panels(PackPlan& plan, const QuantizedMatrix& m, PackedMatrix::Storage& s) {
  PackedView& v = s.view;
  const std::int64_t padded = round_up(m.cols, kBlockCols);
  const std::int64_t panels = divide_up(m.rows, kPanelRows);
  v.layout = plan.layout;
  v.has_int8 = plan.has_int8;
  v.bias = plan.bias;
  v.post_scale = plan.decode_floats ? 1.0f : m.scheme.post_scale;
  v.table_index_group = plan.table_index_group;
  v.fold = plan.fold;
  v.int_bias = plan.int_table.empty() ? plan.bias : plan.int_table_bias;
  v.int_scale = m.scheme.post_scale / plan.table_factor;
  s.table = plan.table;
  if (!s.table.empty()) s.table.resize(std::max<std::size_t>(s.table.size(), 16), 0.0f);
  v.table = s.table.empty() ? nullptr : s.table.data();
  s.int_table = plan.int_table;
  v.int_table = s.int_table.empty() ? nullptr : s.int_table.data();
  s.int_table_high = plan.int_table_high;
  v.int_table_high = s.int_table_high.empty() ? nullptr : s.int_table_high.data();
  s.column_order = plan.column_order;
  PlaneView* const views[] = {&v.scale, &v.zero, &v.offset};
  std::optional<PlanePlan>* const plans[] = {&plan.scale, &plan.zero, &plan.offset};
  for (std::size_t i = 0; i < 3; ++i) {
    if (!*plans[i]) continue;
    *views[i] = (*plans[i])->view;
    s.luts[i] = (*plans[i])->lut;
    views[i]->lut = s.luts[i].empty() ? nullptr : s.luts[i].data();
  }
  place_panel(v);
  for (std::size_t i = 0; i < 3; ++i)
    if (*plans[i]) (*plans[i])->view = *views[i];
  s.name = std::string(layout_word(plan.layout)) +
           (plan.int_table.empty()        ? ""
            : plan.int_table_high.empty() ? " int8 table"
                                          : " int16 table") +
           plane_name("scale", plan.scale, padded) + plane_name("zero", plan.zero, padded) +
           plane_name("offset", plan.offset, padded) + (plan.column_order.empty() ? "" : " sorted columns");
  s.panels = AlignedBytes(static_cast<std::size_t>(panels * v.panel_bytes), s.arena);
  if (s.panels.data() == nullptr)
    return fail(ErrorCode::kOutOfMemory, "{} bytes for a packed matrix of {} x {} are not to be had",
                panels * v.panel_bytes, m.rows, m.cols);
  v.data = s.panels.data();
  return {};
}

Result<bool> pack_panels(const MatrixSource& source, ThreadPool& pool, PackPlan& plan, const QuantizedMatrix& first,
                         PackedMatrix::Storage& storage) {
  NIBBLE_TRY_STATUS(prepare_panels(plan, first, storage));
  std::optional<TableCollector> tables;
  if (plan.table_index_group > 0) {
    const BitPlanes planes = bit_planes(plan.layout);
    tables.emplace(first.scheme, first.rows, first.cols, planes.bits[0] + planes.bits[1], storage.tables);
    storage.view.tables = storage.tables.data();
  }
  const PanelPacker packer(plan, storage);
  return for_tiles(source, pool, true, storage.supplement, [&](TileBuffers& tile) {
    if (tables) tables->add(tile.matrix);
    return packer.pack_tile(tile);
  });
}

Result<bool> pack_generic(const MatrixSource& source, ThreadPool& pool, const QuantizedMatrix& first,
                          PackedMatrix::Storage& storage) {
  NIBBLE_TRY_STATUS(prepare_generic(first, storage));
  std::optional<TableCollector> tables;
  if (first.scheme.code.table == TableKind::kStored) {
    tables.emplace(first.scheme, first.rows, first.cols, first.scheme.code.bits, storage.tables);
    storage.generic.tables = storage.tables.data();
  }
  std::mutex mutex;
  return for_tiles(source, pool, true, storage.supplement, [&](TileBuffers& tile) {
    pack_generic_codes(tile.matrix, storage);
    if (tables) tables->add(tile.matrix);
    const std::lock_guard lock(mutex);
    pack_generic_planes(tile.matrix, storage);
    return true;
  });
}

}  // namespace

Result<PackedMatrix> PackedMatrix::pack(const MatrixSource& source, ThreadPool& pool, PanelArena* arena) {
  const std::int64_t first_rows = std::min(std::max<std::int64_t>(source.row_step(), 1), source.rows());
  QuantizedMatrix first;
  NIBBLE_TRY_STATUS(source.decode(0, first_rows, first));
  SupplementValues supplement = begin_supplement(first);
  for (const bool wide_zero : {false, true}) {
    auto storage = std::make_unique<Storage>();
    storage->supplement = supplement;
    storage->arena = arena;
    storage->view.rows = source.rows();
    storage->view.cols = source.cols();
    PackPlan plan = plan_packing(first, wide_zero);
    NIBBLE_TRY(const bool fits, plan.layout == Layout::kGeneric ? pack_generic(source, pool, first, *storage)
                                                                : pack_panels(source, pool, plan, first, *storage));
    storage->arena = nullptr;
    if (fits) return PackedMatrix(std::move(storage));
  }
  return fail(ErrorCode::kUnsupported, "a {} x {} matrix of scheme {} could not be packed", source.rows(),
              source.cols(), to_string(source.scheme()));
}

}  // namespace nibble::kernel
