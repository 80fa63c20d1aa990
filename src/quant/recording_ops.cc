#include "quant/recording_ops.h"

namespace nibble {
namespace {

class RecordingOps final : public Ops {
 public:
  RecordingOps(Ops& inner, LinearObserver observer) : inner_(inner), observer_(std::move(observer)) {}

  std::vector<Value> linear_group(const Value& x, std::span<const LinearId> linears) override {
    observer_(linears, cpu_values(x), x->width);
    return inner_.linear_group(x, linears);
  }

  Value embed(LinearId table, float scale) override { return inner_.embed(table, scale); }
  Value rms_norm(const Value& x, VectorId weight, float eps, bool plus_one) override {
    return inner_.rms_norm(x, weight, eps, plus_one);
  }
  Value rope(const Value& x, std::int64_t head_dim, int rope) override { return inner_.rope(x, head_dim, rope); }
  Value attention(const Value& q, const Value& k, const Value& v, const AttentionSpec& spec) override {
    return inner_.attention(q, k, v, spec);
  }
  Value gated_activation(Activation activation, const Value& gate, const Value& up) override {
    return inner_.gated_activation(activation, gate, up);
  }
  Value add(const Value& a, const Value& b) override { return inner_.add(a, b); }
  Value output_rows(const Value& x) override { return inner_.output_rows(x); }
  Value softcap(const Value& x, float c) override { return inner_.softcap(x, c); }

 private:
  Ops& inner_;
  LinearObserver observer_;
};

}  // namespace

OpsWrapper recording_ops(LinearObserver observer) {
  return [observer = std::move(observer)](Ops& inner) { return std::make_unique<RecordingOps>(inner, observer); };
}

}  // namespace nibble
