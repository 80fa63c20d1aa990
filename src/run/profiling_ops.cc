#include "run/profiling_ops.h"

#include <chrono>
#include <type_traits>

namespace nibble {
namespace {

class ProfilingOps final : public Ops {
 public:
  ProfilingOps(Ops& inner, const ModelLayout& layout, OperationTimes& times)
      : inner_(inner), layout_(layout), times_(times) {
    for (std::size_t i = 0; i < layout.blocks.size(); ++i) {
      block_of_norm_[layout.blocks[i].input_norm] = static_cast<int>(i);
      block_of_norm_[layout.blocks[i].ffn_norm] = static_cast<int>(i);
    }
    block_of_norm_[layout.final_norm] = -1;
  }

  Value embed(LinearId table, float scale) override {
    block_ = -1;
    return timed("embed", [&] { return inner_.embed(table, scale); });
  }

  std::vector<Value> linear_group(const Value& x, std::span<const LinearId> linears) override {
    std::string name;
    for (const LinearId id : linears) {
      const std::string& whole = layout_.linears[static_cast<std::size_t>(id)].name;
      if (!name.empty()) name += ' ';
      name += id == layout_.head ? "head" : whole.substr(whole.rfind('.') + 1);
    }
    return timed(name, [&] { return inner_.linear_group(x, linears); });
  }

  Value rms_norm(const Value& x, VectorId weight, float eps, bool plus_one) override {
    if (const auto found = block_of_norm_.find(weight); found != block_of_norm_.end()) block_ = found->second;
    return timed("rms_norm", [&] { return inner_.rms_norm(x, weight, eps, plus_one); });
  }

  Value rope(const Value& x, std::int64_t head_dim, int rope) override {
    return timed("rope", [&] { return inner_.rope(x, head_dim, rope); });
  }

  Value attention(const Value& q, const Value& k, const Value& v, const AttentionSpec& spec) override {
    return timed("attention", [&] { return inner_.attention(q, k, v, spec); });
  }

  Value gated_activation(Activation activation, const Value& gate, const Value& up) override {
    return timed("gated_activation", [&] { return inner_.gated_activation(activation, gate, up); });
  }

  Value add(const Value& a, const Value& b) override {
    return timed("add", [&] { return inner_.add(a, b); });
  }

  Value output_rows(const Value& x) override {
    block_ = -1;
    return timed("output_rows", [&] { return inner_.output_rows(x); });
  }

  Value softcap(const Value& x, float c) override {
    return timed("softcap", [&] { return inner_.softcap(x, c); });
  }

 private:
  template <typename Operation>
  std::invoke_result_t<const Operation&> timed(const std::string& name, const Operation& operation) {
    const auto start = std::chrono::steady_clock::now();
    auto out = operation();
    times_.add(name, block_, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    return out;
  }

  Ops& inner_;
  const ModelLayout& layout_;
  OperationTimes& times_;
  std::map<VectorId, int> block_of_norm_;  ///< of norms that begin a block's attention or feed-forward part, or end all
  int block_ = -1;                         ///< that the next operations belong to
};

}  // namespace

void OperationTimes::add(const std::string& operation, int block, double seconds) {
  Time& time = times_[{operation, block}];
  time.seconds += seconds;
  ++time.calls;
}

OpsWrapper profiling_ops(const ModelLayout& layout, OperationTimes& times) {
  return [&layout, &times](Ops& inner) { return std::make_unique<ProfilingOps>(inner, layout, times); };
}

}  // namespace nibble
