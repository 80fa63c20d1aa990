// Every step works on all pieces at once: it finds matches in each, then cuts by its behavior.
#include "text/pre_tokenizer.h"

#include <algorithm>

#include "base/utf8.h"
#include "text/byte_alphabet.h"
#include "text/patterns.h"
#include "text/replace_every.h"
#include "text/unicode_class.h"

namespace nibble {
namespace {

using Kind = PreTokenizerStep::Kind;
using Behavior = PreTokenizerStep::Behavior;

/// A stretch of a piece that is a match or lies between matches.
struct Stretch {
  TextSpan span;
  bool is_match = false;
};

void stretches_of(std::size_t size, const std::vector<TextSpan>& matches, bool invert, std::vector<Stretch>& out) {
  out.clear();
  std::size_t done = 0;
  for (const TextSpan match : matches) {
    if (match.begin > done) out.push_back({{done, match.begin}, invert});
    out.push_back({match, !invert});
    done = match.end;
  }
  if (done < size) out.push_back({{done, size}, invert});
}

/// Merges stretches as the behavior says; what stays are the pieces (empty ones are dropped by the caller).
std::vector<TextSpan> cut(const std::vector<Stretch>& stretches, Behavior behavior) {
  std::vector<TextSpan> out;
  bool previous = false;
  switch (behavior) {
    case Behavior::kIsolated:
    case Behavior::kRemoved:
      for (const Stretch& s : stretches)
        if (behavior == Behavior::kIsolated || !s.is_match) out.push_back(s.span);
      break;
    case Behavior::kMergedWithPrevious:
      for (const Stretch& s : stretches) {
        if (s.is_match && !previous && !out.empty()) {
          out.back().end = s.span.end;
        } else {
          out.push_back(s.span);
        }
        previous = s.is_match;
      }
      break;
    case Behavior::kMergedWithNext:
      for (auto s = stretches.rbegin(); s != stretches.rend(); ++s) {
        if (s->is_match && !previous && !out.empty()) {
          out.back().begin = s->span.begin;
        } else {
          out.push_back(s->span);
        }
        previous = s->is_match;
      }
      std::reverse(out.begin(), out.end());
      break;
    case Behavior::kContiguous:
      for (const Stretch& s : stretches) {
        if (s.is_match == previous && !out.empty()) {
          out.back().end = s.span.end;
        } else {
          out.push_back(s.span);
        }
        previous = s.is_match;
      }
      break;
  }
  return out;
}

template <typename Predicate>
void match_characters(std::string_view text, Predicate predicate, std::vector<TextSpan>& matches) {
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_at(text, at);
    if (predicate(step.code)) matches.push_back({at, at + step.bytes});
    at += step.bytes;
  }
}

bool has_bit(char32_t code, unsigned bit) { return (char_class(code) & bit) != 0; }

/// How a step that only cuts does so.
struct CutRule {
  Behavior behavior = Behavior::kIsolated;
  bool invert = false;
};

CutRule cut_rule(const PreTokenizerStep& spec) {
  switch (spec.kind) {
    case Kind::kDigits:
      return {spec.individual_digits ? Behavior::kIsolated : Behavior::kContiguous, false};
    case Kind::kPunctuation:
      return {spec.behavior, false};
    case Kind::kWhitespace:
      return {Behavior::kRemoved, true};
    case Kind::kWhitespaceSplit:
      return {Behavior::kRemoved, false};
    case Kind::kMetaspace:
      return {Behavior::kMergedWithNext, false};
    case Kind::kByteLevel:
      return {Behavior::kIsolated, false};
    case Kind::kSplit:
      break;
  }
  return {spec.behavior, spec.invert};
}

/// Calls edit(piece, out) for every piece; what it appends is the new piece.
template <typename Edit>
void rewrite_pieces(Pieces& pieces, Edit edit) {
  Pieces out;
  out.text.reserve(pieces.text.size() + pieces.text.size() / 4);
  std::size_t begin = 0;
  for (std::size_t end : pieces.ends) {
    edit(std::string_view(pieces.text).substr(begin, end - begin), begin == 0, out.text);
    out.ends.push_back(out.text.size());
    begin = end;
  }
  pieces = std::move(out);
}

/// Metaspace's rewriting: spaces become the replacement, and one may be put before a piece.
void mark_spaces(const PreTokenizerStep& spec, bool at_start, Pieces& pieces) {
  using Prepend = PreTokenizerStep::Prepend;
  rewrite_pieces(pieces, [&](std::string_view piece, bool is_first, std::string& out) {
    const std::string marked = replace_every(piece, " ", spec.replacement);
    const bool wanted =
        spec.prepend_scheme == Prepend::kAlways || (spec.prepend_scheme == Prepend::kFirst && at_start && is_first);
    if (wanted && marked.compare(0, spec.replacement.size(), spec.replacement) != 0) out += spec.replacement;
    out += marked;
  });
}

}  // namespace

