#include "text/template/splitting.h"

#include <algorithm>

#include "text/template/python_text.h"

namespace nibble::jinja {
namespace {

/// Collects strings of a list and counts them against the limits as it goes.
class PieceList {
 public:
  explicit PieceList(Runtime& runtime) : runtime_(runtime) {}

  Status add(std::string_view piece) {
    NIBBLE_TRY(Value value, runtime_.string(piece));
    pieces_.push_back(std::move(value));
    return {};
  }
  Result<Value> finish(bool reversed) {
    if (reversed) std::reverse(pieces_.begin(), pieces_.end());
    return runtime_.list(std::move(pieces_));
  }

 private:
  Runtime& runtime_;
  std::vector<Value> pieces_;
};

Result<Value> split_words(Runtime& runtime, std::string_view text, std::int64_t limit, bool from_right) {
  PieceList pieces(runtime);
  while (true) {
    text = strip(text, !from_right, from_right);
    if (text.empty()) return pieces.finish(from_right);
    if (limit-- <= 0) {
      NIBBLE_TRY_STATUS(pieces.add(text));
      return pieces.finish(from_right);
    }
    std::size_t edge = from_right ? text.size() : 0;
    while (from_right ? edge > 0 : edge < text.size()) {
      std::size_t beyond = edge;
      if (is_space(from_right ? previous_code_point(text, beyond) : next_code_point(text, beyond))) break;
      edge = beyond;
    }
    NIBBLE_TRY_STATUS(pieces.add(from_right ? text.substr(edge) : text.substr(0, edge)));
    text = from_right ? text.substr(0, edge) : text.substr(edge);
  }
}

}  // namespace

Result<Value> split_text(Runtime& runtime, std::string_view text, std::optional<std::string_view> separator,
                         std::int64_t limit, bool from_right) {
  NIBBLE_TRY_STATUS(runtime.work_bytes(text.size() * 2));
  if (!separator) return split_words(runtime, text, limit, from_right);
  if (separator->empty()) return fail(ErrorCode::kInvalidArgument, "empty separator");
  PieceList pieces(runtime);
  while (limit-- > 0) {
    // Each search reads up to the next separator only, except the last, so that all together read the text once. A
    // long separator costs its own length every time.
    NIBBLE_TRY_STATUS(runtime.work_bytes(separator->size() * 4));
    const std::size_t at = from_right ? rfind_text(text, *separator, text.size()) : find_text(text, *separator, 0);
    if (at == text.npos) break;
    NIBBLE_TRY_STATUS(pieces.add(from_right ? text.substr(at + separator->size()) : text.substr(0, at)));
    text = from_right ? text.substr(0, at) : text.substr(at + separator->size());
    if (from_right && separator->size() > 64) NIBBLE_TRY_STATUS(runtime.work_bytes(text.size()));  // it copies the text
  }
  NIBBLE_TRY_STATUS(pieces.add(text));
  return pieces.finish(from_right);
}

Result<Value> split_lines(Runtime& runtime, std::string_view text, bool keep_ends) {
  NIBBLE_TRY_STATUS(runtime.work_bytes(text.size() * 2));
  PieceList pieces(runtime);
  for (std::size_t start = 0; start < text.size();) {
    std::size_t next = 0;
    const std::size_t end = line_end(text, start, next);
    NIBBLE_TRY_STATUS(pieces.add(text.substr(start, (keep_ends ? next : end) - start)));
    start = next;
  }
  return pieces.finish(false);
}

Result<std::size_t> count_text(Runtime& runtime, std::string_view text, std::string_view wanted) {
  NIBBLE_TRY_STATUS(runtime.work_bytes(text.size() * 2));
  std::size_t count = 0;
  std::size_t position = 0;
  while (true) {
    NIBBLE_TRY_STATUS(runtime.work_bytes(wanted.size() * 4));
    position = find_text(text, wanted, position);
    if (position == text.npos) return count;
    ++count;
    position += wanted.size();
  }
}

Result<Value> replace_text(Runtime& runtime, std::string_view text, std::string_view from, std::string_view to,
                           std::int64_t limit) {
  NIBBLE_TRY_STATUS(runtime.work_bytes(text.size() * 2));
  TextBuilder out(runtime);
  std::size_t position = 0;
  while (limit-- > 0 && !out.overflowed()) {
    if (from.empty()) {
      out.append(to);
      if (position == text.size()) return out.finish();
      const std::size_t bytes = code_point_bytes(text[position]);
      out.append(text.substr(position, bytes));
      position += bytes;
      continue;
    }
    NIBBLE_TRY_STATUS(runtime.work_bytes(from.size() * 4 + to.size()));
    const std::size_t at = find_text(text, from, position);
    if (at == text.npos) break;
    out.append(text.substr(position, at - position));
    out.append(to);
    position = at + from.size();
  }
  out.append(text.substr(position));
  return out.finish();
}

Result<Value> justify_text(Runtime& runtime, const Value& text, std::int64_t width, std::string_view fill, int side) {
  const auto length = static_cast<std::int64_t>(text.string().length);
  if (width <= length) return text;
  const std::int64_t blanks = width - length;
  // As CPython: the odd blank goes left when the width is odd.
  const std::int64_t left = side < 0 ? 0 : (side > 0 ? blanks : blanks / 2 + (blanks & width & 1));
  TextBuilder out(runtime);
  out.append(static_cast<std::size_t>(left), fill);
  out.append(text.text());
  out.append(static_cast<std::size_t>(blanks - left), fill);
  return out.finish();
}

}  // namespace nibble::jinja
