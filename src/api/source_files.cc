#include "api/source_files.h"

#include <algorithm>

#include "io/folder_listing.h"
#include "io/pytorch.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

/// What is read of a folder besides its weights.
constexpr std::string_view kBesideWeights[] = {
    "config.json",         "quantize_config.json",  "quant_config.json",       "hf_quant_config.json",
    "tokenizer.json",      "tokenizer_config.json", "special_tokens_map.json", "generation_config.json",
    "chat_template.jinja", "chat_template.json"};

bool is_read(const Checkpoint& checkpoint, const std::string& name) {
  if (checkpoint.container() == "pytorch" && is_pytorch_name(name)) return true;
  return name.ends_with(".index.json") ||
         std::find(std::begin(kBesideWeights), std::end(kBesideWeights), name) != std::end(kBesideWeights);
}

}  // namespace

std::vector<fs::path> source_files(const ModelFiles& files) {
  const Checkpoint& checkpoint = files.checkpoint();
  std::vector<fs::path> out;
  std::error_code error;
  const auto add = [&](const fs::path& file) {
    if (fs::is_regular_file(file, error)) out.push_back(file);
  };
  for (const MappedFile::Ptr& file : checkpoint.files()) add(file->path());
  add(checkpoint.path());  // a file: the first part of a split model may hold no tensor
  if (!checkpoint.is_gguf()) {
    for (const std::string& name : names_in(checkpoint.folder()))
      if (is_read(checkpoint, name)) add(checkpoint.folder() / name);
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

Status refuse_replacing(const ModelFiles& files, const std::vector<std::string>& texts, const std::string& out) {
  std::error_code error;
  if (!fs::exists(out, error)) return {};
  const auto is_out = [&](const fs::path& path) { return fs::equivalent(path, out, error); };
  for (const fs::path& file : source_files(files))
    if (is_out(file) || is_out(fs::absolute(file, error).parent_path()))
      return fail(ErrorCode::kInvalidArgument,
                  "{}: the output would replace the model it is made from; choose another -o", out);
  for (const std::string& text : texts)
    if (is_out(text))
      return fail(ErrorCode::kInvalidArgument,
                  "{}: the output would replace the text it is made from; choose another -o", out);
  return {};
}

}  // namespace nibble
