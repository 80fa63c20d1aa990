// Loading a model into the CPU kernels' layouts.
#include "run/cpu_model.h"

#include "run/embedding_rows.h"

namespace nibble {

Status CpuModel::load_linear(const ModelWeights& weights, const CpuModelOptions& options, LinearId id,
                             ThreadPool& pool) {
  NIBBLE_TRY(biases_[static_cast<std::size_t>(id)], weights.bias(id));
  if (is_packed(layout_, id)) return load_matrix(weights, options, id, pool);
  NIBBLE_TRY(embedding_, matrix_to_run(weights, options.matrix_hook, id));
  schemes_[static_cast<std::size_t>(id)] = to_string(embedding_->scheme());
  return {};
}

Status CpuModel::load_matrix(const ModelWeights& weights, const CpuModelOptions& options, LinearId id,
                             ThreadPool& pool) {
  const auto index = static_cast<std::size_t>(id);
  const LinearInfo& info = layout_.linears[index];
  if (options.pack != nullptr) {
    const PackFile::Entry* entry = options.pack->find(info.name);
    if (entry == nullptr || entry->rows != info.rows || entry->cols != info.cols)
      return fail(ErrorCode::kCorrupt, "{}: holds no \"{}\" of {} x {}", options.pack->file()->path(), info.name,
                  info.rows, info.cols);
    NIBBLE_TRY(matrices_[index], options.pack->matrix(*entry));
    schemes_[index] = entry->scheme;
    bytes_per_token_ += entry->stored_bytes;
  } else {
    NIBBLE_TRY(const MatrixPtr matrix, matrix_to_run(weights, options.matrix_hook, id));
    NIBBLE_TRY(matrices_[index], pack_linear(weights, *matrix, id, pool, &arena_));
    schemes_[index] = to_string(matrix->scheme());
    bytes_per_token_ += matrix->scheme().stored_bytes(info.rows, info.cols);
  }
  packed_bytes_ += matrices_[index].packed_bytes();
  return {};
}

Status CpuModel::begin_stream(const CpuModelOptions& options) {
  pack_ = options.pack;
  if (pack_ == nullptr || options.pack_memory == 0) return {};
  std::vector<StreamedWeights> matrices;
  for (std::size_t i = 0; i < layout_.linears.size(); ++i)
    if (const auto id = static_cast<LinearId>(i); is_packed(layout_, id) && id != layout_.head)
      matrices.push_back({id, &matrices_[i], pack_->find(layout_.linears[i].name)->offset});
  const auto head = static_cast<std::size_t>(layout_.head);  // the last that is used, also where it is the embedding
  matrices.push_back({layout_.head, &matrices_[head], pack_->find(layout_.linears[head].name)->offset});
  if (const std::uint64_t least = WeightStream::least_memory(matrices); options.pack_memory < least)
    return fail(ErrorCode::kOutOfMemory, "{}: --memory is too little; --memory {}M is the least", pack_->file()->path(),
                (options.around_weights + least) / 1'000'000 + 1);
  NIBBLE_TRY(stream_, WeightStream::create(pack_->file(), matrices, options.pack_memory));
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
  std::uint64_t total = 0;
  for (const LinearInfo& info : model->layout_.linears)
    total += static_cast<std::uint64_t>(info.rows) * static_cast<std::uint64_t>(info.cols);
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
  weights->release();
  NIBBLE_TRY_STATUS(model->begin_stream(options));
  return Ptr(std::move(model));
}

Status CpuModel::check_intact() const { return pack_ == nullptr ? Status{} : pack_->file()->check_intact(); }

Status CpuModel::embedding_row(std::int32_t token, float* out) const {
  if (embedding_ == nullptr) {
    matrix(layout_.head).decode_row(token, out);
    return {};
  }
  NIBBLE_TRY_STATUS(read_embedding_row(*embedding_, token, out));
  if (stream_ != nullptr) embedding_->release(0, embedding_->rows());
  return weights_->check_intact();
}

}  // namespace nibble
