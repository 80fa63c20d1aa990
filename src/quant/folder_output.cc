// Writing a Hugging Face folder.
#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "base/log.h"
#include "io/folder_listing.h"
#include "io/safetensors.h"
#include "model/text_assets.h"
#include "quant/model_output.h"
#include "quant/output_ledger.h"

namespace nibble {
namespace {

/// How compressed-tensors says that keys and values are quantized.
constexpr const char* kCacheScheme = "kv_cache_scheme";
bool is_cache_scale(std::string_view tensor) { return tensor.ends_with(".k_scale") || tensor.ends_with(".v_scale"); }

/// A tensor of the output and where its bytes come from.
struct PlainTensor {
  const StoredTensor* stored = nullptr;  ///< copied as it is
  std::vector<float> values;             ///< or these, converted
};

/// Files of a model folder that the output replaces or that hold its weights.
bool is_replaced(const std::string& name) {
  static const std::set<std::string> kReplaced{
      "config.json",          "quantize_config.json",         "quant_config.json",
      "hf_quant_config.json", "model.safetensors.index.json", "pytorch_model.bin.index.json"};
  for (const char* suffix : {".safetensors", ".bin", ".gguf", ".pth", ".pt", ".h5", ".msgpack"})
    if (name.ends_with(suffix)) return true;
  return kReplaced.contains(name);
}

/// The values are the same after they were stored in `type`.
bool survives(const std::vector<float>& values, ElementType type) {
  std::vector<std::byte> stored(values.size() * static_cast<std::size_t>(element_info(type).bits) / 8);
  std::vector<float> read(values.size());
  encode_elements(type, values.data(), values.size(), stored.data());
  decode_elements(type, stored.data(), values.size(), read.data());
  return std::memcmp(read.data(), values.data(), values.size() * sizeof(float)) == 0;
}

/// What the source says of its own quantization, under either of the names that readers know.
void erase_quantization(Json& config) {
  if (!config.is_object()) return;
  for (const char* key : {"quantization_config", "compression_config"}) config.erase(key);
}

/// What lies beside other outputs of ours: a run's journal, a report.
bool belongs_to_output(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  if (name.ends_with(".nibble-journal")) return true;
  std::error_code error;
  for (const std::string_view suffix : {".report.json", ".report.html"})
    if (name.ends_with(suffix) && name.size() > suffix.size() &&
        std::filesystem::exists(path.parent_path() / name.substr(0, name.size() - suffix.size()), error))
      return true;
  return false;
}

/// A folder that is a model of its own, such as an earlier output.
bool holds_model(const std::filesystem::path& folder) {
  std::error_code error;
  if (!std::filesystem::exists(folder / "config.json", error)) return false;
  const std::vector<std::string> names = names_in(folder);
  return std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json");
  });
}

class FolderWriter {
 public:
  FolderWriter(const ModelFiles& files, const std::vector<MatrixTarget>& targets, const OutputOptions& options,
               ThreadPool& pool)
      : files_(files), targets_(targets), options_(options), ledger_(files, options, pool) {}

  Result<ConversionReport> write(const std::filesystem::path& out) {
    if (!files_.config().ropes.front().freq_factors.empty())
      return fail(
          ErrorCode::kUnsupported,
          "{}: rope_freqs.weight is not a Llama 3 scaling, so config.json cannot say it; keep the model in GGUF",
          files_.path());
    NIBBLE_TRY_STATUS(plan());
    warn_of_cache_scheme();
    NIBBLE_TRY(AtomicFolder folder, AtomicFolder::create(out));
    const std::map<std::string, std::string> metadata = file_metadata();
    const std::uint64_t shard = options_.shard_bytes > 0 ? options_.shard_bytes : 5'000'000'000;
    NIBBLE_TRY(const std::unique_ptr<SafetensorsWriter> writer,
               SafetensorsWriter::create(folder.path(), plan_, metadata, shard));
    NIBBLE_TRY_STATUS(write_matrices(*writer));
    for (std::size_t i = 0; i < plain_.size(); ++i)
      NIBBLE_TRY_STATUS(write_plain(first_plain_ + i, plain_[i], *writer));
    NIBBLE_TRY_STATUS(files_.checkpoint().check_intact());
    NIBBLE_TRY_STATUS(writer->finish());
    NIBBLE_TRY_STATUS(write_companions(folder, out));
    NIBBLE_TRY_STATUS(folder.commit());
    return report();
  }

  Result<std::uint64_t> planned_bytes() {
    NIBBLE_TRY_STATUS(plan());
    return safetensors_bytes(plan_, file_metadata());
  }

