// Tokenizer, chat template and generation defaults between files and memory.
#include "model/text_assets.h"

#include "base/log.h"
#include "io/folder_listing.h"
#include "text/gguf_vocab.h"
#include "text/hugging_face.h"

namespace nibble {
namespace {

/// The special ids of GGUF keys and where they go.
struct SpecialKey {
  const char* key;
  std::optional<std::int32_t> SpecialTokens::*id;
};
constexpr SpecialKey kSpecialKeys[] = {
    {"bos", &SpecialTokens::bos},         {"eos", &SpecialTokens::eos},         {"eot", &SpecialTokens::eot},
    {"eom", &SpecialTokens::eom},         {"unknown", &SpecialTokens::unk},     {"seperator", &SpecialTokens::sep},
    {"padding", &SpecialTokens::pad},     {"cls", &SpecialTokens::cls},         {"mask", &SpecialTokens::mask},
    {"fim_pre", &SpecialTokens::fim_pre}, {"fim_suf", &SpecialTokens::fim_suf}, {"fim_mid", &SpecialTokens::fim_mid},
    {"fim_pad", &SpecialTokens::fim_pad}, {"fim_rep", &SpecialTokens::fim_rep}, {"fim_sep", &SpecialTokens::fim_sep},
};

Result<GgufVocab> vocab_of(const GgufMetadata& metadata) {
  GgufVocab vocab;
  NIBBLE_TRY(const auto model, metadata.string("tokenizer.ggml.model"));
  if (!model)
    return fail(ErrorCode::kNotFound, "{}: there is no tokenizer (the key tokenizer.ggml.model is missing)",
                metadata.what());
  vocab.model = *model;
  NIBBLE_TRY(const auto pre, metadata.string("tokenizer.ggml.pre"));
  vocab.pre = pre.value_or("");
  NIBBLE_TRY(auto tokens, metadata.strings("tokenizer.ggml.tokens"));
  if (!tokens) return fail(ErrorCode::kCorrupt, "{}: the key tokenizer.ggml.tokens is missing", metadata.what());
  vocab.tokens = std::move(*tokens);
  NIBBLE_TRY(const auto scores, metadata.numbers("tokenizer.ggml.scores"));
  if (scores)
    for (const double score : *scores) vocab.scores.push_back(static_cast<float>(score));
  NIBBLE_TRY(const auto types, metadata.integers("tokenizer.ggml.token_type"));
  if (types)
    for (const std::int64_t type : *types)
      vocab.token_types.push_back(type < 0 || type > 6 ? -1 : static_cast<std::int32_t>(type));
  NIBBLE_TRY(auto merges, metadata.strings("tokenizer.ggml.merges"));
  if (merges) vocab.merges = std::move(*merges);
  for (const SpecialKey& special : kSpecialKeys) {
    const std::string key = fmt::format("tokenizer.ggml.{}_token_id", special.key);
    NIBBLE_TRY(const auto id, metadata.integer(key));
    if (!id) continue;
    if (*id < 0 || *id >= static_cast<std::int64_t>(vocab.tokens.size())) {
      log_warning("{}: {} is {}, there are {} tokens; it is ignored", metadata.what(), key, *id, vocab.tokens.size());
      continue;
    }
    vocab.special.*special.id = static_cast<std::int32_t>(*id);
  }
  NIBBLE_TRY(vocab.add_bos, metadata.boolean("tokenizer.ggml.add_bos_token"));
  NIBBLE_TRY(vocab.add_eos, metadata.boolean("tokenizer.ggml.add_eos_token"));
  NIBBLE_TRY(vocab.add_space_prefix, metadata.boolean("tokenizer.ggml.add_space_prefix"));
  NIBBLE_TRY(const auto name, metadata.string("general.name"));
  vocab.model_name = name.value_or("");
  return vocab;
}

constexpr std::size_t kMaxTemplate = std::size_t{4} << 20;
constexpr const char* kDefault = "default";

/// A template, or a list of named ones.
void take_templates(const Json& value, TextAssets& assets) {
  if (value.is_string()) assets.chat_template = value.get<std::string>();
  if (!value.is_array()) return;
  for (const Json& entry : value) {
    if (!entry.is_object() || !entry.contains("template") || !entry["template"].is_string()) continue;
    const Json name = entry.value("name", Json());
    if (name == kDefault) {
      assets.chat_template = entry["template"].get<std::string>();
    } else if (name.is_string() && !name.get_ref<const std::string&>().empty()) {
      assets.named_templates[name.get<std::string>()] = entry["template"].get<std::string>();
    }
  }
}

/// chat_template.jinja and additional_chat_templates/NAME.jinja, else what tokenizer_config.json holds, else
/// chat_template.json.
Status read_folder_templates(const std::filesystem::path& folder, const Json& tokenizer_config, TextAssets& assets) {
  const bool has_file = std::filesystem::exists(folder / "chat_template.jinja");
  if (tokenizer_config.is_object()) take_templates(tokenizer_config.value("chat_template", Json()), assets);
  if (!has_file && !assets.chat_template && assets.named_templates.empty() &&
      std::filesystem::exists(folder / "chat_template.json")) {
    NIBBLE_TRY(const std::string text, read_text_file(folder / "chat_template.json", kMaxTemplate));
    NIBBLE_TRY(const Json json, parse_untrusted(text, (folder / "chat_template.json").string()));
    if (json.is_object()) take_templates(json.value("chat_template", Json()), assets);
  }
  if (has_file) {
    NIBBLE_TRY(assets.chat_template, read_text_file(folder / "chat_template.jinja", kMaxTemplate));
  }
  for (const std::string& name : names_ending(names_in(folder / "additional_chat_templates"), ".jinja")) {
    const std::string stem = std::filesystem::path(name).stem().string();
    NIBBLE_TRY(assets.named_templates[stem], read_text_file(folder / "additional_chat_templates" / name, kMaxTemplate));
  }
  return {};
}

GgufValue string_array(std::vector<std::string> strings) {
  GgufArray array;
  array.element = GgufType::kString;
  array.strings = std::move(strings);
  return {GgufType::kArray, std::move(array)};
}

// GGUF: the default under a key of its own, the names of the others in a list, each under a key with its name.
constexpr const char* kTemplateKey = "tokenizer.chat_template";
constexpr const char* kTemplateNamesKey = "tokenizer.chat_templates";
std::string template_key(const std::string& name) { return fmt::format("{}.{}", kTemplateKey, name); }

Status read_gguf_templates(const GgufMetadata& metadata, TextAssets& assets) {
  NIBBLE_TRY(assets.chat_template, metadata.string(kTemplateKey));
  const std::string prefix = template_key("");
  for (const auto& [key, value] : metadata.all())
    if (key.starts_with(prefix) && key.size() > prefix.size() && value.type == GgufType::kString)
      assets.named_templates[key.substr(prefix.size())] = std::get<std::string>(value.value);
  return {};
}

/// Names as keys have them: letters, digits and underscores.
void set_gguf_templates(const TextAssets& assets, GgufMetadata& metadata) {
  if (assets.chat_template) metadata.set_string(kTemplateKey, *assets.chat_template);
  std::vector<std::string> names;
  for (const auto& [given, text] : assets.named_templates) {
    std::string name = given;
    for (char& c : name)
      if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))) c = '_';
    metadata.set_string(template_key(name), text);
    names.push_back(std::move(name));
  }
  if (!names.empty()) metadata.set(kTemplateNamesKey, string_array(std::move(names)));
}

