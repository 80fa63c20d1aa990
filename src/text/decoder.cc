// Each step maps a list of strings to a list of strings, as Hugging Face defines it; the end result is their join.
#include "text/decoder.h"

#include <algorithm>

#include "base/utf8.h"
#include "text/byte_alphabet.h"
#include "text/replace_every.h"

namespace nibble {
namespace {

using Kind = DecoderStep::Kind;

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

std::string replace_matches(const Regex& regex, const std::string& text, const std::string& content) {
  std::vector<TextSpan> matches;
  if (!is_utf8(text) || !regex.find_all(text, matches).ok()) return text;
  std::string out;
  std::size_t done = 0;
  for (const TextSpan match : matches) {
    out.append(text, done, match.begin - done).append(content);
    done = match.end;
  }
  return out.append(text, done);
}

/// Runs of byte tokens become the text they spell, or one U+FFFD per byte where that is not UTF-8.
void join_byte_tokens(std::vector<std::string>& tokens) {
  std::vector<std::string> out;
  std::string bytes;
  const auto flush = [&] {
    if (bytes.empty()) return;
    if (is_utf8(bytes)) {
      out.push_back(bytes);
    } else {
      for (std::size_t i = 0; i < bytes.size(); ++i) out.emplace_back("\xEF\xBF\xBD");
    }
    bytes.clear();
  };
  for (std::string& token : tokens) {
    const int byte = byte_of_token(token);
    if (byte >= 0) {
      bytes.push_back(static_cast<char>(byte));
    } else {
      flush();
      out.push_back(std::move(token));
    }
  }
  flush();
  tokens = std::move(out);
}

void strip_token(const DecoderStep& spec, std::string& token) {
  const std::string& mark = spec.content;
  std::size_t begin = 0;
  for (std::int64_t i = 0; i < spec.start && token.compare(begin, mark.size(), mark) == 0; ++i) begin += mark.size();
  std::size_t end = token.size();
  for (std::int64_t i = 0; i < spec.stop && end >= begin + mark.size(); ++i) {
    if (token.compare(end - mark.size(), mark.size(), mark) != 0) break;
    end -= mark.size();
  }
  token = token.substr(begin, end - begin);
}

std::string byte_level(std::string_view token) {
  std::string out;
  if (!from_byte_alphabet(token, out)) out = token;
  return out;
}

}  // namespace

int byte_of_token(std::string_view token) {
  if (token.size() != 6 || token.substr(0, 3) != "<0x" || token.back() != '>') return -1;
  const int high = hex_value(token[3]);
  const int low = hex_value(token[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

Result<DecoderChain> DecoderChain::build(const std::vector<DecoderStep>& steps, std::string_view what) {
  DecoderChain out;
  for (const DecoderStep& spec : steps) {
    Step step{spec, {}};
    if (spec.kind == Kind::kReplace && spec.pattern_is_regex) {
      NIBBLE_TRY(Regex regex, Regex::compile(spec.pattern, what));
      step.regex.push_back(std::move(regex));
    } else if (spec.kind == Kind::kReplace && spec.pattern.empty()) {
      return fail(ErrorCode::kCorrupt, "{}: a Replace decoder with an empty pattern", what);
    }
    if (spec.kind == Kind::kReplace && spec.content.size() > kMaxTokenBytes)
      return fail(ErrorCode::kUnsupported, "{}: a Replace decoder with {} bytes of content, the limit is {}", what,
                  spec.content.size(), kMaxTokenBytes);
    if (spec.kind == Kind::kStrip && spec.content.empty())
      return fail(ErrorCode::kCorrupt, "{}: a Strip decoder without a character", what);
    if (spec.kind == Kind::kStrip && spec.content == " ")
      out.leading_spaces_ += static_cast<std::size_t>(std::clamp<std::int64_t>(spec.start, 0, 1 << 20));
    if (spec.kind == Kind::kMetaspace && spec.drop_first) out.leading_spaces_ += 1;
    out.steps_.push_back(std::move(step));
  }
  return out;
}

void DecoderChain::run(const Step& step, std::vector<std::string>& tokens) {
  const DecoderStep& spec = step.spec;
  switch (spec.kind) {
    case Kind::kByteLevel: {
      std::string bytes;
      for (const std::string& token : tokens) bytes += byte_level(token);
      tokens.assign(1, replace_malformed_utf8(bytes));
      break;
    }
    case Kind::kByteFallback:
      join_byte_tokens(tokens);
      break;
    case Kind::kMetaspace:
      for (std::size_t i = 0; i < tokens.size(); ++i)
        tokens[i] = replace_every(tokens[i], spec.content, i == 0 && spec.drop_first ? "" : " ");
      break;
    case Kind::kFuse: {
      std::string all;
      for (const std::string& token : tokens) all += token;
      tokens.assign(1, std::move(all));
      break;
    }
    case Kind::kStrip:
      for (std::string& token : tokens) strip_token(spec, token);
      break;
    case Kind::kReplace:
      for (std::string& token : tokens)
        token = step.regex.empty() ? replace_every(token, spec.pattern, spec.content)
                                   : replace_matches(step.regex.front(), token, spec.content);
      break;
  }
}

std::string DecoderChain::decode(std::vector<std::string> tokens) const {
  for (const Step& step : steps_) run(step, tokens);
  std::string out;
  // Without a decoder tokens stand apart.
  for (std::size_t i = 0; i < tokens.size(); ++i) out += i > 0 && steps_.empty() ? " " + tokens[i] : tokens[i];
  return out;
}

std::string DecoderChain::token_bytes(std::string_view token) const {
  std::string out(token);
  for (const Step& step : steps_) {
    const DecoderStep& spec = step.spec;
    if (spec.kind == Kind::kByteLevel) out = byte_level(out);
    if (spec.kind == Kind::kMetaspace) out = replace_every(out, spec.content, " ");
    if (spec.kind == Kind::kReplace)
      out = step.regex.empty() ? replace_every(out, spec.pattern, spec.content)
                               : replace_matches(step.regex.front(), out, spec.content);
    if (spec.kind == Kind::kByteFallback) {
      const int byte = byte_of_token(out);
      if (byte >= 0) out.assign(1, static_cast<char>(byte));
    }
  }
  return out;
}

}  // namespace nibble
