// Every operation computes its value and, when somebody wants a gradient through it, leaves a step that turns the
// gradient by its output into those by its inputs. Steps run in reverse, and free their values as they go.
#include "train/train_ops.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "kernel/activation/activation.h"
#include "kernel/gemm/gemm.h"
#include "kernel/gradient/gradient.h"
#include "kernel/norm/norm.h"
#include "kernel/rope/rope.h"
#include "train/window_attention.h"

namespace nibble {

using kernel::GemmInput;

class TrainOps::Recorded final : public OpsValue {
 public:
  std::int64_t rows = 0;
  bool wants_gradient = false;
  Floats numbers;
  Floats gradient;  ///< null: none came yet

  std::int64_t size() const { return rows * width; }
  const float* data() const { return numbers->data; }
};

namespace {

/// body(begin, end) over ranges of `count` items, in parallel.
template <typename Body>
void in_ranges(std::int64_t count, std::int64_t grain, ThreadPool& pool, Body&& body) {
  pool.run(static_cast<std::size_t>(count), static_cast<std::size_t>(grain),
           [&](std::size_t begin, std::size_t end, int) {
             body(static_cast<std::int64_t>(begin), static_cast<std::int64_t>(end));
           });
}

constexpr std::int64_t kPiece = 4096;  ///< numbers of an elementwise task

}  // namespace

TrainOps::TrainOps(const TrainWeights& weights, const TrainBatch& batch, GradientRequest request, ThreadPool& pool)
    : weights_(weights),
      batch_(batch),
      request_(std::move(request)),
      pool_(pool),
      memory_(std::make_shared<FloatPool>()) {}

TrainOps::~TrainOps() = default;

TrainOps::Handle TrainOps::recorded(const Value& value) { return std::static_pointer_cast<Recorded>(value); }

std::span<const float> TrainOps::numbers(const Value& value) {
  const Handle handle = recorded(value);
  return {handle->data(), static_cast<std::size_t>(handle->size())};
}

std::span<const float> TrainOps::input_gradient(const Value& given) {
  const Handle handle = recorded(given);
  if (handle->gradient == nullptr) return {};
  return {handle->gradient->data, static_cast<std::size_t>(handle->size())};
}

std::span<const float> TrainOps::found(const Gradients& gradients, int id) {
  const auto entry = gradients.find(id);
  if (entry == gradients.end()) return {};
  return {entry->second->data, static_cast<std::size_t>(entry->second->size)};
}

TrainOps::Handle TrainOps::make(std::int64_t rows, std::int64_t width, bool wants_gradient) const {
  auto out = std::make_shared<Recorded>();
  out->rows = rows;
  out->width = width;
  out->wants_gradient = wants_gradient;
  out->numbers = memory_->take(out->size());
  return out;
}

void TrainOps::remember(const Handle& out, std::function<void()> step) {
  if (out->wants_gradient) steps_.push_back(std::move(step));
}

void TrainOps::give(const Handle& value, const Floats& gradient) const {
  if (!value->wants_gradient) return;
  if (value->gradient == nullptr) {
    value->gradient = gradient;
    return;
  }
  // The sum of two goes into a new buffer: values may share theirs.
  const std::int64_t size = value->size();
  const Floats sum = memory_->take(size);
  kernel::add(value->gradient->data, gradient->data, size, sum->data, pool_);
  value->gradient = sum;
}

float* TrainOps::parameter(Gradients& gradients, int id, std::int64_t size) const {
  Floats& entry = gradients[id];
  if (entry == nullptr) {
    entry = memory_->take(size);
    std::fill_n(entry->data, size, 0.0f);
  }
  return entry->data;
}

void TrainOps::forget() { steps_.clear(); }

void TrainOps::clear_gradients() {
  matrix_gradients_.clear();
  bias_gradients_.clear();
  vector_gradients_.clear();
}

void TrainOps::backward(const Value& y, std::span<const float> gradient) {
  const Handle handle = recorded(y);
  NIBBLE_CHECK(static_cast<std::int64_t>(gradient.size()) == handle->size());
  const Floats copy = memory_->take(handle->size());
  std::copy(gradient.begin(), gradient.end(), copy->data);
  handle->gradient = copy;
  while (!steps_.empty()) {
    steps_.back()();
    steps_.pop_back();
  }
}

Value TrainOps::given(std::span<const float> numbers, std::int64_t width) {
  NIBBLE_CHECK(static_cast<std::int64_t>(numbers.size()) == batch_.windows * batch_.window * width);
  const Handle out = make(batch_.windows * batch_.window, width, request_.input);
  std::copy(numbers.begin(), numbers.end(), out->numbers->data);
  return out;
}

Value TrainOps::embed(LinearId table, float scale) {
  const DenseMatrix& matrix = weights_.matrix(table);
  const auto rows = static_cast<std::int64_t>(batch_.tokens.size());
  NIBBLE_CHECK(rows == batch_.windows * batch_.window);
  const Handle out = make(rows, matrix.cols, request_.matrices.contains(table));
  for (std::int64_t t = 0; t < rows; ++t) {
    const std::int32_t token = batch_.tokens[static_cast<std::size_t>(t)];
    NIBBLE_CHECK(token >= 0 && token < matrix.rows);
    std::copy_n(matrix.values.begin() + token * matrix.cols, matrix.cols, out->numbers->data + t * matrix.cols);
  }
  if (scale != 1.0f) kernel::scale(out->numbers->data, scale, out->size(), pool_);
  remember(out, [this, out, table, scale] {
    if (out->gradient == nullptr) return;
    float* d_table = parameter(matrix_gradients_, table, weights_.matrix(table).rows * out->width);
    for (std::int64_t t = 0; t < out->rows; ++t) {
      float* row = d_table + batch_.tokens[static_cast<std::size_t>(t)] * out->width;
      for (std::int64_t i = 0; i < out->width; ++i) row[i] += scale * out->gradient->data[t * out->width + i];
    }
  });
  return out;
}

std::vector<Value> TrainOps::linear_group(const Value& x, std::span<const LinearId> linears) {
  const Handle in = recorded(x);
  std::vector<Value> out;
  std::vector<Handle> handles;
  for (const LinearId id : linears) {
    const DenseMatrix& matrix = weights_.matrix(id);
    const std::vector<float>& bias = weights_.bias(id);
    NIBBLE_CHECK(matrix.cols == in->width);
    const bool wanted = in->wants_gradient || request_.matrices.contains(id) || request_.biases.contains(id);
    const Handle y = make(in->rows, matrix.rows, wanted);
    // The bias is where the sum starts.
    if (!bias.empty())
      in_ranges(y->rows, 64, pool_, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t t = begin; t < end; ++t) std::copy(bias.begin(), bias.end(), y->numbers->data + t * y->width);
      });
    kernel::gemm({GemmInput::rows(in->data(), in->width), GemmInput::transposed(matrix.values.data(), matrix.cols),
                  in->rows, matrix.rows, matrix.cols, y->numbers->data, y->width, !bias.empty()},
                 pool_);
    out.push_back(y);
    handles.push_back(y);
  }
  const bool any = std::any_of(handles.begin(), handles.end(), [](const Handle& y) { return y->wants_gradient; });
  if (any)
    steps_.push_back([this, in, ids = std::vector<LinearId>(linears.begin(), linears.end()), handles] {
      linear_backward(in, ids, handles);
    });
  return out;
}