/// As tokenizer_config.json has them: one as a string, several as a list.
Json templates_json(const TextAssets& assets) {
  if (assets.named_templates.empty()) return *assets.chat_template;
  Json list = Json::array();
  if (assets.chat_template) list.push_back({{"name", kDefault}, {"template", *assets.chat_template}});
  for (const auto& [name, text] : assets.named_templates) list.push_back({{"name", name}, {"template", text}});
  return list;
}

Result<std::string> optional_file(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return std::string();
  return read_text_file(path);
}

Result<TextAssets> read_folder(const std::filesystem::path& folder) {
  TextAssets assets;
  if (!std::filesystem::exists(folder / "tokenizer.json"))
    return fail(ErrorCode::kNotFound,
                "{}: there is no tokenizer.json; save one with transformers "
                "(AutoTokenizer.from_pretrained(...).save_pretrained(...))",
                folder.string());
  NIBBLE_TRY(const std::string tokenizer, read_text_file(folder / "tokenizer.json"));
  NIBBLE_TRY(const std::string config, optional_file(folder / "tokenizer_config.json"));
  NIBBLE_TRY(const std::string special, optional_file(folder / "special_tokens_map.json"));
  NIBBLE_TRY(const std::string generation, optional_file(folder / "generation_config.json"));
  NIBBLE_TRY(assets.tokenizer, from_hugging_face({tokenizer, config, special, generation}, folder.string()));
  Json config_json;
  if (!config.empty()) {
    NIBBLE_TRY(config_json, parse_untrusted(config, (folder / "tokenizer_config.json").string()));
  }
  NIBBLE_TRY_STATUS(read_folder_templates(folder, config_json, assets));
  if (!generation.empty()) {
    NIBBLE_TRY(assets.generation_config, parse_untrusted(generation, (folder / "generation_config.json").string()));
  }
  return assets;
}

