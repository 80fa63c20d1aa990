// Numbers between bounds, digit by digit.
#include <algorithm>
#include <cmath>
#include <string>

#include "text/grammar/json_grammar.h"

namespace nibble {
namespace {

using Expression = JsonGrammar::Expression;

constexpr std::size_t kMaxFractionDigits = 10;
constexpr std::uint64_t kMaxWhole = 999'999'999'999'999;  // 15 digits: a double holds them exactly

/// Makes digits between two texts of digits.
class DigitRanges {
 public:
  explicit DigitRanges(GrammarBuilder& builder) : builder_(builder) {}

  /// The numbers from `low` to `high`, which have the same number of digits.
  Expression same_length(std::string_view low, std::string_view high) {
    if (low.empty()) return builder_.empty();
    const std::size_t rest = low.size() - 1;
    const bool from_zeros = low.find_first_not_of('0', 1) == std::string_view::npos;
    const bool to_nines = high.find_first_not_of('9', 1) == std::string_view::npos;
    if (from_zeros && to_nines) return then_any(low[0], high[0], rest);
    if (low[0] == high[0])
      return builder_.sequence({digit(low[0], low[0]), same_length(low.substr(1), high.substr(1))});
    const std::string nines(rest, '9');
    const std::string zeros(rest, '0');
    std::vector<Expression> choices;
    char first = low[0];
    char last = high[0];
    if (!from_zeros) {
      choices.push_back(builder_.sequence({digit(first, first), same_length(low.substr(1), nines)}));
      ++first;
    }
    if (!to_nines) {
      choices.push_back(builder_.sequence({digit(last, last), same_length(zeros, high.substr(1))}));
      --last;
    }
    if (first <= last) choices.push_back(then_any(first, last, rest));
    return builder_.choice(std::move(choices));
  }

  /// The whole numbers from `low` to `high`, without leading zeros.
  Expression whole(std::uint64_t low, std::uint64_t high) {
    std::vector<Expression> choices;
    while (low <= high) {
      const std::string first = std::to_string(low);
      const std::string longest = std::string(first.size(), '9');
      const std::string last = std::to_string(high);
      const bool is_last = last.size() == first.size();
      choices.push_back(same_length(first, is_last ? last : longest));
      if (is_last) break;
      low = std::stoull(longest) + 1;
    }
    return builder_.choice(std::move(choices));
  }

  /// What may follow a whole number: nothing, or a point and digits that as a fraction are between the digits `low` and
  /// `high`, each absent where there is no bound; `above` and `below` leave out the bounds themselves.
  Expression fraction(std::optional<std::string_view> low, std::optional<std::string_view> high, bool above,
                      bool below) {
    const Expression tail = fraction_digits(low, high, above, below, kMaxFractionDigits, true);
    std::vector<Expression> choices = {builder_.sequence({builder_.text("."), tail})};
    if (ends_within(low, high, above, below)) choices.push_back(builder_.empty());
    return builder_.choice(std::move(choices));
  }

 private:
  Expression digit(char low, char high) {
    return builder_.bytes(static_cast<std::uint8_t>(low), static_cast<std::uint8_t>(high));
  }
  Expression then_any(char low, char high, std::size_t more) {
    return builder_.sequence({digit(low, high), builder_.repeat(builder_.bytes('0', '9'), more, more)});
  }

  /// Whether a fraction that ends where these digits are still to come (so zeros) is within the bounds.
  static bool ends_within(std::optional<std::string_view> low, std::optional<std::string_view> high, bool above,
                          bool below) {
    const auto is_zero = [](std::string_view digits) {
      return digits.find_first_not_of('0') == std::string_view::npos;
    };
    if (low && (!is_zero(*low) || above)) return false;
    return !high || !is_zero(*high) || !below;
  }

  Expression fraction_digits(std::optional<std::string_view> low, std::optional<std::string_view> high, bool above,
                             bool below, std::size_t left, bool need_one) {
    if (!low && !high) return builder_.repeat(builder_.bytes('0', '9'), need_one ? 1 : 0, left);
    std::vector<Expression> choices;
    if (!need_one && ends_within(low, high, above, below)) choices.push_back(builder_.empty());
    if (left > 0) {
      const auto first = [](std::string_view digits) { return digits.empty() ? '0' : digits[0]; };
      const auto rest = [](std::string_view digits) { return digits.empty() ? digits : digits.substr(1); };
      const char at_least = low ? first(*low) : '0';
      const char at_most = high ? first(*high) : '9';
      for (char c = at_least; c <= at_most; ++c) {
        const auto next_low = low && c == at_least ? std::optional(rest(*low)) : std::nullopt;
        const auto next_high = high && c == at_most ? std::optional(rest(*high)) : std::nullopt;
        choices.push_back(
            builder_.sequence({digit(c, c), fraction_digits(next_low, next_high, above, below, left - 1, false)}));
      }
    }
    return builder_.choice(std::move(choices));
  }

