#include "quant/gptq/tile_plane.h"

#include <algorithm>
#include <cmath>

#include "quant/gptq/code_levels.h"
#include "quant/stored_scale.h"

namespace nibble {
namespace {

/// 0, then to either side.
std::ptrdiff_t side_step(int number) { return number % 2 == 0 ? number / 2 : -(number + 1) / 2; }

const PlaneFormat& format_of(PlaneRole role, const QuantScheme& scheme) {
  return role == PlaneRole::kScale ? *scheme.scale : role == PlaneRole::kZero ? scheme.zero : *scheme.offset;
}
PlaneData& data_of(PlaneRole role, QuantizedMatrix& m) {
  return role == PlaneRole::kScale ? m.scale : role == PlaneRole::kZero ? m.zero : m.offset;
}

/// What all kinds share: which entry of the matrix a row and column have.
class EntryPlane : public TilePlane {
 public:
  EntryPlane(PlaneRole role, QuantizedMatrix& out)
      : format_(format_of(role, out.scheme)), data_(data_of(role, out)), matrix_(out) {}
  void begin(std::int64_t first_row, std::int64_t lanes) override {
    first_row_ = first_row;
    lanes_ = lanes;
  }

 protected:
  bool is_row(std::int64_t lane) const { return lane < lanes_; }
  std::int64_t entry(std::int64_t lane, std::int64_t column) const {
    return format_.grouping.entry(first_row_ + lane, column, matrix_.rows, matrix_.cols, nullptr);
  }

  const PlaneFormat& format_;
  PlaneData& data_;
  const QuantizedMatrix& matrix_;
  std::int64_t first_row_ = 0;
  std::int64_t lanes_ = 0;
};

/// Entries of an element type.
class PlainPlane final : public EntryPlane {
 public:
  PlainPlane(PlaneRole role, QuantizedMatrix& out) : EntryPlane(role, out), role_(role) {}

  float candidate(std::int64_t, std::int64_t, float wanted, int number) const override {
    if (role_ == PlaneRole::kScale) return stored_scale(format_.element, number == 0 ? wanted : wanted / 2);
    constexpr float kLargest = 65504.0f;  // of f16; no weight is near it
    return std::clamp(round_to_element(format_.element, wanted), -kLargest, kLargest);
  }
  int candidates() const override { return is_power_of_two() ? 2 : 1; }
  void keep(std::int64_t lane, std::int64_t column, float value) override {
    if (is_row(lane)) store_entry(format_.element, value, data_.entries, entry(lane, column));
  }
  bool has_both_signs() const override { return !is_power_of_two(); }

 private:
  bool is_power_of_two() const { return format_.element == ElementType::kE8m0; }

  PlaneRole role_;
};

/// Entries that are codes under outer scales.
class NestedPlane final : public EntryPlane {
 public:
  NestedPlane(PlaneRole role, QuantizedMatrix& out)
      : EntryPlane(role, out),
        nested_(*format_.nested),
        levels_(code_levels(nested_.code, data_.table)),
        chosen_(outer_is_within_rows(format_, out.cols)) {
    if (chosen_) {
      outers_.resize(static_cast<std::size_t>(out.cols / outer_columns()));
    } else {
      fixed_.resize(data_.outer.size() * 8 / static_cast<std::size_t>(element_info(nested_.outer).bits));
      decode_elements(nested_.outer, data_.outer.data(), fixed_.size(), fixed_.data());
    }
  }

  float candidate(std::int64_t lane, std::int64_t column, float wanted, int number) const override {
    const float outer = outer_of(lane, column);
    const auto last = static_cast<std::ptrdiff_t>(levels_.value.size()) - 1;
    const auto index = static_cast<std::ptrdiff_t>(index_of(outer, wanted)) + side_step(number);
    return value_of(outer, static_cast<std::size_t>(std::clamp<std::ptrdiff_t>(index, 0, last)));
  }
  int candidates() const override { return 3; }

  void keep(std::int64_t lane, std::int64_t column, float value) override {
    if (!is_row(lane)) return;
    const std::int64_t at = entry(lane, column);
    const float outer = outer_of(lane, column);
    data_.codes[static_cast<std::size_t>(at)] = levels_.code[index_of(outer, value)];
    if (chosen_) store_entry(nested_.outer, outer, data_.outer, at / nested_.entries_per_outer);
  }

  std::int64_t outer_columns() const override {
    return chosen_ ? format_.grouping.size * nested_.entries_per_outer : 0;
  }
  bool has_both_signs() const override {
    return chosen_ ? levels_.value.front() < 0 : !nested_.has_constant && levels_.value.front() < 0;
  }