void TrainOps::linear_backward(const Handle& x, std::span<const LinearId> linears, std::span<const Handle> outs) {
  Floats d_x;
  for (std::size_t i = 0; i < linears.size(); ++i) {
    const LinearId id = linears[i];
    if (outs[i]->gradient == nullptr) continue;
    const DenseMatrix& matrix = weights_.matrix(id);
    const float* d_y = outs[i]->gradient->data;
    if (request_.at_linear)
      request_.at_linear(id, {x->data(), static_cast<std::size_t>(x->size())},
                         {d_y, static_cast<std::size_t>(outs[i]->size())});
    if (request_.matrices.contains(id)) {
      float* d_matrix = parameter(matrix_gradients_, id, matrix.rows * matrix.cols);
      kernel::gemm({GemmInput::transposed(d_y, matrix.rows), GemmInput::rows(x->data(), matrix.cols), matrix.rows,
                    matrix.cols, x->rows, d_matrix, matrix.cols, true},
                   pool_);
    }
    if (request_.biases.contains(id)) bias_backward(id, *outs[i]);
    if (!x->wants_gradient) continue;
    const bool first = d_x == nullptr;
    if (first) d_x = memory_->take(x->size());
    kernel::gemm({GemmInput::rows(d_y, matrix.rows), GemmInput::rows(matrix.values.data(), matrix.cols), x->rows,
                  matrix.cols, matrix.rows, d_x->data, matrix.cols, !first},
                 pool_);
  }
  if (d_x != nullptr) give(x, d_x);
}

