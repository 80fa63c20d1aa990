// What llama.cpp makes of a text, for compare_tokenizers.py:  llama_tokenize MODEL FILE [--lines] [--plain]
// Prints the ids of the whole file, or of each line, on one line. --plain takes special tokens in the text for text.
// Not part of the build. Against a checkout of llama.cpp in LLAMA, built with -DBUILD_SHARED_LIBS=OFF:
//   g++ -std=c++17 -O2 -I LLAMA/include -I LLAMA/ggml/include llama_tokenize.cc -o llama_tokenize
//       LLAMA/build/src/libllama.a LLAMA/build/ggml/src/libggml{,-cpu,-base}.a -lgomp -lpthread -ldl
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "llama.h"

namespace {

void print_ids(const llama_vocab* vocab, std::string_view text, bool parse_special) {
  std::vector<llama_token> ids(text.size() + 8);
  const int count = llama_tokenize(vocab, text.data(), static_cast<int>(text.size()), ids.data(),
                                   static_cast<int>(ids.size()), /*add_special=*/true, parse_special);
  for (int i = 0; i < count; ++i) std::printf(i > 0 ? " %d" : "%d", ids[static_cast<std::size_t>(i)]);
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "llama_tokenize MODEL FILE [--lines] [--plain]\n");
    return 2;
  }
  bool lines = false;
  bool parse_special = true;
  for (int i = 3; i < argc; ++i) {
    lines = lines || std::string_view(argv[i]) == "--lines";
    parse_special = parse_special && std::string_view(argv[i]) != "--plain";
  }
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  llama_model_params params = llama_model_default_params();
  params.vocab_only = true;
  llama_model* model = llama_model_load_from_file(argv[1], params);
  std::ifstream file(argv[2], std::ios::binary);
  if (model == nullptr || !file) {
    std::fprintf(stderr, "cannot open %s\n", model == nullptr ? argv[1] : argv[2]);
    return 1;
  }
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const llama_vocab* vocab = llama_model_get_vocab(model);
  for (std::size_t begin = 0; lines && begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    print_ids(vocab, std::string_view(text).substr(begin, end - begin), parse_special);
    begin = end + 1;
  }
  if (!lines) print_ids(vocab, text, parse_special);
  llama_model_free(model);
  return 0;
}
