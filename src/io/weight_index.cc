// Reading a sharded model through its index: paths are checked, and what it says of tensors is compared with the files.
#include "io/weight_index.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/json.h"
#include "base/log.h"
#include "base/relative_path.h"
#include "base/utf8.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

/// tensor name -> file name, relative to the folder
using WeightMap = std::map<std::string, std::string, std::less<>>;

Result<WeightMap> read_index(const fs::path& index) {
  const std::string what = index.string();
  NIBBLE_TRY(const std::string text, read_text_file(index, 100'000'000));
  NIBBLE_TRY(const Json document, parse_untrusted(text, what));
  const Json* map = JsonFields(document, what).child("weight_map");
  if (map == nullptr || !map->is_object())
    return fail(ErrorCode::kCorrupt, "{}: weight_map is missing or not an object", what);
  WeightMap weights;
  for (const auto& member : map->items()) {
    if (!member.value().is_string() || !is_path_below(member.value().get_ref<const std::string&>()))
      return fail(ErrorCode::kCorrupt, "{}: weight_map: \"{}\" is in {}, expected a file below this folder", what,
                  printable(member.key()), printable(member.value().dump()));
    weights.emplace(member.key(), member.value().get_ref<const std::string&>());
  }
  if (weights.empty()) return fail(ErrorCode::kCorrupt, "{}: weight_map is empty", what);
  return weights;
}

/// Sorted: shards are numbered.
std::vector<std::string> files_of(const WeightMap& weights) {
  std::set<std::string> files;
  for (const auto& weight : weights) files.insert(weight.second);
  return {files.begin(), files.end()};
}

/// Adds the tensors of one listed file: those that the index places there, and those that it does not know.
Result<std::uint64_t> open_listed(const fs::path& folder, const std::string& name, const WeightMap& weights,
                                  TensorFileReader read, std::size_t& unlisted, TensorSet& tensors) {
  std::error_code error;
  if (!fs::exists(folder / name, error))
    return fail(ErrorCode::kNotFound, "{}: the index lists this file, but it is not there; is the download complete?",
                (folder / name).string());
  TensorSet held;
  NIBBLE_TRY(const std::uint64_t bytes, read(folder / name, held));
  for (const StoredTensor& tensor : held.all()) {
    const auto listed = weights.find(tensor.name);
    if (listed != weights.end() && listed->second != name) continue;  // the index takes it from another file
    if (listed == weights.end()) ++unlisted;
    NIBBLE_TRY_STATUS(tensors.add(tensor));
  }
  return bytes;
}

}  // namespace

Result<std::uint64_t> open_weight_index(const fs::path& folder, const fs::path& index, TensorFileReader read,
                                        TensorSet& tensors) {
  NIBBLE_TRY(const WeightMap weights, read_index(index));
  std::uint64_t total = 0;
  std::size_t unlisted = 0;
  for (const std::string& file : files_of(weights)) {
    NIBBLE_TRY(const std::uint64_t bytes, open_listed(folder, file, weights, read, unlisted, tensors));
    total += bytes;
  }
  for (const auto& weight : weights)
    if (tensors.find(weight.first) == nullptr)
      return fail(ErrorCode::kCorrupt, "{}: tensor \"{}\" should be in {}, but that file does not hold it",
                  index.string(), printable(weight.first), printable(weight.second));
  if (unlisted != 0)
    log_warning("{}: does not list {} tensors that its files hold; they are used", index.string(), unlisted);
  return total;
}

bool is_leftover_index(const fs::path& folder, const fs::path& index) {
  const Result<WeightMap> weights = read_index(index);
  if (!weights.ok()) return false;
  const std::vector<std::string> files = files_of(*weights);
  return std::none_of(files.begin(), files.end(), [&](const std::string& file) {
    std::error_code error;
    return fs::exists(folder / file, error);
  });
}

Result<std::vector<std::string>> files_of_weight_index(const fs::path& index) {
  NIBBLE_TRY(const WeightMap weights, read_index(index));
  return files_of(weights);
}

}  // namespace nibble
