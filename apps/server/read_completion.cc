// Bodies of /v1/completions.
#include <ctime>

#include "requests.h"

namespace nibble::server {
namespace {

constexpr int kMaxLogprobs = 20;
constexpr std::int64_t kDefaultTokens = 16;  // OpenAI's

}  // namespace

std::optional<ApiError> read_completion(const Json& body, const ServedModel& model, const RequestDefaults& defaults,
                                        GenerationJob& job) {
  RequestFields fields(body);
  job.model = &model;
  job.text = read_text_fields(fields);
  job.options = read_sampling(fields, defaults.generate, model.model->vocab_size());
  job.options.max_tokens = kDefaultTokens;
  for (const char* name : {"n_predict", "max_tokens"})  // llama-server's, OpenAI's
    if (const auto max = read_max_tokens(fields, name)) job.options.max_tokens = *max;
  if (const auto logprobs = fields.integer("logprobs", 0, kMaxLogprobs)) job.logprobs = static_cast<int>(*logprobs);
  const bool echo = fields.boolean("echo").value_or(false);
  if (echo && job.logprobs >= 0) fields.fail("echo", "there are no log probabilities of prompts; leave out logprobs");
  if (const auto suffix = fields.string("suffix"); suffix && !suffix->empty())
    fields.fail("suffix", "text before a suffix is not supported");
  if (const auto best_of = fields.integer("best_of", 1, kMaxAnswers); best_of && *best_of != job.text.n)
    fields.fail("best_of", "only as many as n are supported");
  if (fields.error()) return fields.error();
  job.prompts = read_prompts(fields, "prompt", kMaxAnswers, model, echo);
  if (!fields.error() && std::ssize(job.prompts) * job.text.n > kMaxAnswers)
    fields.fail("n", "too many answers: prompts x n is at most " + std::to_string(kMaxAnswers));
  if (!fields.error()) limit_logprobs(fields, defaults, job);
  if (!fields.error()) job.constraint = read_constraint(fields, model);
  if (fields.error()) return fields.error();
  job.format = completion_format(
      {new_id("cmpl-"), std::time(nullptr), model.id, job.text.include_usage, job.logprobs >= 0}, echo);
  return {};
}

}  // namespace nibble::server