void TrainOps::bias_backward(LinearId id, const Recorded& out) {
  float* d_bias = parameter(bias_gradients_, id, out.width);
  constexpr std::int64_t kColumns = 64;
  in_ranges(out.width, kColumns, pool_, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = 0; t < out.rows; ++t)
      for (std::int64_t i = begin; i < end; ++i) d_bias[i] += out.gradient->data[t * out.width + i];
  });
}

Value TrainOps::rms_norm(const Value& x, VectorId weight, float eps, bool plus_one) {
  const Handle in = recorded(x);
  const std::vector<float>& w = weights_.vector(weight);
  const auto n = static_cast<std::int64_t>(w.size());
  const Handle out = make(in->rows, in->width, in->wants_gradient || request_.vectors.contains(weight));
  kernel::rms_norm(in->data(), in->size() / n, n, n, w.data(), eps, plus_one, out->numbers->data, n, pool_);
  remember(out, [this, in, weight, eps, plus_one, out] { norm_backward(in, weight, eps, plus_one, out); });
  return out;
}

void TrainOps::norm_backward(const Handle& x, VectorId weight, float eps, bool plus_one, const Handle& out) {
  if (out->gradient == nullptr) return;
  const std::vector<float>& w = weights_.vector(weight);
  const auto n = static_cast<std::int64_t>(w.size());
  const std::int64_t rows = x->size() / n;
  constexpr std::int64_t kRows = 256;  // that add to one partial sum of the weight's gradient
  const std::int64_t chunks = (rows + kRows - 1) / kRows;
  const bool wanted = request_.vectors.contains(weight);
  const Floats d_x = memory_->take(x->size());
  std::vector<float> partial(static_cast<std::size_t>(wanted ? chunks * n : 0));
  in_ranges(chunks, 1, pool_, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin * kRows; r < std::min(rows, end * kRows); ++r)
      kernel::gradient_kernel().rms_norm(x->data() + r * n, n, w.data(), eps, plus_one, out->gradient->data + r * n,
                                         d_x->data + r * n, wanted ? partial.data() + r / kRows * n : nullptr);
  });
  if (wanted) {
    float* d_weight = parameter(vector_gradients_, weight, n);
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk)
      for (std::int64_t i = 0; i < n; ++i) d_weight[i] += partial[static_cast<std::size_t>(chunk * n + i)];
  }
  give(x, d_x);
}

Value TrainOps::rope(const Value& x, std::int64_t head_dim, int rope) {
  const Handle in = recorded(x);
  const Handle out = make(in->rows, in->width, in->wants_gradient);
  const kernel::RopeTable& table = weights_.rope(rope);
  std::vector<std::int32_t> positions(static_cast<std::size_t>(in->rows));
  for (std::int64_t t = 0; t < in->rows; ++t)
    positions[static_cast<std::size_t>(t)] = static_cast<std::int32_t>(t % batch_.window);
  kernel::rope_rotate_half(in->data(), in->rows, static_cast<int>(in->width / head_dim), static_cast<int>(head_dim),
                           table.rotary_dim(), in->width, positions.data(), table, out->numbers->data, pool_);
  remember(out, [this, in, out, head_dim, rope] {
    if (out->gradient != nullptr) give(in, rotated_back(out->gradient, head_dim, rope));
  });
  return out;
}

/// The transpose of a rotation: the sines change their signs.
Floats TrainOps::rotated_back(const Floats& gradient, std::int64_t head_dim, int rope) const {
  const kernel::RopeTable& table = weights_.rope(rope);
  const auto& rotation = kernel::best_kernel(kernel::rope_kernels(), cpu_features());
  const int half = table.rotary_dim() / 2;
  const std::int64_t rows = batch_.windows * batch_.window;
  const std::int64_t width = gradient->size / rows;
  const Floats out = memory_->take(gradient->size);
  std::memcpy(out->data, gradient->data, static_cast<std::size_t>(gradient->size) * sizeof(float));
  in_ranges(rows, 64, pool_, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> sines(static_cast<std::size_t>(half));
    for (std::int64_t t = begin; t < end; ++t) {
      const float* row = table.row(t % batch_.window);
      std::transform(row + half, row + 2 * half, sines.begin(), [](float s) { return -s; });
      rotation.rotate(out->data + t * width, static_cast<int>(width / head_dim), static_cast<int>(head_dim), half, row,
                      sines.data());
    }
  });
  return out;
}

