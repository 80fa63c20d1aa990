// Loading a model into the CPU kernels' layouts.
#include "run/cpu_model.h"

#include "run/embedding_rows.h"

namespace nibble {

Status CpuModel::load_linear(const ModelWeights& weights, const CpuModelOptions& options, LinearId id,
                             ThreadPool& pool) {
  const auto index = static_cast<std::size_t>(id);
  const LinearInfo& info = layout_.linears[index];
  NIBBLE_TRY(MatrixPtr matrix, weights.matrix(id));
  if (options.matrix_hook) {
    NIBBLE_TRY(matrix, options.matrix_hook(info, std::move(matrix)));
  }
  schemes_[index] = matrix->scheme();
  NIBBLE_TRY(biases_[index], weights.bias(id));
  if (id == layout_.embedding && id != layout_.head) {
    embedding_ = std::move(matrix);
    return {};
  }
  Result<kernel::PackedMatrix> packed = kernel::PackedMatrix::pack(*matrix, pool);
  if (!packed.ok()) return with_context(packed.error(), weights.path() + ": " + info.name);
  matrices_[index] = std::move(packed).value();
  packed_bytes_ += matrices_[index].packed_bytes();
  bytes_per_token_ += schemes_[index].stored_bytes(info.rows, info.cols);
  return {};
}

Result<CpuModel::Ptr> CpuModel::load(const ModelWeights::Ptr& weights, const CpuModelOptions& options,
                                     ThreadPool& pool) {
  std::shared_ptr<CpuModel> model(new CpuModel);
  model->config_ = weights->config();
  model->layout_ = weights->layout();
  model->weights_ = weights;
  model->context_length_ = options.context_length > 0 ? options.context_length : model->config_.max_position_embeddings;
  if (model->context_length_ > kMaxPositions)
    return fail(ErrorCode::kInvalidArgument, "a context of {} tokens is too long; at most {} are possible",
                model->context_length_, kMaxPositions);
  const std::size_t count = model->layout_.linears.size();
  model->matrices_.resize(count);
  model->biases_.resize(count);
  model->schemes_.resize(count);
  const auto total = static_cast<std::uint64_t>(weights->parameters());
  std::uint64_t done = 0;
  for (std::size_t i = 0; i < count; ++i) {
    NIBBLE_TRY_STATUS(model->load_linear(*weights, options, static_cast<LinearId>(i), pool));
    const LinearInfo& info = model->layout_.linears[i];
    done += static_cast<std::uint64_t>(info.rows) * static_cast<std::uint64_t>(info.cols);
    if (options.progress && !options.progress("loading", done, total, "weights"))
      return fail(ErrorCode::kCancelled, "{}: loading was stopped", weights->path());
  }
  for (std::size_t i = 0; i < model->layout_.vectors.size(); ++i) {
    NIBBLE_TRY(std::vector<float> values, weights->vector(static_cast<VectorId>(i)));
    model->vectors_.push_back(std::move(values));
  }
  for (const kernel::RopeConfig& rope : model->config_.ropes)
    model->ropes_.push_back(std::make_unique<kernel::RopeTable>(kernel::rope_frequencies(rope, model->context_length_),
                                                                model->context_length_));
  NIBBLE_TRY_STATUS(weights->check_intact());
  return Ptr(std::move(model));
}

Status CpuModel::embedding_row(std::int32_t token, float* out) const {
  if (embedding_ == nullptr) {
    matrix(layout_.head).decode_row(token, out);
    return {};
  }
  NIBBLE_TRY_STATUS(read_embedding_row(*embedding_, token, out));
  return weights_->check_intact();
}

}  // namespace nibble