  void choose_outer(std::span<const std::int64_t> columns, std::span<const Lanes> wanted,
                    std::span<const Lanes> weight) override {
    Lanes& outers = outers_[static_cast<std::size_t>(columns[0] / outer_columns())];
    for (std::size_t lane = 0; lane < outers.size(); ++lane) {
      float peak = 0;
      for (const Lanes& entries : wanted)
        if (std::fabs(entries[lane]) > std::fabs(peak)) peak = entries[lane];
      Trial best{0.0f, sum_of_squares(wanted, weight, lane)};
      constexpr int kReaches = 16;
      for (const float extreme : {levels_.value.front(), levels_.value.back()}) {
        if (extreme == 0 || peak == 0) continue;
        for (int i = 0; i < kReaches; ++i) {
          const float reach = 1.04f - 0.02f * static_cast<float>(i);
          try_outer(peak / (extreme * reach), wanted, weight, lane, best);
        }
      }
      outers[lane] = best.outer;
    }
  }

 private:
  struct Trial {
    float outer;
    double error;
  };
  static double sum_of_squares(std::span<const Lanes> wanted, std::span<const Lanes> weight, std::size_t lane) {
    double sum = 0;
    for (std::size_t i = 0; i < wanted.size(); ++i)
      sum += static_cast<double>(weight[i][lane]) * static_cast<double>(wanted[i][lane]) *
             static_cast<double>(wanted[i][lane]);
    return sum;
  }
  /// The least-squares outer scale of the codes that `outer` gives, kept where it is better.
  void try_outer(float outer, std::span<const Lanes> wanted, std::span<const Lanes> weight, std::size_t lane,
                 Trial& best) const {
    double product = 0;
    double square = 0;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const auto level = static_cast<double>(levels_.value[levels_.nearest(wanted[i][lane] / outer)]);
      product += static_cast<double>(weight[i][lane]) * level * static_cast<double>(wanted[i][lane]);
      square += static_cast<double>(weight[i][lane]) * level * level;
    }
    if (!(square > 0)) return;
    const float settled = round_to_element(nested_.outer, static_cast<float>(product / square));
    if (settled == 0 || !std::isfinite(settled)) return;
    double error = 0;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const double left = static_cast<double>(wanted[i][lane]) -
                          static_cast<double>(value_of(settled, index_of(settled, wanted[i][lane])));
      error += static_cast<double>(weight[i][lane]) * left * left;
    }
    if (error < best.error) best = {settled, error};
  }

  float outer_of(std::int64_t lane, std::int64_t column) const {
    if (chosen_) return outers_[static_cast<std::size_t>(column / outer_columns())][static_cast<std::size_t>(lane)];
    if (!is_row(lane)) return 1.0f;
    return fixed_[nested_.entries_per_outer == 0
                      ? 0
                      : static_cast<std::size_t>(entry(lane, column) / nested_.entries_per_outer)];
  }
  /// As decode_plane() computes it.
  float value_of(float outer, std::size_t index) const {
    const float scaled = nested_.outer_divides ? levels_.value[index] / outer : outer * levels_.value[index];
    return nested_.has_constant ? scaled + data_.constant : scaled;
  }
  std::size_t index_of(float outer, float value) const {
    const float scaled = nested_.has_constant ? value - data_.constant : value;
    if (outer == 0) return levels_.nearest(0.0f);
    return levels_.nearest(nested_.outer_divides ? scaled * outer : scaled / outer);
  }

  const NestedFormat& nested_;
  CodeLevels levels_;
  bool chosen_;                ///< outer scales lie within rows
  std::vector<Lanes> outers_;  ///< chosen: of the rows at hand
  std::vector<float> fixed_;   ///< else: of the matrix
};

/// Entries that were chosen before.
class FixedPlane final : public EntryPlane {
 public:
  FixedPlane(PlaneRole role, QuantizedMatrix& out)
      : EntryPlane(role, out), values_(static_cast<std::size_t>(plane_entries_held(format_, data_))) {
    decode_plane(format_, data_, values_);
  }
  float candidate(std::int64_t lane, std::int64_t column, float, int) const override {
    return is_row(lane) ? values_[static_cast<std::size_t>(entry(lane, column))] : 1.0f;
  }
  int candidates() const override { return 1; }
  bool is_fixed() const override { return true; }
  void keep(std::int64_t, std::int64_t, float) override {}

 private:
  std::vector<float> values_;
};

}  // namespace

bool outer_is_within_rows(const PlaneFormat& format, std::int64_t cols) {
  if (!format.nested || format.nested->has_constant || format.nested->entries_per_outer == 0) return false;
  if (format.grouping.kind != Grouping::Kind::kColumns) return false;
  return cols % (format.grouping.size * format.nested->entries_per_outer) == 0;
}

std::unique_ptr<TilePlane> make_tile_plane(PlaneRole role, QuantizedMatrix& out) {
  if (format_of(role, out.scheme).nested) return std::make_unique<NestedPlane>(role, out);
  return std::make_unique<PlainPlane>(role, out);
}

std::unique_ptr<TilePlane> make_fixed_plane(PlaneRole role, QuantizedMatrix& out) {
  return std::make_unique<FixedPlane>(role, out);
}

}  // namespace nibble
