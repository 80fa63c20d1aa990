#include "api/statistics_input.h"

#include <algorithm>
#include <filesystem>

#include "api/model_fingerprint.h"
#include "base/mapped_file.h"
#include "hub/digest.h"

namespace nibble {
namespace {

Result<std::string> sha256_of(const std::string& path) {
  constexpr std::size_t kAtOnce = std::size_t{4} << 20;
  NIBBLE_TRY(const MappedFile::Ptr file, MappedFile::open(path));
  Sha256 digest;
  for (std::size_t at = 0; at < file->bytes().size(); at += kAtOnce) {
    const std::size_t count = std::min(kAtOnce, file->bytes().size() - at);
    digest.update(file->bytes().subspan(at, count));
    file->release(at, count);
  }
  NIBBLE_TRY_STATUS(file->check_intact());
  return digest.hex();
}

}  // namespace

Result<StatisticsInput> open_statistics(const std::string& path, const ModelWeights& weights) {
  StatisticsInput out;
  if (path.empty()) return out;
  std::error_code no_error;
  if (!std::filesystem::exists(path, no_error))
    return fail(ErrorCode::kNotFound, "{}: no such file; nibble statistics MODEL --calibration TEXT -o {} writes it",
                path, path);
  NIBBLE_TRY(const std::string fingerprint, model_fingerprint(weights));
  NIBBLE_TRY(out.file, SavedStatistics::open(path, weights.layout(), fingerprint));
  NIBBLE_TRY(out.sha256, sha256_of(path));
  return out;
}

}  // namespace nibble
