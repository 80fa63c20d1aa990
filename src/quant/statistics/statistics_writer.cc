#include "quant/statistics/statistics_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/atomic_output.h"
#include "base/check.h"
#include "quant/input_groups.h"
#include "quant/statistics/statistics_layout.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

/// Makes the renaming of a file last.
void sync_folder(const fs::path& folder) {
  const int fd = open(folder.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  (void)fsync(fd);
  close(fd);
}

class Writer final : public StatisticsWriter {
 public:
  Writer(fs::path path, const ModelLayout& layout, AtomicFolder folder)
      : path_(std::move(path)), layout_(layout), folder_(std::move(folder)) {}

  Status prepare(std::string_view fingerprint, const std::map<std::string, std::string>& metadata) {
    std::vector<SafetensorsPlan> plan{
        {statistics::kFingerprint, {static_cast<std::int64_t>(fingerprint.size())}, ElementType::kU8}};
    for (const BlockLayout& block : layout_.blocks)
      for (const std::vector<LinearId>& group : input_groups(block)) {
        first_tensor_[group.front()] = plan.size();
        for (SafetensorsPlan& tensor : statistics::group_tensors(info(group.front())))
          plan.push_back(std::move(tensor));
      }
    NIBBLE_TRY(tensors_, SafetensorsWriter::create(folder_.path(), std::move(plan), metadata, 0));
    return tensors_->write(0, 0, std::as_bytes(std::span(fingerprint)));
  }

  Status write(std::span<const LinearId> linears, const InputGram& gram) override {
    const LinearInfo& first = info(linears.front());
    const std::size_t tensor = first_tensor_.at(linears.front());
    NIBBLE_CHECK(gram.cols == first.cols && gram.tokens > 0);
    if (gram.tokens > std::numeric_limits<std::uint32_t>::max())
      return fail(ErrorCode::kUnsupported, "{}: {} tokens are more than a file of statistics counts", first.name,
                  gram.tokens);
    NIBBLE_TRY_STATUS(write_second_moments(first, tensor + statistics::kSecondMoments, gram));
    NIBBLE_TRY_STATUS(write_means(first, tensor + statistics::kMean, gram, gram.plain_sums));
    NIBBLE_TRY_STATUS(write_means(first, tensor + statistics::kMeanMagnitude, gram, gram.abs_sums));
    const auto tokens = static_cast<std::uint32_t>(gram.tokens);
    return tensors_->write(tensor + statistics::kTokens, 0, std::as_bytes(std::span(&tokens, 1)));
  }

  Status finish() override {
    NIBBLE_TRY_STATUS(tensors_->finish());
    std::error_code error;
    fs::rename(folder_.path() / "model.safetensors", path_, error);
    if (error) return fail(ErrorCode::kIo, "{}: putting it in place: {}", path_.string(), error.message());
    sync_folder(path_.parent_path());
    return {};
  }

 private:
  const LinearInfo& info(LinearId id) const { return layout_.linears[static_cast<std::size_t>(id)]; }

  /// Means as the file has them.
  static Status as_means(const LinearInfo& first, std::span<const double> sums, std::int64_t tokens,
                         std::vector<float>& out) {
    for (const double sum : sums) {
      const auto mean = static_cast<float>(sum / static_cast<double>(tokens));
      if (!std::isfinite(mean))
        return fail(ErrorCode::kUnsupported,
                    "{}: its inputs are NaN, infinite or too large on this text, and statistics of them are of no use",
                    first.name);
      out.push_back(mean);
    }
    return {};
  }

  Status write_means(const LinearInfo& first, std::size_t tensor, const InputGram& gram, std::span<const double> sums) {
    std::vector<float> means;
    NIBBLE_TRY_STATUS(as_means(first, sums, gram.tokens, means));
    return tensors_->write(tensor, 0, std::as_bytes(std::span(means)));
  }

  /// Some rows at a time. A gram holds one half of them.
  Status write_second_moments(const LinearInfo& first, std::size_t tensor, const InputGram& gram) {
    constexpr std::int64_t kRows = 64;
    std::vector<double> row(static_cast<std::size_t>(gram.cols));
    std::vector<float> means;
    for (std::int64_t begin = 0; begin < gram.cols; begin += kRows) {
      means.clear();
      for (std::int64_t r = begin; r < std::min(gram.cols, begin + kRows); ++r) {
        for (std::int64_t c = 0; c < gram.cols; ++c)
          row[static_cast<std::size_t>(c)] =
              gram.sums[static_cast<std::size_t>(std::min(r, c) * gram.cols + std::max(r, c))];
        NIBBLE_TRY_STATUS(as_means(first, row, gram.tokens, means));
      }
      NIBBLE_TRY_STATUS(tensors_->write(tensor, static_cast<std::uint64_t>(begin * gram.cols) * sizeof(float),
                                        std::as_bytes(std::span(means))));
    }
    return {};
  }

  fs::path path_;
  const ModelLayout& layout_;
  AtomicFolder folder_;  ///< beside the file: what writes safetensors does so into a folder
  std::unique_ptr<SafetensorsWriter> tensors_;
  std::map<LinearId, std::size_t> first_tensor_;  ///< of a group in the plan
};

}  // namespace

Result<std::unique_ptr<StatisticsWriter>> StatisticsWriter::create(const fs::path& path, const ModelLayout& layout,
                                                                   std::string_view fingerprint,
                                                                   const std::map<std::string, std::string>& metadata) {
  std::error_code error;
  const fs::path whole = fs::absolute(path, error);
  if (!whole.has_filename() || fs::is_directory(whole, error))
    return fail(ErrorCode::kInvalidArgument, "{}: a folder; statistics are one file, such as stats.safetensors",
                path.string());
  NIBBLE_TRY(AtomicFolder folder, AtomicFolder::create(whole.string() + ".parts"));
  auto writer = std::make_unique<Writer>(whole, layout, std::move(folder));
  NIBBLE_TRY_STATUS(writer->prepare(fingerprint, metadata));
  return std::unique_ptr<StatisticsWriter>(std::move(writer));
}

}  // namespace nibble
