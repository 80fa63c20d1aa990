// Names and flags are llama.cpp's; patterns are those of the models' own tokenizer.json where llama.cpp's engine made
// it rewrite them.
#include "text/pre_tokenizer_table.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "base/utf8.h"
#include "text/patterns.h"

namespace nibble {
namespace {

using namespace patterns;  // NOLINT: the table below is nothing but patterns
using P = std::string_view;

constexpr P kGpt2List[] = {kGpt2};
constexpr P kLlama3List[] = {kLlama3};
constexpr P kQwen2List[] = {kQwen2};
constexpr P kQwen35List[] = {kQwen35};
constexpr P kSmolLmList[] = {kEachNumber, kGpt2};
constexpr P kFalconList[] = {kFalconPunctuation, kGpt2, kThreeDigits};
constexpr P kDeepseekLlmList[] = {kEachLineEnd, kDeepseekLetters, kDeepseekPunctuation,
                                  kSpacesAtEnd, kDeepseekCjk,     kNumbers};
constexpr P kDeepseekCoderList[] = {kEachLineEnd, kSpaceLetters, kSpacePunctuation, kDeepseekCjk, kEachNumber};
constexpr P kDeepseek3List[] = {kNumbersByThree, kDeepseek3Cjk, kDeepseek3};
constexpr P kTekkenList[] = {kTekken};
constexpr P kGpt4oList[] = {kGpt4o};
constexpr P kBloomList[] = {kBloom};
constexpr P kVikingList[] = {kBloom, kEachNumber};
constexpr P kSeedCoderList[] = {kSeedCoder};
constexpr P kBailingMoeList[] = {kBailingMoe};
constexpr P kMiniCpm5List[] = {kNumbersByThree, kMiniCpm5};
constexpr P kLagunaList[] = {kLines, kQwen2};
constexpr P kDefaultList[] = {kDefaultPunctuation, kGpt2, kNumbers, kThreeDigits};
constexpr P kYoutuList[] = {kYoutuAsian, kYoutu};
constexpr P kJais2List[] = {kJais2};
constexpr P kSuperBpeList[] = {kNumbers, kThousandsPlaces};
constexpr P kAfmoeList[] = {kThousands, kAfmoeAsian, kDeepseek3};
constexpr P kExaoneMoeList[] = {kExaoneMoe};
constexpr P kChameleonList[] = {kChameleonSentinel, kChameleonImage,       kChameleonSpaces,
                                kEachNumber,        kChameleonPunctuation, kGpt2};
constexpr P kTinyAyaList[] = {kThousandsBeforeWordEnd, kGpt4o};
constexpr P kLinesList[] = {kLines};

constexpr unsigned kLlama3Flags = kIgnoreMerges | kAddsBos;

constexpr PreTokenizerEntry kTable[] = {
    {"gpt-2", kGpt2List},
    {"phi-2", kGpt2List},
    {"mpt", kGpt2List},
    {"olmo", kGpt2List},
    {"jais", kGpt2List},
    {"trillion", kGpt2List, kKeepsSpaces},
    {"granite-docling", kGpt2List, kKeepsSpaces},
    {"jina-es", kGpt2List},
    {"jina-de", kGpt2List},
    {"jina-v2-es", kGpt2List},
    {"jina-v2-de", kGpt2List},
    {"gigachat", kGpt2List},
    {"a.x-4.0", kGpt2List},
    {"mellum", kGpt2List},
    {"modern-bert", kGpt2List},
    {"exaone4", kGpt2List},
    {"roberta-bpe", kGpt2List},
    {"jina-v1-en", kGpt2List},
    {"jina-v2-code", kGpt2List},
    {"llama-bpe", kLlama3List, kLlama3Flags},
    {"llama3", kLlama3List, kLlama3Flags},
    {"llama-v3", kLlama3List, kLlama3Flags},
    {"falcon3", kLlama3List, kLlama3Flags},
    {"falcon-h1", kLlama3List, kLlama3Flags},
    {"pixtral", kLlama3List, kLlama3Flags},
    {"midm-2.0", kLlama3List, kLlama3Flags},
    {"lfm2", kLlama3List, kLlama3Flags},
    {"jina-v5-nano", kLlama3List, kLlama3Flags},
    {"dbrx", kLlama3List},
    {"smaug-bpe", kLlama3List},
    {"chatglm-bpe", kLlama3List, kNoDefaultBos},
    {"glm4", kLlama3List, kNoDefaultBos},
    {"qwen2", kQwen2List, kKeepsSpaces},
    {"deepseek-r1-qwen", kQwen2List, kKeepsSpaces},
    {"kormo", kQwen2List, kKeepsSpaces},
    {"f2llmv2", kQwen2List, kKeepsSpaces},
    {"megrez", kQwen2List},
    {"stablelm2", kQwen2List},
    {"hunyuan", kQwen2List, kKeepsSpaces},
    {"solar-open", kQwen2List, kKeepsSpaces},
    {"grok-2", kQwen2List, kKeepsSpaces},
    {"qwen35", kQwen35List, kKeepsSpaces},
    {"smollm", kSmolLmList, kKeepsSpaces},
    {"starcoder", kSmolLmList},
    {"refact", kSmolLmList},
    {"command-r", kSmolLmList, kKeepsSpaces},
    {"codeshell", kSmolLmList},
    {"exaone", kSmolLmList},
    {"minerva-7b", kSmolLmList},
    {"mellum2", kSmolLmList},
    {"falcon", kFalconList},
    {"deepseek-llm", kDeepseekLlmList, kKeepsSpaces},
    {"deepseek-coder", kDeepseekCoderList, kKeepsSpaces},
    {"deepseek-v3", kDeepseek3List, kKeepsSpaces},
    {"hunyuan-dense", kDeepseek3List, kKeepsSpaces},
    {"joyai-llm", kDeepseek3List, kKeepsSpaces},
    {"tekken", kTekkenList, kIgnoreMerges | kAddsBos | kKeepsSpaces},
    {"gpt-4o", kGpt4oList, kKeepsSpaces},
    {"llama4", kGpt4oList, kKeepsSpaces},
    {"kanana2", kGpt4oList, kKeepsSpaces},
    {"talkie", kGpt4oList, kKeepsSpaces},
    {"minimax-m2", kGpt4oList, kKeepsSpaces},
    {"granite-embed-multi-97m", kGpt4oList, kIgnoreMerges | kKeepsSpaces},
    {"bloom", kBloomList},
    {"poro-chat", kBloomList, kKeepsSpaces},
    {"gpt3-finnish", kBloomList},
    {"viking", kVikingList, kKeepsSpaces},
    {"seed-coder", kSeedCoderList, kKeepsSpaces},
    {"bailingmoe", kBailingMoeList, kKeepsSpaces},
    {"bailingmoe2", kBailingMoeList, kKeepsSpaces},
    {"llada-moe", kBailingMoeList, kKeepsSpaces},
    {"minicpm5", kMiniCpm5List, kIgnoreMerges},
    {"laguna", kLagunaList, kKeepsSpaces},
    {"youtu", kYoutuList, kIgnoreMerges | kKeepsSpaces},
    {"jais-2", kJais2List},
    {"superbpe", kSuperBpeList, kKeepsSpaces},
    {"afmoe", kAfmoeList, kKeepsSpaces},
    {"exaone-moe", kExaoneMoeList},
    {"chameleon", kChameleonList, kAddsBos | kKeepsSpaces},
    {"tiny_aya", kTinyAyaList, kKeepsSpaces},
    {"cohere2moe", kTinyAyaList, kKeepsSpaces},
    {"gemma4", kLinesList, kRawUtf8 | kAddsBos | kNoDefaultBos},
    {"granite-embed-multi-311m", kLinesList, kRawUtf8 | kAddsBos},
    {"sarvam-moe", kLinesList, kRawUtf8 | kKeepsSpaces},
    {"default", kDefaultList},
};

/// Other spellings of a pattern that files contain, with the same matches up to gaps.
struct Alias {
  std::string_view spelling;
  std::string_view pattern;
};
constexpr Alias kAliases[] = {
    {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S))", kGpt2},
    {R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", kGpt2},
    {R"('(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s)", kGpt2},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     kQwen2},
    {"[0-9]{3}", kThreeDigits},
};

/// Escapes of characters outside ASCII become the characters, raw line ends become escapes.
std::string canonical(std::string_view pattern) {
  std::string out;
  for (std::size_t at = 0; at < pattern.size(); ++at) {
    const bool braces = pattern.substr(at, 3) == "\\x{";
    const std::size_t digits = at + (braces ? 3 : 2);
    const std::size_t end = braces ? std::min(pattern.find('}', at), pattern.size()) : digits + 4;
    if ((braces || pattern.substr(at, 2) == "\\u") && digits < end && end <= pattern.size() && end - digits <= 6 &&
        pattern.find_first_not_of("0123456789abcdefABCDEF", digits) >= end) {
      std::uint32_t code = 0;
      for (char c : pattern.substr(digits, end - digits))
        code = code * 16 + static_cast<std::uint32_t>(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
      if (code >= 0x80) {
        append_utf8(out, code);
        at = braces ? end : end - 1;
        continue;
      }
    }
    if (pattern[at] == '\n' || pattern[at] == '\r') {
      out += pattern[at] == '\n' ? "\\n" : "\\r";
    } else {
      out += pattern[at];
    }
  }
  for (const Alias& alias : kAliases)
    if (out == alias.spelling) return std::string(alias.pattern);
  return out;
}

}  // namespace

std::span<const PreTokenizerEntry> pre_tokenizer_table() { return kTable; }

const PreTokenizerEntry* find_pre_tokenizer(std::string_view name) {
  for (const PreTokenizerEntry& entry : kTable)
    if (entry.name == name) return &entry;
  return nullptr;
}

std::string_view why_pre_tokenizer_is_refused(std::string_view name) {
  if (name == "kimi-k2") return "its ranks are not stored as merges";
  if (name == "whitespace") return "it belongs to a word-level model";
  return {};
}

const PreTokenizerEntry* match_pre_tokenizer(const std::vector<std::string>& patterns, unsigned flags) {
  std::vector<std::string> wanted;
  for (const std::string& pattern : patterns) wanted.push_back(canonical(pattern));
  const PreTokenizerEntry* best = nullptr;
  int best_distance = 0;
  for (const PreTokenizerEntry& entry : kTable) {
    if (!std::equal(wanted.begin(), wanted.end(), entry.patterns.begin(), entry.patterns.end(),
                    [](const std::string& a, std::string_view b) { return a == canonical(b); }))
      continue;
    const unsigned different = entry.flags ^ flags;
    // Merging rules change ids, so they must agree; the rest is a preference.
    if ((different & (kIgnoreMerges | kRawUtf8)) != 0) continue;
    const int distance = std::popcount(different & (kKeepsSpaces | kAddsBos)) + 2 * (entry.name == "default" ? 1 : 0);
    if (best == nullptr || distance < best_distance) {
      best = &entry;
      best_distance = distance;
    }
  }
  return best;
}

std::string pre_tokenizer_names() {
  std::string out;
  for (const PreTokenizerEntry& entry : kTable) {
    if (!out.empty()) out += ", ";
    out += entry.name;
  }
  return out;
}

}  // namespace nibble