 private:
  Status plan() {
    for (const MatrixTarget& target : targets_) {
      const LinearInfo& info = files_.layout().linears[static_cast<std::size_t>(target.id)];
      first_tensor_.push_back(plan_.size());
      if (target.family == nullptr) {
        plan_.push_back({info.name + ".weight", {info.rows, info.cols}, target.matrix->scheme().code.float_type});
      } else {
        NIBBLE_TRY(const std::vector<EncodedPlan> tensors,
                   target.family->plan(target.matrix->scheme(), info.rows, info.cols, info.name));
        for (const EncodedPlan& tensor : tensors) plan_.push_back({tensor.name, tensor.shape, tensor.element});
      }
    }
    first_plain_ = plan_.size();
    return files_.checkpoint().is_gguf() ? plan_vectors() : plan_stored();
  }

  /// A GGUF source: norms and biases under their Hugging Face names.
  Status plan_vectors() {
    for (std::size_t i = 0; i < files_.layout().linears.size(); ++i) {
      const LinearInfo& info = files_.layout().linears[i];
      if (!info.bias) continue;
      NIBBLE_TRY(std::vector<float> values, options_.changes.bias(files_, static_cast<LinearId>(i)));
      add_vector(info.name + ".bias", std::move(values));
    }
    for (std::size_t i = 0; i < files_.layout().vectors.size(); ++i) {
      NIBBLE_TRY(std::vector<float> values, options_.changes.vector(files_, static_cast<VectorId>(i)));
      add_vector(files_.layout().vectors[i].name, std::move(values));
    }
    return {};
  }

  void add_vector(const std::string& name, std::vector<float> values) {
    const ElementType type =
        options_.convert_plain || survives(values, float_type()) ? float_type() : ElementType::kF32;
    plan_.push_back({name, {static_cast<std::int64_t>(values.size())}, type});
    plain_.push_back({nullptr, std::move(values)});
  }

  /// The type of a folder's floats: the one asked for, else of most weights that a GGUF source keeps in floats.
  ElementType float_type() const {
    if (options_.convert_plain) return options_.float_type;
    std::map<ElementType, std::int64_t> weights;
    for (const MatrixTarget& target : targets_)
      if (target.family == nullptr)
        weights[target.matrix->scheme().code.float_type] += target.matrix->rows() * target.matrix->cols();
    const auto most = std::max_element(weights.begin(), weights.end(),
                                       [](const auto& a, const auto& b) { return a.second < b.second; });
    return most == weights.end() ? options_.float_type : most->first;
  }

  /// The changes under the names of the tensors that they replace.
  std::map<std::string, std::vector<float>> changes_by_name() const {
    std::map<std::string, std::vector<float>> out;
    for (const auto& [id, values] : options_.changes.vectors)
      out[files_.layout().vectors[static_cast<std::size_t>(id)].name] = values;
    for (const auto& [id, values] : options_.changes.biases)
      out[files_.layout().linears[static_cast<std::size_t>(id)].name + ".bias"] = values;
    return out;
  }

  /// The family of the output's quantized matrices; nullptr: all are floats.
  const Family* family() const {
    for (const MatrixTarget& target : targets_)
      if (target.family != nullptr) return target.family;
    return nullptr;
  }

  /// What the source says of a quantized KV cache stays where the output is of the source's own family.
  bool keeps_cache_scales() const { return family() != nullptr && family()->name == files_.checkpoint().family_name(); }

  /// The modules whose inputs the output quantizes as the source does.
  std::set<std::string> modules_with_same_activations() const {
    std::set<std::string> modules;
    for (const MatrixTarget& target : targets_) {
      const ActivationScheme& activations = target.matrix->scheme().activations;
      if (activations.kind != ActivationScheme::Kind::kNone && activations == target.original->scheme().activations)
        modules.insert(files_.layout().linears[static_cast<std::size_t>(target.id)].name);
    }
    return modules;
  }

  /// A scale of quantized inputs, keys or values which the output does not quantize: nobody would read it.
  bool scales_what_is_not_quantized(const std::string& tensor, const std::set<std::string>& quantizes_inputs) const {
    if (files_.checkpoint().family_name() == "float") return false;
    if (is_cache_scale(tensor)) return !keeps_cache_scales();
    for (const std::string_view suffix : {".input_scale", ".input_zero_point", ".input_global_scale"})
      if (tensor.ends_with(suffix)) return !quantizes_inputs.contains(tensor.substr(0, tensor.size() - suffix.size()));
    return false;
  }