  GrammarBuilder& builder_;
};

/// A number without its sign: whole part, digits of the fraction.
struct Decimal {
  std::uint64_t whole = 0;
  std::string fraction;
};

std::optional<Decimal> decimal_of(double magnitude) {
  const std::string text = fmt::format("{}", magnitude);
  if (text.find_first_not_of("0123456789.") != std::string::npos) return std::nullopt;
  const std::size_t point = text.find('.');
  Decimal out;
  if (point == std::string::npos ? text.size() > 15 : point > 15) return std::nullopt;
  out.whole = std::stoull(text.substr(0, point));
  if (point != std::string::npos) out.fraction = text.substr(point + 1);
  if (out.fraction == "0") out.fraction.clear();
  if (out.whole > kMaxWhole || out.fraction.size() > kMaxFractionDigits) return std::nullopt;
  return out;
}

/// The numbers from `low` to `high` without sign; both are at least zero, `high` may be absent.
Expression magnitudes(GrammarBuilder& builder, const Decimal& low, bool above, const std::optional<Decimal>& high,
                      bool below) {
  DigitRanges ranges(builder);
  const auto one = [&](std::uint64_t whole, std::optional<std::string_view> from, std::optional<std::string_view> to) {
    return builder.sequence({builder.text(std::to_string(whole)), ranges.fraction(from, to, above, below)});
  };
  if (high && high->whole == low.whole) return one(low.whole, low.fraction, high->fraction);
  std::vector<Expression> choices = {one(low.whole, low.fraction, std::nullopt)};
  if (high) choices.push_back(one(high->whole, std::nullopt, high->fraction));
  const std::uint64_t last = high ? high->whole - 1 : kMaxWhole;
  if (low.whole + 1 <= last)
    choices.push_back(builder.sequence({ranges.whole(low.whole + 1, last), ranges.fraction({}, {}, false, false)}));
  return builder.choice(std::move(choices));
}

}  // namespace

Expression JsonGrammar::integer(std::int64_t min, std::int64_t max) {
  DigitRanges ranges(builder_);
  std::vector<Expression> choices;
  // Magnitudes as unsigned numbers: that of INT64_MIN is no int64.
  const auto magnitude = [](std::int64_t value) { return std::uint64_t{0} - static_cast<std::uint64_t>(value); };
  if (min < 0 && min <= max)
    choices.push_back(builder_.sequence({literal("-"), ranges.whole(max < 0 ? magnitude(max) : 1, magnitude(min))}));
  if (max >= 0 && min <= max)
    choices.push_back(
        ranges.whole(static_cast<std::uint64_t>(std::max<std::int64_t>(min, 0)), static_cast<std::uint64_t>(max)));
  return builder_.choice(std::move(choices));
}

std::optional<Expression> JsonGrammar::number(const std::optional<double>& min, const std::optional<double>& max,
                                              bool above_min, bool below_max) {
  std::optional<Decimal> low;
  std::optional<Decimal> high;
  if (min && !(low = decimal_of(std::fabs(*min)))) return std::nullopt;
  if (max && !(high = decimal_of(std::fabs(*max)))) return std::nullopt;
  if (min && max && (*min > *max || (*min == *max && (above_min || below_max)))) return builder_.nothing();
  std::vector<Expression> choices;
  if (!max || *max > 0 || (*max == 0 && !below_max)) {  // zero and above
    const bool from_zero = !min || *min < 0;
    choices.push_back(magnitudes(builder_, from_zero ? Decimal{} : *low, !from_zero && above_min, high, below_max));
  }
  if (!min || *min < 0) {  // below zero, without "-0"
    const bool to_zero = !max || *max >= 0;
    choices.push_back(builder_.sequence(
        {literal("-"), magnitudes(builder_, to_zero ? Decimal{} : *high, to_zero || below_max, low, above_min)}));
  }
  return builder_.choice(std::move(choices));
}

}  // namespace nibble
