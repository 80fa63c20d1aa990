// Writing a GGUF file.
#include <algorithm>
#include <map>
#include <optional>

#include "base/log.h"
#include "format/ggml_types.h"
#include "io/gguf.h"
#include "model/llama3_rope.h"
#include "model/text_assets.h"
#include "quant/ggml/recipe.h"
#include "quant/model_output.h"
#include "quant/output_ledger.h"
#include "tensor/permuted_rows.h"

namespace nibble {
namespace {

constexpr int kGgmlF32 = 0;

/// One tensor of the file: a matrix with its rows in GGUF's order, or a vector of floats.
struct Entry {
  std::optional<MatrixTarget> target;
  std::vector<float> values;
};

class GgufOutput {
 public:
  GgufOutput(const ModelFiles& files, const std::vector<MatrixTarget>& targets, const OutputOptions& options,
             ThreadPool& pool)
      : files_(files), targets_(targets), options_(options), ledger_(files, options, pool), metadata_(files.path()) {}

  Result<ConversionReport> write(const std::filesystem::path& out) {
    NIBBLE_TRY_STATUS(plan());
    NIBBLE_TRY_STATUS(fill_metadata());
    NIBBLE_TRY(const std::unique_ptr<GgufWriter> writer,
               GgufWriter::create(out, metadata_, plan_, options_.shard_bytes));
    NIBBLE_TRY_STATUS(write_vectors(*writer));
    NIBBLE_TRY_STATUS(write_matrices(*writer));
    NIBBLE_TRY_STATUS(files_.checkpoint().check_intact());
    NIBBLE_TRY_STATUS(writer->finish());
    return ledger_.close("gguf", std::filesystem::exists(out) ? std::filesystem::file_size(out) : bytes_);
  }

  Result<std::uint64_t> planned_bytes() {
    NIBBLE_TRY_STATUS(plan());
    NIBBLE_TRY_STATUS(fill_metadata());
    return gguf_bytes(metadata_, plan_);
  }

 private:
  Status plan() {
    const kernel::RopeConfig& rope = files_.config().ropes.front();
    if (rope.scaling == kernel::RopeScaling::kLlama3)
      add_vector("rope_freqs.weight", llama3_divisors(rope));
    else if (!rope.freq_factors.empty())
      add_vector("rope_freqs.weight", rope.freq_factors);
    for (const MatrixTarget& target : targets_) NIBBLE_TRY_STATUS(plan_matrix(target));
    for (std::size_t i = 0; i < files_.layout().linears.size(); ++i) {
      const LinearInfo& info = files_.layout().linears[i];
      if (!info.bias) continue;
      NIBBLE_TRY(std::vector<float> values, options_.changes.bias(files_, static_cast<LinearId>(i)));
      NIBBLE_TRY_STATUS(plan_vector(info.name + ".bias", std::move(values)));
    }
    for (std::size_t i = 0; i < files_.layout().vectors.size(); ++i) {
      NIBBLE_TRY(std::vector<float> values, options_.changes.vector(files_, static_cast<VectorId>(i)));
      NIBBLE_TRY_STATUS(plan_vector(files_.layout().vectors[i].name, std::move(values)));
    }
    for (const StoredTensor* tensor : files_.checkpoint().plain_tensors()) {
      const std::string name =
          files_.checkpoint().is_gguf() ? tensor->name : gguf_name_of(files_.architecture(), tensor->name);
      if (name.empty())
        log_warning("{}: tensor \"{}\" has no place in a GGUF file and is left out", files_.path(), tensor->name);
    }
    return {};
  }

  void add_vector(const std::string& name, std::vector<float> values) {
    plan_.push_back({name, {static_cast<std::int64_t>(values.size())}, kGgmlF32});
    entries_.push_back({std::nullopt, std::move(values)});
  }

  /// `values` in Hugging Face form, brought to GGUF's.
  Status plan_vector(const std::string& hf_name, std::vector<float> values) {
    GgufTransform transform;
    const std::string name = gguf_name_of(files_.architecture(), hf_name, &transform);
    if (name.empty())
      return fail(ErrorCode::kUnsupported, "{}: tensor \"{}\" has no name in GGUF", files_.path(), hf_name);
    if (transform == GgufTransform::kPlusOne) {
      for (float& value : values) value += 1.0f;
    } else if (transform != GgufTransform::kNone) {
      const std::int64_t head_dim = files_.config().head_dim;
      const std::vector<std::int64_t> order =
          split_half_row_order(static_cast<std::int64_t>(values.size()) / head_dim, head_dim);
      const std::vector<float> old = values;
      for (std::size_t i = 0; i < order.size(); ++i) values[i] = old[static_cast<std::size_t>(order[i])];
    }
    add_vector(name, std::move(values));
    return {};
  }