  /// A folder: every tensor that is not part of a matrix of the model, whatever it is.
  Status plan_stored() {
    const std::map<std::string, std::vector<float>> changes = changes_by_name();
    const std::set<std::string> quantizes_inputs = modules_with_same_activations();
    std::set<std::string> planned;
    for (const SafetensorsPlan& tensor : plan_) planned.insert(tensor.name);
    const auto carry = [&](const StoredTensor& tensor) -> Status {
      if (!planned.insert(tensor.name).second || scales_what_is_not_quantized(tensor.name, quantizes_inputs)) return {};
      ElementType type = tensor.element;
      PlainTensor plain{&tensor, {}};
      const auto change = changes.find(tensor.name);
      const bool converts = options_.convert_plain && element_info(type).is_float && type != options_.float_type &&
                            element_info(type).bits >= 16;
      if (change != changes.end()) {
        plain = {nullptr, change->second};
      } else if (converts) {
        plain.stored = nullptr;
        NIBBLE_TRY(plain.values, read_floats(tensor));
      }
      if (converts) type = options_.float_type;
      plan_.push_back({tensor.name, tensor.shape, type});
      plain_.push_back(std::move(plain));
      return {};
    };
    for (const StoredTensor* tensor : files_.checkpoint().plain_tensors()) NIBBLE_TRY_STATUS(carry(*tensor));
    std::set<std::string> of_model;
    for (const LinearInfo& info : files_.layout().linears) of_model.insert(info.name);
    for (const std::string& module : files_.checkpoint().modules()) {
      if (of_model.contains(module) || (module == "lm_head" && files_.stores_tied_head())) continue;
      const StoredTensor* tensor = files_.checkpoint().tensors().find(module + ".weight");
      if (tensor != nullptr) {
        NIBBLE_TRY_STATUS(carry(*tensor));
      } else {
        log_warning("{}: module {} is not part of the {} architecture and is left out", files_.path(), module,
                    files_.architecture().name);
      }
    }
    return {};
  }

  Status write_matrices(SafetensorsWriter& writer) {
    for (const MatrixTarget& target : targets_) {
      const LinearInfo& info = files_.layout().linears[static_cast<std::size_t>(target.id)];
      const QuantScheme& scheme = target.matrix->scheme();
      ledger_.enter(target, {info.name, to_string(scheme), scheme.stored_bits(info.rows, info.cols)});
    }
    return ledger_.write([&](std::size_t i, const QuantizedMatrix& tile) -> Status {
      const MatrixTarget& target = targets_[i];
      const std::size_t first = first_tensor_[i];
      if (target.family == nullptr) {
        const std::int64_t offset = tile.row_begin * tile.cols * tile.scheme.code.code_bytes();
        return writer.write(first, static_cast<std::uint64_t>(offset), std::as_bytes(std::span(tile.codes)));
      }
      return target.family->encode(tile, files_.layout().linears[static_cast<std::size_t>(target.id)].name,
                                   [&](std::size_t tensor, std::uint64_t offset, std::span<const std::byte> bytes) {
                                     return writer.write(first + tensor, offset, bytes);
                                   });
    });
  }

  void warn_of_cache_scheme() const {
    if (keeps_cache_scales() || files_.checkpoint().family_name() == "float") return;
    const Json& before = files_.checkpoint().quantization_config();
    const std::vector<const StoredTensor*> plain = files_.checkpoint().plain_tensors();
    const bool has_scales = std::any_of(plain.begin(), plain.end(),
                                        [](const StoredTensor* tensor) { return is_cache_scale(tensor->name); });
    if (has_scales || (before.is_object() && before.contains(kCacheScheme) && !before[kCacheScheme].is_null()))
      log_warning("{}: how its KV cache is quantized (kv_cache_scheme, k_scale, v_scale) is left out of the output",
                  files_.path());
  }

  Status write_plain(std::size_t index, const PlainTensor& plain, SafetensorsWriter& writer) {
    if (plain.stored != nullptr) return writer.write(index, 0, plain.stored->bytes);
    const ElementType type = plan_[index].element;
    std::vector<std::byte> bytes(plain.values.size() * static_cast<std::size_t>(element_info(type).bits) / 8);
    encode_elements(type, plain.values.data(), plain.values.size(), bytes.data());
    return writer.write(index, 0, bytes);
  }