Result<PreTokenizer> PreTokenizer::build(const std::vector<PreTokenizerStep>& steps, std::string_view what) {
  PreTokenizer out;
  for (const PreTokenizerStep& spec : steps) {
    Step step{spec, {}};
    std::string pattern;
    if (spec.kind == Kind::kSplit) pattern = spec.pattern_is_regex ? spec.pattern : escape_for_regex(spec.pattern);
    if (spec.kind == Kind::kByteLevel && spec.use_regex) pattern = patterns::kGpt2;
    if (spec.kind == Kind::kWhitespace) pattern = R"(\w+|[^\w\s]+)";
    if (spec.kind == Kind::kMetaspace) pattern = escape_for_regex(spec.replacement);
    if (spec.kind == Kind::kSplit && pattern.empty())
      return fail(ErrorCode::kCorrupt, "{}: a Split pre-tokenizer with an empty pattern", what);
    if (!pattern.empty()) {
      NIBBLE_TRY(step.splitter, Splitter::compile(pattern, what));
    }
    out.steps_.push_back(std::move(step));
  }
  out.ends_in_bytes_ = !out.steps_.empty() && out.steps_.back().spec.kind == Kind::kByteLevel;
  return out;
}

Status PreTokenizer::run(const Step& step, bool map_bytes, bool at_start, Pieces& pieces) {
  const PreTokenizerStep& spec = step.spec;
  if (spec.kind == Kind::kMetaspace) mark_spaces(spec, at_start, pieces);
  if (spec.kind == Kind::kByteLevel && spec.add_prefix_space)
    rewrite_pieces(pieces, [](std::string_view piece, bool, std::string& out) {
      if (piece.front() != ' ') out += ' ';
      out += piece;
    });
  const bool cuts = (spec.kind != Kind::kByteLevel || spec.use_regex) && (spec.kind != Kind::kMetaspace || spec.split);
  if (cuts) {
    const CutRule rule = cut_rule(spec);
    Pieces out;
    const bool removes = rule.behavior == Behavior::kRemoved;
    std::vector<TextSpan> matches;
    std::vector<Stretch> stretches;
    std::size_t begin = 0;
    for (std::size_t end : pieces.ends) {
      const std::string_view piece = std::string_view(pieces.text).substr(begin, end - begin);
      matches.clear();
      if (step.splitter) {
        NIBBLE_TRY_STATUS(step.splitter->find_all(piece, matches));
      } else if (spec.kind == Kind::kDigits) {
        match_characters(
            piece, [](char32_t c) { return has_bit(c, kNumber); }, matches);
      } else if (spec.kind == Kind::kPunctuation) {
        match_characters(piece, is_tokenizer_punctuation, matches);
      } else {
        match_characters(
            piece, [](char32_t c) { return has_bit(c, kSpace); }, matches);
      }
      stretches_of(piece.size(), matches, rule.invert, stretches);
      for (const TextSpan span : cut(stretches, rule.behavior)) {
        if (span.begin == span.end) continue;
        if (removes) {
          out.text.append(piece.substr(span.begin, span.end - span.begin));
          out.ends.push_back(out.text.size());
        } else {
          out.ends.push_back(begin + span.end);
        }
      }
      begin = end;
    }
    if (!removes) out.text = std::move(pieces.text);
    pieces = std::move(out);
  }
  if (spec.kind == Kind::kByteLevel && map_bytes)
    rewrite_pieces(pieces, [](std::string_view piece, bool, std::string& out) { out += to_byte_alphabet(piece); });
  return {};
}

Result<Pieces> PreTokenizer::apply(std::string text, bool at_start) const {
  Pieces pieces;
  if (text.empty()) return pieces;
  pieces.ends.push_back(text.size());
  pieces.text = std::move(text);
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const bool map_bytes = !(ends_in_bytes_ && i + 1 == steps_.size());
    NIBBLE_TRY_STATUS(run(steps_[i], map_bytes, at_start, pieces));
  }
  return pieces;
}

}  // namespace nibble
