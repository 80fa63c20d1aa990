#include "quant/importance_collector.h"

namespace nibble {

ImportanceCollector::ImportanceCollector(const ModelLayout& layout, ThreadPool& pool)
    : layout_(layout), pool_(pool), sums_(layout.linears.size()) {}

OpsWrapper ImportanceCollector::wrapper() {
  return recording_ops([this](std::span<const LinearId> linears, std::span<const float> x, std::int64_t width) {
    add(linears, x, width);
  });
}

void ImportanceCollector::add(std::span<const LinearId> linears, std::span<const float> x, std::int64_t width) {
  constexpr std::size_t kColumnsAtOnce = 256;
  const auto columns = static_cast<std::size_t>(width);
  const std::size_t tokens = x.size() / columns;
  for (const LinearId id : linears) {
    if (layout_.linears[static_cast<std::size_t>(id)].role != LinearInfo::Role::kBlock) continue;
    Sums& sums = sums_[static_cast<std::size_t>(id)];
    sums.squares.resize(columns);
    sums.count += static_cast<std::int64_t>(tokens);
    pool_.run(columns, kColumnsAtOnce, [&](std::size_t begin, std::size_t end, int) {
      for (std::size_t t = 0; t < tokens; ++t)
        for (std::size_t c = begin; c < end; ++c) {
          const auto value = static_cast<double>(x[t * columns + c]);
          sums.squares[c] += value * value;
        }
    });
  }
}

Imatrix ImportanceCollector::result(const Architecture& architecture) const {
  Imatrix out;
  for (std::size_t i = 0; i < sums_.size(); ++i) {
    if (sums_[i].count == 0) continue;
    ImatrixEntry entry;
    entry.name = gguf_name_of(architecture, layout_.linears[i].name + ".weight");
    entry.sums.assign(sums_[i].squares.begin(), sums_[i].squares.end());
    entry.counts = {static_cast<float>(sums_[i].count)};
    out.entries.push_back(std::move(entry));
  }
  return out;
}

}  // namespace nibble
