#include "quant/statistics/saved_statistics.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "io/safetensors.h"
#include "quant/input_groups.h"
#include "quant/statistics/statistics_layout.h"

namespace nibble {
namespace {

constexpr std::string_view kWayOut = "make the file again with nibble statistics";

float float_at(const StoredTensor& stored, std::size_t index) {
  float out = 0;
  std::memcpy(&out, stored.bytes.data() + index * sizeof(float), sizeof(float));
  return out;
}

}  // namespace

Result<SavedStatistics::Ptr> SavedStatistics::open(const std::filesystem::path& path, const ModelLayout& layout,
                                                   std::string_view fingerprint) {
  const std::shared_ptr<SavedStatistics> out(new SavedStatistics(path, layout));
  NIBBLE_TRY([[maybe_unused]] const std::uint64_t bytes, open_safetensors(path, out->tensors_));
  for (const BlockLayout& block : layout.blocks)
    for (const std::vector<LinearId>& group : input_groups(block))
      for (const SafetensorsPlan& expected : statistics::group_tensors(out->info(group.front()))) {
        const StoredTensor* found = out->tensors_.find(expected.name);
        if (found == nullptr)
          return fail(ErrorCode::kCorrupt, "{}: no tensor \"{}\": not statistics of this model; {}", path.string(),
                      expected.name, kWayOut);
        if (found->element != expected.element || found->shape != expected.shape)
          return fail(ErrorCode::kCorrupt, "{}: \"{}\" is {} [{}], expected {} [{}] for this model; {}", path.string(),
                      expected.name, element_info(found->element).safetensors, fmt::join(found->shape, ", "),
                      element_info(expected.element).safetensors, fmt::join(expected.shape, ", "), kWayOut);
      }
  const StoredTensor* print = out->tensors_.find(statistics::kFingerprint);
  const std::span<const std::byte> expected = std::as_bytes(std::span(fingerprint));
  if (print == nullptr || print->element != ElementType::kU8 ||
      !std::equal(print->bytes.begin(), print->bytes.end(), expected.begin(), expected.end()))
    return fail(ErrorCode::kInvalidArgument,
                "{}: \"{}\": statistics of another model, or of the same in other numbers; {}", path.string(),
                statistics::kFingerprint, kWayOut);
  return Ptr(out);
}

const StoredTensor& SavedStatistics::tensor(LinearId first, std::size_t part) const {
  const StoredTensor* found = tensors_.find(statistics::group_tensors(info(first))[part].name);
  NIBBLE_CHECK(found != nullptr);
  return *found;
}

Error SavedStatistics::wrong(const StoredTensor& tensor, std::string_view why) const {
  return fail(ErrorCode::kCorrupt, "{}: \"{}\" {}: no inputs give that; {}", path_.string(), tensor.name, why, kWayOut);
}

Result<InputGram> SavedStatistics::gram(std::span<const LinearId> linears) const {
  InputGram out(info(linears.front()).cols);
  const StoredTensor& tokens = tensor(linears.front(), statistics::kTokens);
  std::uint32_t count = 0;
  std::memcpy(&count, tokens.bytes.data(), sizeof(count));
  if (count == 0) return wrong(tokens, "is 0");
  out.tokens = count;
  NIBBLE_TRY_STATUS(read_second_moments(tensor(linears.front(), statistics::kSecondMoments), out));
  NIBBLE_TRY(out.plain_sums, read_sums(tensor(linears.front(), statistics::kMean), out.tokens, true));
  NIBBLE_TRY(out.abs_sums, read_sums(tensor(linears.front(), statistics::kMeanMagnitude), out.tokens, false));
  NIBBLE_TRY_STATUS(tokens.file->check_intact());
  tokens.file->release(0, tokens.file->bytes().size());
  return out;
}

Status SavedStatistics::read_second_moments(const StoredTensor& stored, InputGram& gram) const {
  const auto cols = static_cast<std::size_t>(gram.cols);
  for (std::size_t r = 0; r < cols; ++r) {
    for (std::size_t c = 0; c < cols; ++c) {
      const float mean = float_at(stored, r * cols + c);
      if (!std::isfinite(mean)) return wrong(stored, fmt::format("holds {} at [{}, {}]", mean, r, c));
      if (r == c && mean < 0) return wrong(stored, fmt::format("holds the square {} at [{}, {}]", mean, r, c));
      double& sum = gram.sums[std::min(r, c) * cols + std::max(r, c)];
      const double here = static_cast<double>(mean) * static_cast<double>(gram.tokens);
      if (c < r && sum != here) return wrong(stored, fmt::format("is not symmetric at [{}, {}]", r, c));
      sum = here;
    }
  }
  return {};
}

Result<std::vector<double>> SavedStatistics::read_sums(const StoredTensor& stored, std::int64_t tokens,
                                                       bool negative) const {
  std::vector<double> out(static_cast<std::size_t>(stored.elements()));
  for (std::size_t i = 0; i < out.size(); ++i) {
    const float mean = float_at(stored, i);
    if (!std::isfinite(mean) || (mean < 0 && !negative)) return wrong(stored, fmt::format("holds {} at [{}]", mean, i));
    out[i] = static_cast<double>(mean) * static_cast<double>(tokens);
  }
  return out;
}

InputGram with_columns_divided(InputGram gram, std::span<const float> factors) {
  if (factors.empty()) return gram;
  const auto cols = static_cast<std::size_t>(gram.cols);
  NIBBLE_CHECK(factors.size() == cols);
  for (std::size_t r = 0; r < cols; ++r) {
    const auto factor = static_cast<double>(factors[r]);
    gram.plain_sums[r] /= factor;
    gram.abs_sums[r] /= std::fabs(factor);
    for (std::size_t c = r; c < cols; ++c) gram.sums[r * cols + c] /= factor * static_cast<double>(factors[c]);
  }
  return gram;
}

}  // namespace nibble
