// Any config.json and any GGUF hyper-parameters, for every architecture, and any quantization_config with tensors made
// up to meet it, for every family: refused with an error, or a configuration that the engine can run.
//
// The input is JSON up to the first NUL. Its object "gguf", if any, is metadata. What follows makes tensors: suffix,
// type and two extents, a byte each.
#include <cmath>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "io/family.h"
#include "kernel/rope/rope.h"
#include "model/arch/architecture.h"
#include "model/model_layout.h"

namespace {

using namespace nibble;

void require(bool holds) {
  if (!holds) std::abort();
}

void check_rope(const kernel::RopeConfig& rope, const ModelConfig& config) {
  require(rope.rotary_dim >= 2 && rope.rotary_dim <= config.head_dim);
  if (rope.rotary_dim > 256) return;  // nothing but time
  const kernel::RopeFrequencies frequencies = kernel::rope_frequencies(rope, config.max_position_embeddings);
  require(frequencies.inv_freq.size() == static_cast<std::size_t>(rope.rotary_dim / 2));
  for (const float frequency : frequencies.inv_freq) require(std::isfinite(frequency));
  require(std::isfinite(frequencies.attention_factor));
}

/// What loading and the kernels take for granted.
void check_config(const ModelConfig& config) {
  require(config.layers.size() == static_cast<std::size_t>(config.num_hidden_layers) && config.num_hidden_layers > 0);
  require(config.num_attention_heads % config.num_key_value_heads == 0 && config.head_dim % 2 == 0);
  require(config.max_position_embeddings >= 1 && config.max_position_embeddings <= kMaxPositions);
  require(std::isfinite(config.attention_scale) && std::isfinite(config.rms_norm_eps) && config.rms_norm_eps >= 0);
  require(std::isfinite(config.final_logit_softcapping) && std::isfinite(config.attn_logit_softcapping));
  for (const LayerKind& layer : config.layers)
    require(layer.window >= 0 && layer.rope >= 0 && layer.rope < static_cast<int>(config.ropes.size()));
  for (const kernel::RopeConfig& rope : config.ropes) check_rope(rope, config);
  if (config.num_hidden_layers <= 8)
    require(decoder_layout(config, true).blocks.size() == static_cast<std::size_t>(config.num_hidden_layers));
}

GgufMetadata metadata_of(const Json& object) {
  GgufMetadata metadata("fuzz.gguf");
  for (const auto& [key, value] : object.items()) {
    if (value.is_string()) metadata.set_string(key, value.get<std::string>());
    if (value.is_boolean()) metadata.set_bool(key, value.get<bool>());
    if (value.is_number_unsigned())
      metadata.set(key, {GgufType::kU64, value.get<std::uint64_t>()});
    else if (value.is_number_integer())
      metadata.set(key, {GgufType::kI64, value.get<std::int64_t>()});
    else if (value.is_number())
      metadata.set(key, {GgufType::kF64, value.get<double>()});
  }
  return metadata;
}

void try_architecture(const Architecture& architecture, const Json& json) {
  const auto config = architecture.read_config(json, "config.json");
  if (!config.ok()) return;
  check_config(*config);
  GgufMetadata metadata("fuzz.gguf");
  if (!architecture.config_to_gguf(json, *config, metadata).ok()) return;
  const auto again = architecture.config_from_gguf(metadata, config->tie_word_embeddings, true);
  require(again.ok());
  (void)architecture.read_config(*again, "fuzz.gguf");
}

void try_metadata(const Architecture& architecture, const Json& object) {
  const GgufMetadata metadata = metadata_of(object);
  for (const bool flag : {false, true}) {
    auto json = architecture.config_from_gguf(metadata, flag, flag);
    if (!json.ok()) continue;
    (*json)["vocab_size"] = 32;
    if (const auto config = architecture.read_config(*json, "fuzz.gguf"); config.ok()) check_config(*config);
  }
}

constexpr std::string_view kSuffixes[] = {
    ".weight", ".weight_packed", ".weight_scale", ".weight_zero_point", ".qweight",       ".qzeros",
    ".scales", ".g_idx",         ".SCB",          ".weight.absmax",     ".weight_format", ".weight_scale_inv",
    "_blocks", "_scales",        ".W_q",          ".weight._data",      ".weight_shape"};

/// Tensors of one module as the bytes say.
void make_tensors(std::string_view recipe, std::vector<std::byte>& zeros, TensorSet& tensors) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(recipe[i]); };
  constexpr std::size_t kMaxTensors = 8;
  for (std::size_t i = 0; i + 4 <= recipe.size() && i < 4 * kMaxTensors; i += 4) {
    StoredTensor tensor;
    tensor.name = "model.layers.0.mlp.up_proj" + std::string(kSuffixes[at(i) % std::size(kSuffixes)]);
    tensor.element = element_types()[at(i + 1) % element_types().size()].type;
    tensor.shape = {at(i + 2), at(i + 3)};
    const auto bytes = element_bytes(tensor.element, static_cast<std::uint64_t>(tensor.elements()));
    if (!bytes) continue;
    zeros.resize(std::size_t{256} * 256 * 8);
    tensor.bytes = std::span(zeros).first(*bytes);
    (void)tensors.add(std::move(tensor));
  }
}

void try_families(const Json& json, std::string_view recipe) {
  static std::vector<std::byte> zeros;
  TensorSet tensors;
  make_tensors(recipe, zeros, tensors);
  const Json quantization = json.value("quantization_config", Json());
  const FamilyInput input{"fuzz", json, quantization, tensors, false};
  for (const Family* family : all_families()) {
    if (family->name == "gguf") continue;
    if (!family->detect(input)) continue;
    (void)family->open(input);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t end = std::min(input.find('\0'), size);
  const auto json = parse_untrusted(input.substr(0, end), "config.json");
  if (!json.ok() || !json->is_object()) return 0;
  (void)find_architecture(*json, "config.json");
  const auto metadata = json->find("gguf");
  for (const Architecture* architecture : all_architectures()) {
    try_architecture(*architecture, *json);
    if (metadata != json->end() && metadata->is_object()) try_metadata(*architecture, *metadata);
  }
  try_families(*json, input.substr(std::min(end + 1, size)));
  return 0;
}
