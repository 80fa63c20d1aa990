// Texts under way as Python sees them.
#include <nanobind/stl/string.h>

#include <memory>

#include "handles.h"
#include "option_tables.h"

namespace nibble::python {

namespace nb = nanobind;

namespace {

constexpr int kLookMs = 50;  ///< signals wait at most so long

struct Bias {
  std::vector<std::int32_t> ids;
  std::vector<float> values;
};

/// Takes "logit_bias", a dict from token id to number, out of the options.
nb::dict without_bias(const nb::dict& options, Bias& bias) {
  nb::dict plain;
  for (const auto& [key, value] : options) {
    if (nb::cast<std::string>(key) != "logit_bias") {
      plain[key] = value;
    } else if (!value.is_none()) {
      for (const auto& [id, number] : nb::cast<nb::dict>(value)) {
        bias.ids.push_back(nb::cast<std::int32_t>(id));
        bias.values.push_back(nb::cast<float>(number));
      }
    }
  }
  return plain;
}

nb::tuple logprob_of(const nibble_logprob& from) {
  return nb::make_tuple(from.id, from.logprob, nb::bytes(from.bytes, from.length));
}

/// (text, ids, None or a list of (chosen, [likeliest ...])), where each token is (id, logprob, bytes).
nb::object python_event(const nibble_event& event) {
  nb::list ids;
  nb::list logprobs;
  bool has_logprobs = false;
  for (std::size_t i = 0; i < event.token_count; ++i) {
    const nibble_token& token = event.tokens[i];
    ids.append(token.id);
    if (token.has_logprob == 0) continue;
    has_logprobs = true;
    nb::list top;
    for (std::size_t t = 0; t < token.top_count; ++t) top.append(logprob_of(token.top[t]));
    logprobs.append(nb::make_tuple(logprob_of(token.chosen), top));
  }
  return nb::make_tuple(nb::str(event.text, event.length), ids, has_logprobs ? nb::object(logprobs) : nb::none());
}

const char* name_of(nibble_stop_reason reason) {
  switch (reason) {
    case NIBBLE_STOP_END:
      return "end";
    case NIBBLE_STOP_STRING:
      return "stop";
    case NIBBLE_STOP_MAX_TOKENS:
      return "max_tokens";
    case NIBBLE_STOP_CONTEXT_FULL:
      return "context_full";
    default:
      return "cancelled";
  }
}

}  // namespace

std::unique_ptr<StreamHandle> ModelHandle::start(const IdsIn& prompt, const nb::dict& options) const {
  nibble_generate_options generate;
  nibble_generate_options_init(&generate, sizeof(generate));
  FieldStrings strings;
  Bias bias;
  fill(&generate, kGenerateFields, without_bias(options, bias), strings);
  generate.bias_ids = bias.ids.data();
  generate.bias_values = bias.values.data();
  generate.bias_count = bias.ids.size();
  nibble_stream* stream = nullptr;
  Watch(nb::none()).run([&] { return nibble_stream_start(model_, prompt.data(), prompt.size(), &generate, &stream); });
  return std::make_unique<StreamHandle>(stream);
}

StreamHandle::~StreamHandle() {
  const nb::gil_scoped_release release;  // it may be the last that holds the model
  nibble_stream_free(stream_);
}

nb::object StreamHandle::next() {
  for (;;) {
    nibble_event event{};
    event.size = sizeof(event);
    std::unique_lock lock(reading_, std::defer_lock);
    nibble_status status = NIBBLE_OK;
    {
      const nb::gil_scoped_release release;
      lock.lock();
      if (!ended_) status = nibble_stream_next(stream_, kLookMs, &event);
    }
    if (ended_) return nb::none();
    if (status == NIBBLE_OK) {
      ended_ = event.done != 0;
      return python_event(event);
    }
    if (status != NIBBLE_TIMEOUT) ended_ = true;
    lock.unlock();
    if (status != NIBBLE_TIMEOUT) raise_unless_ok(status);
    check_signals();
  }
}

nb::dict StreamHandle::report() {
  nibble_report is{};
  is.size = sizeof(is);
  Watch(nb::none()).run([&] {
    const std::lock_guard lock(reading_);
    return nibble_stream_get_report(stream_, &is);
  });
  nb::dict out;
  out["reason"] = name_of(is.reason);
  out["prompt_tokens"] = is.prompt_tokens;
  out["cached_tokens"] = is.cached_tokens;
  out["generated_tokens"] = is.generated_tokens;
  out["queue_seconds"] = is.queue_seconds;
  out["prompt_seconds"] = is.prompt_seconds;
  out["decode_seconds"] = is.decode_seconds;
  return out;
}

}  // namespace nibble::python
