// Opening a checkpoint as a language model: names, row orders and norms are brought to the Hugging Face form.
#include "model/model_files.h"

#include <algorithm>
#include <cmath>

#include "base/log.h"
#include "model/llama3_rope.h"
#include "tensor/permuted_rows.h"

namespace nibble {
namespace {

/// GGUF stores Llama 3's frequency scaling as a tensor of divisors; config.json states it by four numbers. Finds the
/// numbers that give these divisors, with the published low and high factors.
std::optional<Json> llama3_scaling(const std::vector<float>& divisors, double theta) {
  constexpr std::size_t kMost = 1 << 16;
  if (divisors.empty() || divisors.size() > kMost) return std::nullopt;
  kernel::RopeConfig rope;
  rope.rope_theta = theta;
  rope.rotary_dim = static_cast<int>(2 * divisors.size());
  rope.factor = static_cast<double>(*std::max_element(divisors.begin(), divisors.end()));
  for (std::int64_t original = 16; original <= 1048576; original *= 2) {
    rope.original_max_position_embeddings = original;
    const std::vector<float> expected = llama3_divisors(rope);
    const bool same = std::equal(divisors.begin(), divisors.end(), expected.begin(),
                                 [](float found, float wanted) { return std::fabs(found - wanted) <= 1e-5f * wanted; });
    if (same)
      return Json{{"rope_type", "llama3"},
                  {"factor", rope.factor},
                  {"low_freq_factor", rope.low_freq_factor},
                  {"high_freq_factor", rope.high_freq_factor},
                  {"original_max_position_embeddings", original}};
  }
  return std::nullopt;
}

/// The config.json of a GGUF file's metadata and of the facts that only its tensors tell.
Result<Json> config_of_gguf(const Checkpoint& checkpoint, const Architecture& architecture) {
  const bool tied = checkpoint.tensors().find("output.weight") == nullptr;
  const bool biased = checkpoint.tensors().find("blk.0.attn_q.bias") != nullptr;
  NIBBLE_TRY(Json config, architecture.config_from_gguf(*checkpoint.gguf(), tied, biased));
  const StoredTensor* embedding = checkpoint.tensors().find("token_embd.weight");
  if (embedding != nullptr && embedding->shape.size() == 2) config["vocab_size"] = embedding->shape[0];
  const StoredTensor* divisors = checkpoint.tensors().find("rope_freqs.weight");
  if (divisors == nullptr) return config;
  NIBBLE_TRY(const std::vector<float> values, read_floats(*divisors));
  if (const auto scaling = llama3_scaling(values, config["rope_theta"].get<double>())) {
    config["rope_scaling"] = *scaling;
  } else {
    log_warning(
        "{}: rope_freqs.weight is not a published Llama 3 scaling; it is used as it is, but config.json cannot say it",
        checkpoint.path().string());
  }
  return config;
}

std::vector<float> reordered(const std::vector<float>& values, const std::vector<std::int64_t>& order) {
  std::vector<float> out(values.size());
  for (std::size_t i = 0; i < order.size(); ++i) out[i] = values[static_cast<std::size_t>(order[i])];
  return out;
}

}  // namespace

Result<ModelFiles::Ptr> ModelFiles::open(const std::filesystem::path& path) {
  std::shared_ptr<ModelFiles> model(new ModelFiles);
  NIBBLE_TRY(model->checkpoint_, Checkpoint::open(path));
  const Checkpoint& checkpoint = *model->checkpoint_;
  const std::string what = checkpoint.path().string();
  if (checkpoint.is_gguf()) {
    NIBBLE_TRY(const auto name, checkpoint.gguf()->string("general.architecture"));
    if (!name) return fail(ErrorCode::kCorrupt, "{}: the key general.architecture is missing", what);
    NIBBLE_TRY(model->architecture_, find_gguf_architecture(*name, what));
    NIBBLE_TRY(model->config_json_, config_of_gguf(checkpoint, *model->architecture_));
  } else {
    if (checkpoint.config().empty())
      return fail(ErrorCode::kNotFound, "{}: there is no config.json, so this is not a model folder", what);
    model->config_json_ = checkpoint.config();
    NIBBLE_TRY(model->architecture_, find_architecture(model->config_json_, what + "/config.json"));
  }
  NIBBLE_TRY(model->config_, model->architecture_->read_config(model->config_json_,
                                                               checkpoint.is_gguf() ? what : what + "/config.json"));
  if (checkpoint.is_gguf() && !model->config_json_.contains("rope_scaling")) {
    const StoredTensor* divisors = checkpoint.tensors().find("rope_freqs.weight");
    if (divisors != nullptr) {
      NIBBLE_TRY(model->config_.ropes.front().freq_factors, read_floats(*divisors));
      for (const float divisor : model->config_.ropes.front().freq_factors)
        if (!(divisor >= 1e-6f && divisor <= 1e9f))
          return fail(ErrorCode::kCorrupt, "{}: tensor \"rope_freqs.weight\" holds {}, expected 1e-6 to 1e9", what,
                      divisor);
      if (static_cast<std::int64_t>(model->config_.ropes.front().freq_factors.size()) * 2 != model->config_.head_dim)
        return fail(ErrorCode::kCorrupt, "{}: tensor \"rope_freqs.weight\" has {} values for a head size of {}", what,
                    divisors->elements(), model->config_.head_dim);
    }
  }
  // A layer has several tensors, so a wild number of layers is refused before anything of that size is built.
  if (model->config_.num_hidden_layers > static_cast<std::int64_t>(checkpoint.tensors().all().size()))
    return fail(
        ErrorCode::kCorrupt, "{}: \"{}\" is {}, but there are only {} tensors", what,
        checkpoint.is_gguf() ? fmt::format("{}.block_count", model->architecture_->gguf_name) : "num_hidden_layers",
        model->config_.num_hidden_layers, checkpoint.tensors().all().size());
  const std::string head = model->stored_name("lm_head", nullptr);
  const bool has_head = checkpoint.has_matrix(head) && !model->stores_tied_head();
  if (!has_head && !model->config_.tie_word_embeddings)
    log_warning(
        "{}: lm_head.weight is missing although the configuration does not tie it to the embedding; the embedding is "
        "used",
        what);
  model->layout_ = decoder_layout(model->config_, has_head);
  NIBBLE_TRY_STATUS(model->check_weights());
  return Ptr(std::move(model));
}

std::string ModelFiles::stored_name(const std::string& hf_name, GgufTransform* transform) const {
  if (transform != nullptr) *transform = GgufTransform::kNone;
  return checkpoint_->is_gguf() ? gguf_name_of(*architecture_, hf_name, transform) : hf_name;
}

bool ModelFiles::stores_tied_head() const {
  const StoredTensor* head = checkpoint_->tensors().find("lm_head.weight");
  const StoredTensor* embedding = checkpoint_->tensors().find("model.embed_tokens.weight");
  return config_.tie_word_embeddings && head != nullptr && embedding != nullptr &&
         head->bytes.data() == embedding->bytes.data() && head->shape == embedding->shape;
}

Status ModelFiles::check_weights() const {
  for (const LinearInfo& linear : layout_.linears) {
    const std::string name = stored_name(linear.name, nullptr);
    if (!checkpoint_->has_matrix(name))
      return fail(ErrorCode::kNotFound, "{}: tensor \"{}.weight\" is missing; {} layers of {} need it", path(), name,
                  config_.num_hidden_layers, architecture_->name);
    NIBBLE_TRY(const MatrixPtr matrix, checkpoint_->matrix(name));
    if (matrix->rows() != linear.rows || matrix->cols() != linear.cols)
      return fail(ErrorCode::kCorrupt, "{}: tensor \"{}.weight\" is {} x {}, the configuration asks for {} x {}",
                  path(), name, matrix->rows(), matrix->cols(), linear.rows, linear.cols);
  }
  return {};
}

Result<MatrixPtr> ModelFiles::matrix(LinearId id) const {
  const LinearInfo& linear = layout_.linears.at(static_cast<std::size_t>(id));
  GgufTransform transform;
  const std::string name = stored_name(linear.name, &transform);
  NIBBLE_TRY(MatrixPtr stored, checkpoint_->matrix(name));
  if (transform != GgufTransform::kInterleavedQueryRows && transform != GgufTransform::kInterleavedKeyRows)
    return stored;
  Result<MatrixPtr> permuted =
      permute_rows(std::move(stored), interleaved_row_order(linear.rows / config_.head_dim, config_.head_dim));
  if (!permuted.ok()) return with_context(permuted.error(), path() + ": tensor \"" + name + "\"");
  return permuted;
}

Result<std::vector<float>> ModelFiles::stored_vector(const std::string& hf_name, std::int64_t size) const {
  GgufTransform transform;
  const std::string name = stored_name(hf_name, &transform);
  const StoredTensor* tensor = checkpoint_->tensors().find(name);
  if (tensor == nullptr) return fail(ErrorCode::kNotFound, "{}: tensor \"{}\" is missing", path(), name);
  if (tensor->elements() != size)
    return fail(ErrorCode::kCorrupt, "{}: tensor \"{}\" has {} values, the configuration asks for {}", path(), name,
                tensor->elements(), size);
  NIBBLE_TRY(std::vector<float> values, read_floats(*tensor));
  switch (transform) {
    case GgufTransform::kPlusOne:
      for (float& value : values) value -= 1.0f;
      return values;
    case GgufTransform::kInterleavedQueryRows:
    case GgufTransform::kInterleavedKeyRows:
      return reordered(values, interleaved_row_order(size / config_.head_dim, config_.head_dim));
    case GgufTransform::kNone:
      return values;
  }
  return values;
}

Result<std::vector<float>> ModelFiles::bias(LinearId id) const {
  const LinearInfo& linear = layout_.linears.at(static_cast<std::size_t>(id));
  if (!linear.bias) return std::vector<float>{};
  return stored_vector(linear.name + ".bias", linear.rows);
}

Result<std::vector<float>> ModelFiles::vector(VectorId id) const {
  const VectorInfo& info = layout_.vectors.at(static_cast<std::size_t>(id));
  return stored_vector(info.name, info.size);
}

void ModelFiles::release() const {
  for (const MappedFile::Ptr& file : checkpoint_->files()) file->release(0, file->bytes().size());
}

std::int64_t ModelWeights::parameters() const {
  std::int64_t count = 0;
  for (const LinearInfo& linear : layout().linears)
    count += linear.rows * linear.cols + (linear.bias ? linear.rows : 0);
  for (const VectorInfo& info : layout().vectors) count += info.size;
  return count;
}

}  // namespace nibble
