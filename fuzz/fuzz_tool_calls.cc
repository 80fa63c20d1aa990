// A model's text, cut by its own bytes: whatever the cuts, the answer is the same, and nothing is lost where no call
// is.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.h"
#include "text/tool_calls/tool_call_parser.h"
#include "tokenizer_uses.h"

namespace {

using namespace nibble;

bool same(const ToolCallAnswer& a, const ToolCallAnswer& b) {
  if (a.content != b.content || a.calls.size() != b.calls.size()) return false;
  for (std::size_t i = 0; i < a.calls.size(); ++i)
    if (a.calls[i].name != b.calls[i].name || a.calls[i].arguments != b.calls[i].arguments ||
        a.calls[i].complete != b.calls[i].complete || a.calls[i].id != b.calls[i].id)
      return false;
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const ToolCallStyle style = data[0] % 2 == 0 ? ToolCallStyle::kHermes : ToolCallStyle::kLlama3;
  const std::size_t stride = 1 + data[0] / 2 % 9;
  const ToolCallParserOptions options{{"f", "get_weather"}, "call_"};
  const ToolCallAnswer whole = parse_tool_calls(text, style, options);
  ToolCallParser parser(style, options);
  ToolCallAnswer joined;
  for (std::size_t at = 0; at < text.size(); at += stride) add_events(parser.feed(text.substr(at, stride)), joined);
  add_events(parser.finish(), joined);
  require(same(whole, joined));
  if (whole.calls.empty()) require(whole.content == text);
  return 0;
}
