// The lists are llama.cpp's. Where a vocabulary has several texts of one role, the first in the list wins.
#include "text/known_special_tokens.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <span>
#include <unordered_map>

namespace nibble {
namespace {

using Texts = std::span<const std::string_view>;

constexpr std::string_view kEndOfTurn[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>",         "<|endoftext|>",     "<|end_of_text|>",
    "<EOT>",      "_<EOT>",     "[EOT]",   "<｜end▁of▁sentence｜>", "<end_of_utterance>"};
constexpr std::string_view kEndOfMessage[] = {"<|eom_id|>"};
constexpr std::string_view kFimPrefix[] = {"<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>",    "<｜fim▁begin｜>",
                                           "<PRE>",          "▁<PRE>",       "<|code_prefix|>", "<|prefix|>"};
constexpr std::string_view kFimSuffix[] = {"<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>",    "<｜fim▁hole｜>",
                                           "<SUF>",          "▁<SUF>",       "<|code_suffix|>", "<|suffix|>"};
constexpr std::string_view kFimMiddle[] = {"<|fim_middle|>", "<fim-middle>", "<fim_middle>",    "<｜fim▁end｜>",
                                           "<MID>",          "▁<MID>",       "<|code_middle|>", "<|middle|>"};
constexpr std::string_view kFimPad[] = {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"};
constexpr std::string_view kFimRepo[] = {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"};
constexpr std::string_view kFimSeparator[] = {"<|file_sep|>"};
constexpr std::string_view kEndOfGeneration[] = {"<|eot_id|>",
                                                 "<|im_end|>",
                                                 "<|end|>",
                                                 "<|return|>",
                                                 "<|call|>",
                                                 "<|flush|>",
                                                 "<|calls|>",
                                                 "<end_of_turn>",
                                                 "<|endoftext|>",
                                                 "</s>",
                                                 "<|eom_id|>",
                                                 "<EOT>",
                                                 "_<EOT>",
                                                 "[EOT]",
                                                 "[EOS]",
                                                 "<|end_of_text|>",
                                                 "<end_of_utterance>",
                                                 "<eos>",
                                                 "<turn|>",
                                                 "<|tool_response>",
                                                 "<｜end▁of▁sentence｜>",
                                                 "[e~["};
/// gpt-oss: shown in the text.
constexpr std::string_view kAlwaysShown[] = {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"};

class Finder {
 public:
  Finder(TokenizerSpec& spec, bool types_are_final) : spec_(spec), types_are_final_(types_are_final) {
    for (Texts texts :
         {Texts(kEndOfTurn), Texts(kEndOfMessage), Texts(kFimPrefix), Texts(kFimSuffix), Texts(kFimMiddle),
          Texts(kFimPad), Texts(kFimRepo), Texts(kFimSeparator), Texts(kEndOfGeneration), Texts(kAlwaysShown)})
      for (std::string_view text : texts) ids_.emplace(text, -1);
    for (std::size_t id = 0; id < spec.tokens.size(); ++id) {
      const auto found = ids_.find(spec.tokens[id].text);
      const bool eligible = !types_are_final || spec.tokens[id].type == TokenType::kControl;
      if (found != ids_.end() && eligible) found->second = static_cast<std::int32_t>(id);
    }
  }

  std::optional<std::int32_t> id(std::string_view text) const {
    const auto found = ids_.find(text);
    return found == ids_.end() || found->second < 0 ? std::nullopt : std::optional<std::int32_t>(found->second);
  }

  void find(std::optional<std::int32_t>& slot, Texts texts) {
    for (std::string_view text : texts) {
      if (slot) return;
      slot = id(text);
      if (slot) set_type(*slot, TokenType::kControl);
    }
  }

  void set_type(std::int32_t id, TokenType type) {
    if (types_are_final_) return;
    TokenEntry& token = spec_.tokens[static_cast<std::size_t>(id)];
    if (token.type != TokenType::kUnknown || type != TokenType::kControl) token.type = type;
  }

  void add_end(std::int32_t id) {
    auto& ends = spec_.end_of_generation;
    if (std::find(ends.begin(), ends.end(), id) == ends.end()) ends.push_back(id);
  }

  void remove_end(std::int32_t id) {
    auto& ends = spec_.end_of_generation;
    ends.erase(std::remove(ends.begin(), ends.end(), id), ends.end());
  }

  bool ends_with(std::string_view text) const {
    const auto& ends = spec_.end_of_generation;
    const auto found = id(text);
    return found && std::find(ends.begin(), ends.end(), *found) != ends.end();
  }

 private:
  TokenizerSpec& spec_;
  bool types_are_final_;
  std::unordered_map<std::string_view, std::int32_t> ids_;
};

}  // namespace

void find_known_special_tokens(TokenizerSpec& spec, bool types_are_final) {
  Finder finder(spec, types_are_final);
  SpecialTokens& s = spec.special;
  finder.find(s.eot, kEndOfTurn);
  finder.find(s.eom, kEndOfMessage);
  finder.find(s.fim_pre, kFimPrefix);
  finder.find(s.fim_suf, kFimSuffix);
  finder.find(s.fim_mid, kFimMiddle);
  finder.find(s.fim_pad, kFimPad);
  finder.find(s.fim_rep, kFimRepo);
  finder.find(s.fim_sep, kFimSeparator);
  for (const auto& id : {s.fim_pad, s.fim_rep, s.fim_sep})
    if (id) finder.add_end(*id);
  for (std::string_view text : kEndOfGeneration) {
    if (const auto id = finder.id(text)) {
      finder.add_end(*id);
      finder.set_type(*id, TokenType::kControl);
    }
  }
  for (std::string_view text : kAlwaysShown)
    if (const auto id = finder.id(text)) finder.set_type(*id, TokenType::kUserDefined);
  for (const auto& id : {s.eos, s.eot, s.eom})
    if (id) finder.add_end(*id);

  // In these two vocabularies <|end|> ends a part of a message only; in Gemma 4 </s> is a plain token.
  const bool harmony =
      finder.ends_with("<|return|>") && (finder.ends_with("<|call|>") || finder.ends_with("<|calls|>"));
  const bool solar = (finder.ends_with("<|call|>") || finder.ends_with("<|calls|>")) && finder.ends_with("<|flush|>");
  if ((harmony || solar) && finder.ends_with("<|end|>")) {
    finder.remove_end(*finder.id("<|end|>"));
    finder.set_type(*finder.id("<|end|>"), TokenType::kUserDefined);
  }
  if (finder.ends_with("<|tool_response>") && finder.ends_with("</s>")) {
    finder.remove_end(*finder.id("</s>"));
    finder.set_type(*finder.id("</s>"), TokenType::kNormal);
  }
  std::sort(spec.end_of_generation.begin(), spec.end_of_generation.end());
}

bool looks_special(std::string_view text) {
  constexpr std::array<std::string_view, 4> kExact = {"<pad>", "<mask>", "<2mass>", "[@BOS@]"};
  if (std::find(kExact.begin(), kExact.end(), text) != kExact.end()) return true;
  const auto between = [&](std::string_view begin, std::string_view end) {
    return text.size() >= begin.size() + end.size() && text.substr(0, begin.size()) == begin &&
           text.substr(text.size() - end.size()) == end;
  };
  return between("<|", "|>") || between("<｜", "｜>") || between("<unused", ">");
}

}  // namespace nibble
