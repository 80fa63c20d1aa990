#include "quant/calibration/paired_ops.h"

#include <utility>

namespace nibble {

struct PairedOps::Pair final : OpsValue {
  Value quantized;
  Value original;
};

PairedOps::PairedOps(BlockRunner& quantized, BlockRunner& original, const ModelLayout& layout,
                     const std::shared_ptr<ActivationStore>& store, PairedStage stage)
    : stage_(std::move(stage)),
      original_(original, layout, store, [](std::span<const LinearId>, const EachSlice&) { return Status(); }),
      quantized_(quantized, layout, store, [this](std::span<const LinearId> linears, const EachSlice& each_slice) {
        return stage_(linears, [&](const auto& see) -> Status {
          std::size_t slice = 0;
          NIBBLE_TRY_STATUS(each_slice([&](std::span<const float> x, std::int64_t) {
            original_.keep_slice(original_input_, slice++, [&](std::span<const float> y, std::int64_t) { see(x, y); });
          }));
          return Status(original_.status());
        });
      }) {}

const PairedOps::Pair& PairedOps::pair(const Value& value) { return static_cast<const Pair&>(*value); }

Value PairedOps::make(Value quantized, Value original) {
  auto out = std::make_shared<Pair>();
  out->width = quantized->width;
  out->quantized = std::move(quantized);
  out->original = std::move(original);
  return out;
}

Value PairedOps::given(Streams slices, std::int64_t width) {
  return make(quantized_.given(std::move(slices.quantized), width), original_.given(std::move(slices.original), width));
}

Result<PairedOps::Streams> PairedOps::take(const Value& value) {
  NIBBLE_TRY(StoredActivations quantized, quantized_.take(pair(value).quantized));
  NIBBLE_TRY(StoredActivations original, original_.take(pair(value).original));
  return Streams{std::move(quantized), std::move(original)};
}

Value PairedOps::embed(LinearId table, float scale) {
  return make(quantized_.embed(table, scale), original_.embed(table, scale));
}

std::vector<Value> PairedOps::linear_group(const Value& x, std::span<const LinearId> linears) {
  original_input_ = pair(x).original;
  std::vector<Value> out = quantized_.linear_group(pair(x).quantized, linears);
  const std::vector<Value> original = original_.linear_group(original_input_, linears);
  original_input_ = nullptr;
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = make(std::move(out[i]), original[i]);
  return out;
}

Value PairedOps::rms_norm(const Value& x, VectorId weight, float eps, bool plus_one) {
  return make(quantized_.rms_norm(pair(x).quantized, weight, eps, plus_one),
              original_.rms_norm(pair(x).original, weight, eps, plus_one));
}

Value PairedOps::rope(const Value& x, std::int64_t head_dim, int rope) {
  return make(quantized_.rope(pair(x).quantized, head_dim, rope), original_.rope(pair(x).original, head_dim, rope));
}

Value PairedOps::attention(const Value& q, const Value& k, const Value& v, const AttentionSpec& spec) {
  return make(quantized_.attention(pair(q).quantized, pair(k).quantized, pair(v).quantized, spec),
              original_.attention(pair(q).original, pair(k).original, pair(v).original, spec));
}

Value PairedOps::gated_activation(Activation activation, const Value& gate, const Value& up) {
  return make(quantized_.gated_activation(activation, pair(gate).quantized, pair(up).quantized),
              original_.gated_activation(activation, pair(gate).original, pair(up).original));
}

Value PairedOps::add(const Value& a, const Value& b) {
  return make(quantized_.add(pair(a).quantized, pair(b).quantized), original_.add(pair(a).original, pair(b).original));
}

Value PairedOps::output_rows(const Value& x) {
  return make(quantized_.output_rows(pair(x).quantized), original_.output_rows(pair(x).original));
}

Value PairedOps::softcap(const Value& x, float c) {
  return make(quantized_.softcap(pair(x).quantized, c), original_.softcap(pair(x).original, c));
}

}  // namespace nibble