Json generation_config_of(const TokenizerSpec& spec) {
  Json config = {{"_from_model_config", true}};
  if (spec.special.bos) config["bos_token_id"] = *spec.special.bos;
  if (spec.end_of_generation.size() == 1) {
    config["eos_token_id"] = spec.end_of_generation.front();
  } else if (!spec.end_of_generation.empty()) {
    config["eos_token_id"] = spec.end_of_generation;
  } else if (spec.special.eos) {
    config["eos_token_id"] = *spec.special.eos;
  }
  if (spec.special.pad) config["pad_token_id"] = *spec.special.pad;
  return config;
}

template <typename T>
GgufValue number_array(GgufType type, const std::vector<T>& numbers) {
  GgufArray array;
  array.element = type;
  const auto bytes = std::as_bytes(std::span(numbers));
  array.bytes.assign(bytes.begin(), bytes.end());
  return {GgufType::kArray, std::move(array)};
}

}  // namespace

Result<TextAssets> read_text_assets(const Checkpoint& checkpoint) {
  if (!checkpoint.is_gguf()) return read_folder(checkpoint.folder());
  TextAssets assets;
  NIBBLE_TRY(GgufVocab vocab, vocab_of(*checkpoint.gguf()));
  NIBBLE_TRY(assets.tokenizer, from_gguf(std::move(vocab), checkpoint.path().string()));
  NIBBLE_TRY_STATUS(read_gguf_templates(*checkpoint.gguf(), assets));
  assets.generation_config = generation_config_of(assets.tokenizer);
  return assets;
}

Result<std::map<std::string, std::string>> text_assets_as_files(const TextAssets& assets) {
  NIBBLE_TRY(HuggingFaceDocuments documents, to_hugging_face(assets.tokenizer));
  if (assets.chat_template || !assets.named_templates.empty())
    documents.tokenizer_config["chat_template"] = templates_json(assets);
  std::map<std::string, std::string> files;
  files["tokenizer.json"] = documents.tokenizer.dump(2) + "\n";
  files["tokenizer_config.json"] = documents.tokenizer_config.dump(2) + "\n";
  files["special_tokens_map.json"] = documents.special_tokens_map.dump(2) + "\n";
  files["generation_config.json"] = assets.generation_config.dump(2) + "\n";
  return files;
}

Status text_assets_to_gguf(const TextAssets& assets, std::int64_t vocab_size, GgufMetadata& metadata) {
  NIBBLE_TRY(GgufVocab vocab, to_gguf(assets.tokenizer, static_cast<std::int32_t>(vocab_size)));
  for (const std::string& warning : vocab.warnings) log_warning("{}", warning);
  metadata.set_string("tokenizer.ggml.model", vocab.model);
  if (!vocab.pre.empty()) metadata.set_string("tokenizer.ggml.pre", vocab.pre);
  metadata.set("tokenizer.ggml.tokens", string_array(std::move(vocab.tokens)));
  if (!vocab.scores.empty()) metadata.set("tokenizer.ggml.scores", number_array(GgufType::kF32, vocab.scores));
  if (!vocab.token_types.empty())
    metadata.set("tokenizer.ggml.token_type", number_array(GgufType::kI32, vocab.token_types));
  if (!vocab.merges.empty()) metadata.set("tokenizer.ggml.merges", string_array(std::move(vocab.merges)));
  for (const SpecialKey& special : kSpecialKeys)
    if (const auto id = vocab.special.*special.id)
      metadata.set_u32(fmt::format("tokenizer.ggml.{}_token_id", special.key), static_cast<std::uint32_t>(*id));
  if (vocab.add_bos) metadata.set_bool("tokenizer.ggml.add_bos_token", *vocab.add_bos);
  if (vocab.add_eos) metadata.set_bool("tokenizer.ggml.add_eos_token", *vocab.add_eos);
  if (vocab.add_space_prefix) metadata.set_bool("tokenizer.ggml.add_space_prefix", *vocab.add_space_prefix);
  set_gguf_templates(assets, metadata);
  return {};
}

}  // namespace nibble
