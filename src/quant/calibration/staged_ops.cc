#include "quant/calibration/staged_ops.h"

#include <utility>

#include "base/check.h"

namespace nibble {

/// How a value's slices come about, and those that are there.
class StagedOps::Staged final : public OpsValue, public std::enable_shared_from_this<Staged> {
 public:
  explicit Staged(StoredActivations slices) : kept(std::move(slices)) {}

  std::function<Value()> compute;  ///< gives the current slice; empty once all slices are kept
  StoredActivations kept;
  bool keep_when_computed = false;  ///< more than one stage will need it
  bool recompute = false;           ///< cheaper to compute again, from what is kept, than to keep
  Value current;                    ///< the current slice, while it lasts

  Status keep(std::size_t slice, std::span<const float> numbers) {
    NIBBLE_TRY_STATUS(kept.put(slice, numbers));
    if (kept.complete()) compute = nullptr;
    return {};
  }
};

/// The outputs of linears that share an input are computed together.
struct StagedOps::Products {
  std::vector<LinearId> linears;
  Value input;
  std::size_t slice = SIZE_MAX;
  std::vector<Value> values;  ///< of `slice`; an entry is given away once
};

StagedOps::StagedOps(BlockRunner& runner, const ModelLayout& layout, std::shared_ptr<ActivationStore> store,
                     LinearStage stage)
    : runner_(runner), inner_(runner.ops()), layout_(layout), store_(std::move(store)), stage_(std::move(stage)) {}

StagedOps::~StagedOps() = default;

StagedOps::Staged& StagedOps::staged(const Value& value) { return static_cast<Staged&>(*value); }

void StagedOps::note(Status status) {
  if (!status.ok() && status_.ok()) status_ = std::move(status);
}

Value StagedOps::make(std::int64_t width, std::function<Value()> compute) {
  auto out = std::make_shared<Staged>(StoredActivations(store_, runner_.slices()));
  out->width = width;
  out->compute = std::move(compute);
  return out;
}

Value StagedOps::given(StoredActivations slices, std::int64_t width) {
  NIBBLE_CHECK(slices.complete());
  Value out = make(width, nullptr);
  staged(out).kept = std::move(slices);
  return out;
}

void StagedOps::begin_slice(std::size_t slice) {
  for (const std::shared_ptr<OpsValue>& value : computed_) static_cast<Staged&>(*value).current = nullptr;
  computed_.clear();
  slice_ = slice;
  runner_.set_slice(slice);
}

Value StagedOps::now(const Value& value) {
  Staged& v = staged(value);
  if (v.current != nullptr) return v.current;
  if (v.kept.has(slice_)) {
    note(v.kept.read(slice_, read_));
    v.current = inner_.value_of(read_.data(), static_cast<std::int64_t>(read_.size()) / v.width, v.width);
  } else {
    v.current = v.compute();
    if (v.keep_when_computed) note(v.keep(slice_, cpu_values(v.current)));
  }
  computed_.push_back(v.shared_from_this());
  return v.current;
}

void StagedOps::keep_slice(const Value& value, std::size_t slice,
                           const std::function<void(std::span<const float>, std::int64_t)>& see) {
  begin_slice(slice);
  const Value numbers = now(value);
  if (see) see(cpu_values(numbers), value->width);
  if (!staged(value).recompute) note(staged(value).keep(slice, cpu_values(numbers)));
  note(inner_.take_status());
}

Status StagedOps::keep_all(const Value& value, const std::function<void(std::span<const float>, std::int64_t)>& see) {
  for (std::size_t slice = 0; slice < runner_.slices() && status_.ok(); ++slice) keep_slice(value, slice, see);
  begin_slice(0);
  return status_;
}

Result<StoredActivations> StagedOps::take(const Value& value) {
  Staged& v = staged(value);
  if (!v.kept.complete()) (void)keep_all(value, nullptr);
  NIBBLE_TRY_STATUS(status_);
  return std::move(v.kept);
}

std::vector<Value> StagedOps::linear_group(const Value& x, std::span<const LinearId> linears) {
  const EachSlice each_slice = [this, &x](const auto& see) { return keep_all(x, see); };
  if (status_.ok()) note(stage_(linears, each_slice));
  const auto products = std::make_shared<Products>();
  products->linears.assign(linears.begin(), linears.end());
  products->input = x;
  std::vector<Value> out;
  for (std::size_t i = 0; i < linears.size(); ++i) {
    const auto compute = [this, products, i] {
      if (products->slice != slice_ || products->values[i] == nullptr) {
        products->values = inner_.linear_group(now(products->input), products->linears);
        products->slice = slice_;
      }
      return std::exchange(products->values[i], nullptr);
    };
    out.push_back(make(layout_.linears[static_cast<std::size_t>(linears[i])].rows, compute));
  }
  return out;
}

Value StagedOps::embed(LinearId table, float scale) {
  return make(layout_.linears[static_cast<std::size_t>(table)].cols,
              [this, table, scale] { return inner_.embed(table, scale); });
}

Value StagedOps::rms_norm(const Value& x, VectorId weight, float eps, bool plus_one) {
  Value out = make(x->width, [=, this] { return inner_.rms_norm(now(x), weight, eps, plus_one); });
  staged(out).recompute = staged(x).keep_when_computed || staged(x).kept.complete();
  return out;
}

Value StagedOps::rope(const Value& x, std::int64_t head_dim, int rope) {
  return make(x->width, [=, this] { return inner_.rope(now(x), head_dim, rope); });
}

Value StagedOps::attention(const Value& q, const Value& k, const Value& v, const AttentionSpec& spec) {
  return make(q->width, [=, this] { return inner_.attention(now(q), now(k), now(v), spec); });
}

Value StagedOps::gated_activation(Activation activation, const Value& gate, const Value& up) {
  return make(gate->width, [=, this] { return inner_.gated_activation(activation, now(gate), now(up)); });
}

Value StagedOps::add(const Value& a, const Value& b) {
  Value out = make(a->width, [=, this] { return inner_.add(now(a), now(b)); });
  staged(out).keep_when_computed = true;  // the residual stream: a norm needs it, and the next sum
  return out;
}

Value StagedOps::output_rows(const Value& x) {
  return make(x->width, [=, this] { return inner_.output_rows(now(x)); });
}

Value StagedOps::softcap(const Value& x, float c) {
  return make(x->width, [=, this] { return inner_.softcap(now(x), c); });
}

}  // namespace nibble