  Status plan_matrix(const MatrixTarget& target) {
    const LinearInfo& info = files_.layout().linears[static_cast<std::size_t>(target.id)];
    GgufTransform transform;
    const std::string name = gguf_name_of(files_.architecture(), info.name, &transform);
    MatrixTarget ordered = target;
    if (transform == GgufTransform::kInterleavedQueryRows || transform == GgufTransform::kInterleavedKeyRows) {
      const std::int64_t head_dim = files_.config().head_dim;
      const std::vector<std::int64_t> order = split_half_row_order(info.rows / head_dim, head_dim);
      NIBBLE_TRY(ordered.original, permute_rows(target.original, order));
      if (target.reference != nullptr) {
        NIBBLE_TRY(ordered.reference, permute_rows(target.reference, order));
      }
      NIBBLE_TRY(ordered.matrix,
                 target.quantize ? target.quantize(ordered.original) : permute_rows(target.matrix, order));
    }
    NIBBLE_TRY(const std::vector<EncodedPlan> tensors,
               target.family->plan(ordered.matrix->scheme(), info.rows, info.cols, name));
    if (tensors.size() != 1)
      return fail(ErrorCode::kUnsupported, "{}: {} tensors for one matrix of a GGUF file", info.name, tensors.size());
    plan_.push_back({tensors[0].name, tensors[0].shape, tensors[0].ggml_type});
    entries_.push_back({std::move(ordered), {}});
    return {};
  }

  Status fill_metadata() {
    const Checkpoint& checkpoint = files_.checkpoint();
    if (checkpoint.is_gguf()) {
      metadata_ = *checkpoint.gguf();  // key by key it would take the square of the number of keys
      for (const char* key : {"split.no", "split.count", "split.tensors.count"}) metadata_.remove(key);
    } else {
      metadata_.set_string("general.architecture", std::string(files_.architecture().gguf_name));
      metadata_.set_string("general.type", "model");
      NIBBLE_TRY(const auto given, JsonFields(files_.config_json(), files_.path()).string("_name_or_path"));
      std::string name = given.value_or("");
      if (name.empty()) name = std::filesystem::weakly_canonical(checkpoint.folder()).filename().string();
      metadata_.set_string("general.name", name);
      NIBBLE_TRY_STATUS(files_.architecture().config_to_gguf(files_.config_json(), files_.config(), metadata_));
      const Result<TextAssets> assets = read_text_assets(checkpoint);
      if (assets.ok()) {
        NIBBLE_TRY_STATUS(text_assets_to_gguf(*assets, files_.config().vocab_size, metadata_));
      } else {
        log_warning("the output has no tokenizer: {}", assets.error().message);
      }
    }
    std::map<int, std::int64_t> weights_by_type;
    for (const GgufTensorPlan& tensor : plan_)
      if (tensor.shape.size() == 2) weights_by_type[tensor.ggml_type] += tensor.shape[0] * tensor.shape[1];
    int most = kGgmlF32;
    for (const auto& [type, weights] : weights_by_type)
      if (weights > weights_by_type[most]) most = type;
    metadata_.set_u32("general.quantization_version", 2);
    const int file_type = options_.gguf_file_type >= 0 ? options_.gguf_file_type : gguf_file_type_of(most);
    metadata_.set_u32("general.file_type", static_cast<std::uint32_t>(file_type));
    for (const auto& [key, value] : options_.gguf_metadata) metadata_.set(key, value);
    return {};
  }

  Status write_vectors(GgufWriter& writer) {
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      const Entry& entry = entries_[i];
      if (entry.target.has_value()) continue;
      NIBBLE_TRY_STATUS(writer.write(i, 0, std::as_bytes(std::span(entry.values))));
      bytes_ += entry.values.size() * sizeof(float);
    }
    return {};
  }

  Status write_matrices(GgufWriter& writer) {
    std::vector<std::size_t> index;  // in the plan
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      if (!entries_[i].target.has_value()) continue;
      index.push_back(i);
      enter(i);
    }
    return ledger_.write([&](std::size_t i, const QuantizedMatrix& tile) {
      return entries_[index[i]].target->family->encode(
          tile, plan_[index[i]].name, [&](std::size_t, std::uint64_t offset, std::span<const std::byte> bytes) {
            return writer.write(index[i], offset, bytes);
          });
    });
  }

  void enter(std::size_t index) {
    const MatrixTarget& target = *entries_[index].target;
    const LinearInfo& info = files_.layout().linears[static_cast<std::size_t>(target.id)];
    const GgufTensorPlan& planned = plan_[index];
    OutputLedger::Entry noted{planned.name, to_string(target.matrix->scheme()), 0};
    if (const GgmlTypeInfo* type = find_ggml_type(planned.ggml_type); type != nullptr) {
      const std::int64_t tensor_bytes = info.rows * info.cols / type->block_values * type->block_bytes;
      noted.scheme = type->name;
      noted.stored_bits = tensor_bytes * 8;
      bytes_ += static_cast<std::uint64_t>(tensor_bytes);
    }
    ledger_.enter(target, std::move(noted));
  }

  const ModelFiles& files_;
  const std::vector<MatrixTarget>& targets_;
  const OutputOptions& options_;
  OutputLedger ledger_;
  GgufMetadata metadata_;
  std::vector<GgufTensorPlan> plan_;
  std::vector<Entry> entries_;
  std::uint64_t bytes_ = 0;
};

}  // namespace

Result<ConversionReport> write_gguf(const ModelFiles& files, const std::vector<MatrixTarget>& targets,
                                    const std::filesystem::path& out, const OutputOptions& options, ThreadPool& pool) {
  return GgufOutput(files, targets, options, pool).write(out);
}

Result<std::uint64_t> gguf_file_bytes(const ModelFiles& files, const std::vector<MatrixTarget>& targets,
                                      const OutputOptions& options, ThreadPool& pool) {
  return GgufOutput(files, targets, options, pool).planned_bytes();
}

}  // namespace nibble
