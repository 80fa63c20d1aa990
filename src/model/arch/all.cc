// The list of architectures, and the look-ups on it.
#include <array>
#include <charconv>

#include "base/result.h"
#include "model/arch/architecture.h"

namespace nibble {

extern const Architecture kLlama;
extern const Architecture kQwen2;
extern const Architecture kQwen3;
extern const Architecture kGemma3;

namespace {

const std::array<const Architecture*, 4> kAll{&kLlama, &kQwen2, &kQwen3, &kGemma3};

bool contains(std::span<const std::string_view> list, std::string_view word) {
  for (const std::string_view item : list)
    if (item == word) return true;
  return false;
}

std::string known_names() {
  std::string names;
  for (const Architecture* architecture : kAll) names += (names.empty() ? "" : ", ") + std::string(architecture->name);
  return names;
}

/// Matches `name` against a pattern with at most one `{}` for a number; the number's digits go to `number`.
bool match(std::string_view pattern, std::string_view name, std::string_view& number) {
  const std::size_t hole = pattern.find("{}");
  if (hole == std::string_view::npos) return pattern == name;
  const std::string_view before = pattern.substr(0, hole);
  const std::string_view after = pattern.substr(hole + 2);
  if (name.size() <= before.size() + after.size() || !name.starts_with(before) || !name.ends_with(after)) return false;
  number = name.substr(before.size(), name.size() - before.size() - after.size());
  for (const char c : number)
    if (c < '0' || c > '9') return false;
  return number.size() <= 6;
}

std::string translate(const Architecture& architecture, std::string_view tensor, bool to_gguf,
                      GgufTransform* transform) {
  std::string_view suffix;
  for (const std::string_view s : {std::string_view(".weight"), std::string_view(".bias")})
    if (tensor.ends_with(s)) suffix = s;
  const std::string_view stem = tensor.substr(0, tensor.size() - suffix.size());
  for (const TensorName& name : architecture.tensors) {
    std::string_view number;
    if (!match(to_gguf ? name.hf : name.gguf, stem, number)) continue;
    if (transform != nullptr) *transform = name.transform;
    std::string out(to_gguf ? name.gguf : name.hf);
    if (const std::size_t hole = out.find("{}"); hole != std::string::npos) out.replace(hole, 2, number);
    return out + std::string(suffix);
  }
  return "";
}

}  // namespace

std::span<const Architecture* const> all_architectures() { return kAll; }

Result<const Architecture*> find_architecture(const Json& config, const std::string& what) {
  const JsonFields fields(config, what);
  NIBBLE_TRY(const std::optional<std::string> model_type, fields.string("model_type"));
  NIBBLE_TRY(const auto classes, fields.strings("architectures"));
  for (const Architecture* architecture : kAll) {
    if (model_type && contains(architecture->model_types, *model_type)) return architecture;
    if (!model_type && classes)
      for (const std::string& name : *classes)
        if (contains(architecture->class_names, name)) return architecture;
  }
  const std::string_view key = model_type ? "model_type" : "architectures";
  const std::string found = model_type ? *model_type : classes && !classes->empty() ? classes->front() : "";
  if (found.empty())
    return fail(ErrorCode::kCorrupt, "{}: neither \"model_type\" nor \"architectures\" says what model this is", what);
  return fail(ErrorCode::kUnsupported, "{}: \"{}\" is \"{}\", not a language model that Nibble runs; known: {}", what,
              key, found, known_names());
}

Result<const Architecture*> find_gguf_architecture(std::string_view gguf_name, const std::string& what) {
  for (const Architecture* architecture : kAll)
    if (architecture->gguf_name == gguf_name) return architecture;
  return fail(ErrorCode::kUnsupported, "{}: general.architecture \"{}\" is not one that Nibble runs; known: {}", what,
              gguf_name, known_names());
}

std::string gguf_name_of(const Architecture& architecture, std::string_view hf_tensor, GgufTransform* transform) {
  return translate(architecture, hf_tensor, true, transform);
}

std::string hf_name_of(const Architecture& architecture, std::string_view gguf_tensor, GgufTransform* transform) {
  return translate(architecture, gguf_tensor, false, transform);
}

std::vector<std::int64_t> interleaved_row_order(std::int64_t heads, std::int64_t head_dim) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(heads * head_dim));
  for (std::int64_t h = 0; h < heads; ++h)
    for (std::int64_t i = 0; i < head_dim / 2; ++i)
      for (std::int64_t j = 0; j < 2; ++j)
        order[static_cast<std::size_t>(h * head_dim + j * (head_dim / 2) + i)] = h * head_dim + 2 * i + j;
  return order;
}

std::vector<std::int64_t> split_half_row_order(std::int64_t heads, std::int64_t head_dim) {
  const std::vector<std::int64_t> forward = interleaved_row_order(heads, head_dim);
  std::vector<std::int64_t> order(forward.size());
  for (std::size_t r = 0; r < forward.size(); ++r)
    order[static_cast<std::size_t>(forward[r])] = static_cast<std::int64_t>(r);
  return order;
}

}  // namespace nibble
