#include "text/template/chat_template.h"

#include <algorithm>

#include "text/template/evaluator.h"

namespace nibble {
namespace {

std::tm local_time() {
  const std::time_t seconds = std::time(nullptr);
  std::tm time{};
  localtime_r(&seconds, &time);
  return time;
}

}  // namespace

Result<ChatTemplate> ChatTemplate::parse(std::string_view source, std::string name, const TemplateLimits& limits) {
  if (source.size() > limits.max_source_bytes) {
    return fail(ErrorCode::kUnsupported, "{}: the template has {} bytes, at most {} are allowed", name, source.size(),
                limits.max_source_bytes);
  }
  NIBBLE_TRY(auto tree, jinja::parse_template(source, std::move(name), limits.max_nesting));
  return ChatTemplate(std::shared_ptr<const jinja::SyntaxTree>(std::move(tree)));
}

Result<std::string> ChatTemplate::render(const Json& variables, const RenderLimits& limits,
                                         const std::optional<std::tm>& now) const {
  // The runtime outlives the evaluator, whose values live on the runtime's heap.
  jinja::Runtime runtime(limits, now ? *now : local_time());
  return jinja::Evaluator(*tree_, runtime).run(variables);
}

Result<std::string> ChatTemplate::render_chat(const Json& messages, const ChatOptions& options) const {
  if (!messages.is_array())
    return fail(ErrorCode::kInvalidArgument, "{}: the messages must be a list", tree_->template_name);
  Json variables = Json::object();
  variables["messages"] = messages;
  variables["tools"] = options.tools;
  variables["documents"] = options.documents;
  variables["add_generation_prompt"] = options.add_generation_prompt;
  if (options.bos_token) variables["bos_token"] = *options.bos_token;
  if (options.eos_token) variables["eos_token"] = *options.eos_token;
  if (options.extra.is_object()) variables.update(options.extra);
  return render(variables, options.limits, options.now);
}

bool ChatTemplate::mentions(std::string_view variable) const {
  return std::find(tree_->names.begin(), tree_->names.end(), variable) != tree_->names.end();
}

}  // namespace nibble
