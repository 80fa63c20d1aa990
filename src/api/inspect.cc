// nibble/inspect.h: checkpoints and tokenizers. Works on checkpoints of architectures that Nibble does not run.
#include "nibble/inspect.h"

#include <algorithm>
#include <map>

#include "api/boundary.h"
#include "api/memory_bound.h"
#include "api/model_path.h"
#include "base/cpu_features.h"
#include "base/json.h"
#include "format/ggml_types.h"
#include "kernel/attention/attention.h"
#include "model/model_files.h"
#include "model/text_assets.h"

namespace nibble {
namespace {

/// The name people know a stored tensor's type by.
std::string type_name(const StoredTensor& tensor) {
  if (tensor.ggml_type >= 0) {
    const GgmlTypeInfo* type = find_ggml_type(tensor.ggml_type);
    if (type != nullptr) return std::string(type->name);
  }
  return std::string(element_info(tensor.element).name);
}

Status add_tensors(const Checkpoint& checkpoint, Inspection& out) {
  std::int64_t bits = 0;
  std::int64_t weights = 0;
  std::map<std::string, std::int64_t> by_scheme;
  for (const std::string& module : checkpoint.modules()) {
    NIBBLE_TRY(const MatrixPtr matrix, checkpoint.matrix(module));
    InspectedTensor tensor;
    tensor.name = module + ".weight";
    tensor.shape = {matrix->rows(), matrix->cols()};
    const StoredTensor* stored = checkpoint.tensors().find(tensor.name);
    tensor.scheme = checkpoint.is_gguf() && stored != nullptr ? type_name(*stored) : to_string(matrix->scheme());
    const std::int64_t stored_bits = checkpoint.is_gguf() && stored != nullptr
                                         ? static_cast<std::int64_t>(stored->bytes.size()) * 8
                                         : matrix->scheme().stored_bits(matrix->rows(), matrix->cols());
    tensor.bytes = static_cast<std::uint64_t>((stored_bits + 7) / 8);
    bits += stored_bits;
    weights += matrix->rows() * matrix->cols();
    by_scheme[tensor.scheme] += matrix->rows() * matrix->cols();
    out.tensors.push_back(std::move(tensor));
  }
  out.parameters = weights;
  for (const StoredTensor* plain : checkpoint.plain_tensors()) {
    out.parameters += plain->elements();
    out.tensors.push_back({plain->name, plain->shape, type_name(*plain), plain->bytes.size()});
  }
  out.bits_per_weight = weights > 0 ? static_cast<double>(bits) / static_cast<double>(weights) : 0;
  std::string schemes;
  for (const auto& [scheme, count] : by_scheme)
    schemes += fmt::format("{}{} ({:.1f} %)", schemes.empty() ? "" : ", ", scheme,
                           100.0 * static_cast<double>(count) / static_cast<double>(weights));
  out.notes.emplace_back("schemes", schemes);
  return {};
}

/// Packed weights, and a cache of up to 4096 positions in float16.
std::uint64_t memory_to_run(const ModelFiles& files) {
  std::int64_t bytes = 0;
  for (std::size_t i = 0; i < files.layout().linears.size(); ++i) {
    const LinearInfo& info = files.layout().linears[i];
    const Result<MatrixPtr> matrix = files.matrix(static_cast<LinearId>(i));
    if (matrix.ok()) bytes += (*matrix)->scheme().stored_bytes(info.rows, info.cols);
  }
  const std::int64_t positions = std::min<std::int64_t>(files.config().max_position_embeddings, 4096);
  return static_cast<std::uint64_t>(bytes) + kv_cache_bytes(files.config(), Arithmetic::kInt8, positions);
}

void add_text_notes(const Checkpoint& checkpoint, Inspection& out) {
  const Result<TextAssets> assets = read_text_assets(checkpoint);
  if (!assets.ok()) {
    out.notes.emplace_back("tokenizer", assets.error().message);
    return;
  }
  out.notes.emplace_back("tokenizer", fmt::format("{} tokens", assets->tokenizer.tokens.size()));
  out.notes.emplace_back("chat template", assets->chat_template ? "yes" : "no");
}

Result<std::shared_ptr<const Tokenizer>> open_tokenizer(const std::string& model) {
  NIBBLE_TRY(const std::string path, model_path(model));
  NIBBLE_TRY(const Checkpoint::Ptr checkpoint, Checkpoint::open(path));
  NIBBLE_TRY(TextAssets assets, read_text_assets(*checkpoint));
  return Tokenizer::create(std::move(assets.tokenizer));
}

}  // namespace

Result<Inspection> inspect(const std::string& model) {
  return at_boundary([&]() -> Result<Inspection> {
    NIBBLE_TRY(const std::string path, model_path(model));
    NIBBLE_TRY(const Checkpoint::Ptr checkpoint, Checkpoint::open(path));
    Inspection out;
    out.path = path;
    out.container = std::string(checkpoint->container());
    out.family = std::string(checkpoint->family_name());
    out.file_bytes = checkpoint->file_bytes();
    if (checkpoint->is_gguf()) {
      NIBBLE_TRY(const auto name, checkpoint->gguf()->string("general.architecture"));
      out.architecture = name.value_or("");
    } else {
      const JsonFields fields(checkpoint->config(), path + "/config.json");
      NIBBLE_TRY(const auto type, fields.string("model_type"));
      out.architecture = type.value_or("");
    }
    NIBBLE_TRY_STATUS(add_tensors(*checkpoint, out));
    const Result<ModelFiles::Ptr> files = ModelFiles::open(path);
    out.runnable = files.ok();
    if (files.ok()) {
      out.context = (*files)->config().max_position_embeddings;
      out.memory_to_run = memory_to_run(**files);
      out.parameters = (*files)->parameters();
    } else {
      out.why_not = files.error().message;
    }
    add_text_notes(*checkpoint, out);
    return out;
  });
}

Result<TokenizedText> tokenize_text(const std::string& model, const std::string& text, bool add_bos,
                                    bool parse_special) {
  return at_boundary([&]() -> Result<TokenizedText> {
    NIBBLE_TRY(const std::shared_ptr<const Tokenizer> tokenizer, open_tokenizer(model));
    TokenizedText out;
    NIBBLE_TRY(out.ids, tokenizer->encode(text, {add_bos, parse_special}));
    for (const std::int32_t id : out.ids) out.pieces.push_back(tokenizer->piece(id));
    return out;
  });
}

Result<std::vector<std::vector<std::int32_t>>> tokenize_lines(const std::string& model, const std::string& text,
                                                              bool add_bos, bool parse_special) {
  return at_boundary([&]() -> Result<std::vector<std::vector<std::int32_t>>> {
    NIBBLE_TRY(const std::shared_ptr<const Tokenizer> tokenizer, open_tokenizer(model));
    std::vector<std::vector<std::int32_t>> lines;
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find('\n', begin), text.size());
      NIBBLE_TRY(std::vector<std::int32_t> ids,
                 tokenizer->encode(std::string_view(text).substr(begin, end - begin), {add_bos, parse_special}));
      lines.push_back(std::move(ids));
      begin = end + 1;
    }
    return lines;
  });
}

Status check_isa() { return check_forced_isa(); }

}  // namespace nibble