Value TrainOps::attention(const Value& q, const Value& k, const Value& v, const AttentionSpec& spec) {
  const Handle queries = recorded(q);
  const Handle keys = recorded(k);
  const Handle values = recorded(v);
  const bool wanted = queries->wants_gradient || keys->wants_gradient || values->wants_gradient;
  const Handle out = make(queries->rows, queries->width, wanted);
  const auto inputs = [this, queries, keys, values, spec] {
    return AttentionInputs{spec, batch_.windows, batch_.window, queries->data(), keys->data(), values->data()};
  };
  window_attention(inputs(), out->numbers->data, pool_);
  remember(out, [this, inputs, queries, keys, values, out] {
    if (out->gradient == nullptr) return;
    const Floats d_q = memory_->take(queries->size());
    const Floats d_k = memory_->take(keys->size());
    const Floats d_v = memory_->take(values->size());
    window_attention_gradient(inputs(), out->gradient->data, d_q->data, d_k->data, d_v->data, pool_);
    give(queries, d_q);
    give(keys, d_k);
    give(values, d_v);
  });
  return out;
}

Value TrainOps::gated_activation(Activation activation, const Value& gate, const Value& up) {
  const Handle g = recorded(gate);
  const Handle u = recorded(up);
  const Handle out = make(g->rows, g->width, g->wants_gradient || u->wants_gradient);
  kernel::gated_activation(activation, g->data(), u->data(), g->rows, g->width, g->width, u->width, out->numbers->data,
                           out->width, pool_);
  remember(out, [this, activation, g, u, out] {
    if (out->gradient == nullptr) return;
    const Floats d_gate = memory_->take(g->size());
    const Floats d_up = memory_->take(u->size());
    in_ranges(out->size(), kPiece, pool_, [&](std::int64_t begin, std::int64_t end) {
      kernel::gradient_kernel().gated(activation, g->data() + begin, u->data() + begin, out->gradient->data + begin,
                                      end - begin, d_gate->data + begin, d_up->data + begin);
    });
    give(g, d_gate);
    give(u, d_up);
  });
  return out;
}

Value TrainOps::add(const Value& a, const Value& b) {
  const Handle first = recorded(a);
  const Handle second = recorded(b);
  const Handle out = make(first->rows, first->width, first->wants_gradient || second->wants_gradient);
  kernel::add(first->data(), second->data(), out->size(), out->numbers->data, pool_);
  remember(out, [this, first, second, out] {
    if (out->gradient == nullptr) return;
    give(first, out->gradient);
    give(second, out->gradient);
  });
  return out;
}

Value TrainOps::output_rows(const Value& x) {
  const Handle in = recorded(x);
  const Handle out = make(static_cast<std::int64_t>(batch_.output_rows.size()), in->width, in->wants_gradient);
  for (std::int64_t r = 0; r < out->rows; ++r)
    std::copy_n(in->data() + batch_.output_rows[static_cast<std::size_t>(r)] * in->width, in->width,
                out->numbers->data + r * in->width);
  remember(out, [this, in, out] {
    if (out->gradient == nullptr) return;
    const Floats d_x = memory_->take(in->size());
    std::fill_n(d_x->data, in->size(), 0.0f);
    for (std::int64_t r = 0; r < out->rows; ++r) {
      float* row = d_x->data + batch_.output_rows[static_cast<std::size_t>(r)] * in->width;
      for (std::int64_t i = 0; i < in->width; ++i) row[i] += out->gradient->data[r * in->width + i];
    }
    give(in, d_x);
  });
  return out;
}

Value TrainOps::softcap(const Value& x, float c) {
  const Handle in = recorded(x);
  const Handle out = make(in->rows, in->width, in->wants_gradient);
  std::memcpy(out->numbers->data, in->data(), static_cast<std::size_t>(in->size()) * sizeof(float));
  kernel::softcap(out->numbers->data, c, out->size(), pool_);
  remember(out, [this, in, out, c] {
    if (out->gradient == nullptr) return;
    const Floats d_x = memory_->take(in->size());
    in_ranges(out->size(), kPiece, pool_, [&](std::int64_t begin, std::int64_t end) {
      kernel::gradient_kernel().softcap(out->data() + begin, out->gradient->data + begin, end - begin, c,
                                        d_x->data + begin);
    });
    give(in, d_x);
  });
  return out;
}

}  // namespace nibble