  Json config() const {
    Json config = files_.config_json();
    erase_quantization(config);
    if (config.contains("text_config")) erase_quantization(config["text_config"]);
    if (files_.checkpoint().is_gguf() || options_.convert_plain) {
      const char* key = config.contains("dtype") ? "dtype" : "torch_dtype";
      config[key] = element_info(float_type()).torch;
    }
    if (family() == nullptr) return config;
    std::vector<WrittenModule> written;
    std::vector<std::string> unquantized;
    for (const MatrixTarget& target : targets_) {
      const LinearInfo& info = files_.layout().linears[static_cast<std::size_t>(target.id)];
      if (target.family != nullptr) {
        const bool is_linear = info.role != LinearInfo::Role::kEmbedding;
        written.push_back({info.name, target.matrix->scheme(), is_linear, info.rows, info.cols});
      } else if (info.role != LinearInfo::Role::kEmbedding) {
        unquantized.push_back(info.name);
      }
    }
    if (files_.layout().head == files_.layout().embedding) unquantized.emplace_back("lm_head");
    Json quantization = family()->quantization_config(written, unquantized);
    const Json& before = files_.checkpoint().quantization_config();
    if (keeps_cache_scales() && before.is_object() && before.contains(kCacheScheme))
      quantization[kCacheScheme] = before[kCacheScheme];
    config["quantization_config"] = std::move(quantization);
    return config;
  }

  Status write_companions(AtomicFolder& folder, const std::filesystem::path& out) {
    NIBBLE_TRY_STATUS(folder.write_file("config.json", config().dump(2) + "\n"));
    if (files_.checkpoint().is_gguf()) {
      const Result<TextAssets> assets = read_text_assets(files_.checkpoint());
      if (!assets.ok()) {
        log_warning("the output has no tokenizer: {}", assets.error().message);
        return {};
      }
      NIBBLE_TRY(const auto companions, text_assets_as_files(*assets));
      for (const auto& [name, text] : companions) NIBBLE_TRY_STATUS(folder.write_file(name, text));
      return {};
    }
    return copy_other_files(files_.checkpoint().folder(), folder, out);
  }

  /// All but outputs that lie among them, the previous one at `out` too.
  static Status copy_other_files(const std::filesystem::path& source, AtomicFolder& folder,
                                 const std::filesystem::path& out) {
    std::error_code error;
    std::error_code ignored;
    for (auto it = std::filesystem::recursive_directory_iterator(source, error);
         !error && it != std::filesystem::recursive_directory_iterator(); it.increment(error)) {
      const std::filesystem::path relative = std::filesystem::relative(it->path(), source, error);
      const bool skips = relative.filename().string().starts_with(".") || belongs_to_output(it->path()) ||
                         std::filesystem::equivalent(it->path(), out, ignored) || holds_model(it->path());
      if (it->is_directory() && skips) {
        it.disable_recursion_pending();
        continue;
      }
      if (!it->is_regular_file() || is_replaced(relative.filename().string()) || belongs_to_output(it->path()))
        continue;
      std::filesystem::create_directories((folder.path() / relative).parent_path(), error);
      std::filesystem::copy_file(it->path(), folder.path() / relative, error);
      if (error) return fail(ErrorCode::kIo, "{}: cannot copy: {}", it->path().string(), error.message());
    }
    if (error) return fail(ErrorCode::kIo, "{}: {}", source.string(), error.message());
    return {};
  }

  /// The strings of general.* of a GGUF source have no other place in a folder.
  std::map<std::string, std::string> file_metadata() const {
    std::map<std::string, std::string> metadata{{"format", "pt"}};
    if (!files_.checkpoint().is_gguf()) return metadata;
    for (const auto& [key, value] : files_.checkpoint().gguf()->all()) {
      if (!key.starts_with("general.") || value.type != GgufType::kString) continue;
      const auto& text = std::get<std::string>(value.value);
      if (text.size() <= 4096) metadata["gguf." + key] = text;
    }
    return metadata;
  }

  ConversionReport report() {
    std::uint64_t written = 0;
    for (const SafetensorsPlan& tensor : plan_) {
      std::uint64_t count = 1;
      for (const std::int64_t d : tensor.shape) count *= static_cast<std::uint64_t>(d);
      written += element_bytes(tensor.element, count).value_or(0);
    }
    return ledger_.close(family() != nullptr ? family()->name : "float", written);
  }

  const ModelFiles& files_;
  const std::vector<MatrixTarget>& targets_;
  const OutputOptions& options_;
  OutputLedger ledger_;
  std::vector<SafetensorsPlan> plan_;
  std::vector<std::size_t> first_tensor_;
  std::size_t first_plain_ = 0;
  std::vector<PlainTensor> plain_;
};

}  // namespace

Result<ConversionReport> write_folder(const ModelFiles& files, const std::vector<MatrixTarget>& targets,
                                      const std::filesystem::path& out, const OutputOptions& options,
                                      ThreadPool& pool) {
  return FolderWriter(files, targets, options, pool).write(out);
}

Result<std::uint64_t> folder_bytes(const ModelFiles& files, const std::vector<MatrixTarget>& targets,
                                   const OutputOptions& options, ThreadPool& pool) {
  return FolderWriter(files, targets, options, pool).planned_bytes();
}

}  // namespace nibble
