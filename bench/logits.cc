// nibble-logits MODEL IDS_FILE OUT.f32 [f32|int8] [GREEDY]: a developer's program for comparing with other engines.
// Writes the logits of every position of a prompt (raw little-endian float32, [tokens, vocabulary]) and prints greedy
// tokens.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <vector>

#include "api/loaded_model.h"

namespace nibble {
namespace {

int run(const std::string& model, const std::string& ids_file, const std::string& out, bool f32, int greedy) {
  LoadOptions options;
  options.arithmetic = f32 ? Arithmetic::kF32 : Arithmetic::kInt8;
  Result<LoadedModel> loaded = load_model(model, options);
  if (!loaded.ok()) {
    std::fprintf(stderr, "%s\n", loaded.error().message.c_str());
    return 1;
  }
  std::ifstream file(ids_file);
  std::vector<std::int32_t> ids;
  for (std::int32_t id = 0; file >> id;) ids.push_back(id);
  if (ids.empty()) {
    std::fprintf(stderr, "%s: no token ids\n", ids_file.c_str());
    return 1;
  }
  const auto vocab = static_cast<std::size_t>(loaded->weights->config().vocab_size);
  std::ofstream logits_file(out, std::ios::binary);
  std::vector<float> last;
  const auto sequence = loaded->executor->new_sequence();
  const auto feed = [&](std::span<const std::int32_t> tokens, bool write) {
    const BatchItem item{sequence.get(), tokens, BatchItem::Logits::kAll};
    return loaded->executor->forward({&item, 1}, [&](std::size_t, std::int64_t, std::int64_t rows,
                                                     const float* logits) {
      if (write)
        logits_file.write(reinterpret_cast<const char*>(logits),
                          static_cast<std::streamsize>(static_cast<std::size_t>(rows) * vocab * sizeof(float)));
      last.assign(logits + static_cast<std::size_t>(rows - 1) * vocab, logits + static_cast<std::size_t>(rows) * vocab);
    });
  };
  Status status = feed(ids, true);
  for (int i = 0; i < greedy && status.ok(); ++i) {
    std::int32_t best = 0;
    for (std::size_t t = 1; t < vocab; ++t)
      if (last[t] > last[static_cast<std::size_t>(best)]) best = static_cast<std::int32_t>(t);
    std::printf("%s%d", i > 0 ? " " : "", best);
    if (i + 1 < greedy) status = feed({&best, 1}, false);
  }
  if (greedy > 0) std::printf("\n");
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.error().message.c_str());
  return status.ok() ? 0 : 1;
}

}  // namespace
}  // namespace nibble

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: nibble-logits MODEL IDS_FILE OUT.f32 [f32|int8] [GREEDY]\n");
    return 2;
  }
  return nibble::run(argv[1], argv[2], argv[3], argc < 5 || std::string(argv[4]) == "f32",
                     argc > 5 ? std::atoi(argv[5]) : 0);
}
