// Parses the input as a chat template and renders it with a fixed conversation and tight limits.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "text/template/chat_template.h"

namespace {

nibble::Json conversation() {
  return nibble::Json::parse(R"([
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Grüße \u4e16\ud83c\udf0d <b>'\""},
    {"role": "assistant", "content": null, "tool_calls": [
      {"type": "function", "function": {"name": "f", "arguments": {"x": 1, "y": [1.5, null, true]}}}]},
    {"role": "tool", "content": [{"type": "text", "text": " 42\n\n"}]}
  ])");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const nibble::Json messages = conversation();
  static const nibble::ChatOptions options = [] {
    nibble::ChatOptions made;
    made.add_generation_prompt = true;
    made.tools = nibble::Json::parse(R"([{"type": "function", "function": {"name": "f", "parameters": {}}}])");
    made.bos_token = "<s>";
    made.eos_token = "</s>";
    made.extra = nibble::Json::parse(R"({"n": 3, "r": 2.5, "t": "Hello, World", "d": {"b": 1, "a": [2]}})");
    made.now = std::tm{};
    made.limits.max_steps = 20000;
    made.limits.max_output_bytes = 1 << 16;
    made.limits.max_memory_bytes = 1 << 20;
    made.limits.max_depth = 200;
    return made;
  }();
  const auto parsed = nibble::ChatTemplate::parse({reinterpret_cast<const char*>(data), size}, "fuzz");
  if (parsed.ok()) static_cast<void>(parsed->render_chat(messages, options));
  return 0;
}
