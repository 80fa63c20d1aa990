// Models as Python sees them.
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>

#include "handles.h"
#include "option_tables.h"

namespace nibble::python {

namespace nb = nanobind;

ModelHandle::~ModelHandle() {
  const nb::gil_scoped_release release;  // the engine ends its step first
  nibble_model_free(model_);
}

std::unique_ptr<ModelHandle> load_model(const std::string& path, const nb::dict& options, nb::object progress) {
  nibble_load_options load;
  nibble_load_options_init(&load, sizeof(load));
  FieldStrings strings;
  fill(&load, kLoadFields, options, strings);
  Watch watch(std::move(progress));
  load.progress = &Watch::on_progress;
  load.user = &watch;
  nibble_model* model = nullptr;
  watch.run([&] { return nibble_model_load(path.c_str(), &load, &model); });
  return std::make_unique<ModelHandle>(model);
}

IdsOut ModelHandle::tokenize(const std::string& text, bool add_special, bool parse_special) const {
  std::int32_t* ids = nullptr;
  std::size_t count = 0;
  Watch(nb::none()).run([&] {
    return nibble_tokenize(model_, text.data(), text.size(), add_special ? 1 : 0, parse_special ? 1 : 0, &ids, &count);
  });
  return taken_ids(ids, count);
}

nb::str ModelHandle::detokenize(const IdsIn& ids) const {
  char* text = nullptr;
  std::size_t length = 0;
  raise_unless_ok(nibble_detokenize(model_, ids.data(), ids.size(), &text, &length));
  const nb::object bytes = nb::bytes(text, length);
  nibble_free(text);
  return nb::str(bytes.attr("decode")("utf-8", "replace"));
}

IdsOut ModelHandle::chat_prompt(const std::string& messages) const {
  std::int32_t* ids = nullptr;
  std::size_t count = 0;
  Watch(nb::none()).run([&] { return nibble_chat_prompt(model_, messages.c_str(), &ids, &count); });
  return taken_ids(ids, count);
}

MatrixOut ModelHandle::embed(const IdsIn& ids, const std::vector<std::size_t>& lengths, bool normalize,
                             nb::object progress) const {
  std::size_t total = 0;
  for (const std::size_t length : lengths) total += length;
  if (total != ids.size()) throw nb::value_error("the lengths do not add up to the number of ids");
  Watch watch(std::move(progress));
  float* values = nullptr;
  std::size_t width = 0;
  watch.run([&] {
    return nibble_embed(model_, ids.data(), lengths.data(), lengths.size(), normalize ? 1 : 0, &Watch::on_progress,
                        &watch, &values, &width);
  });
  return taken_matrix(values, lengths.size(), width);
}

nb::str ModelHandle::evaluate(const nb::dict& options, nb::object progress) const {
  nibble_evaluate_options evaluate;
  nibble_evaluate_options_init(&evaluate, sizeof(evaluate));
  FieldStrings strings;
  std::string text;
  nb::dict plain;
  for (const auto& [key, value] : options) {
    if (nb::cast<std::string>(key) == "text") {
      text = nb::cast<std::string>(value);
    } else {
      plain[key] = value;
    }
  }
  fill(&evaluate, kEvaluateFields, plain, strings);
  evaluate.text = text.data();
  evaluate.text_length = text.size();
  Watch watch(std::move(progress));
  evaluate.progress = &Watch::on_progress;
  evaluate.user = &watch;
  char* json = nullptr;
  watch.run([&] { return nibble_evaluate(model_, &evaluate, &json); });
  return taken_text(json);
}

nb::dict ModelHandle::stats() const {
  nibble_model_stats is{};
  is.size = sizeof(is);
  raise_unless_ok(nibble_model_get_stats(model_, &is));
  nb::dict out;
  out["running"] = is.running;
  out["waiting"] = is.waiting;
  out["accepted"] = is.accepted;
  out["finished"] = is.finished;
  out["cancelled"] = is.cancelled;
  out["failed"] = is.failed;
  out["prompt_tokens"] = is.prompt_tokens;
  out["cached_tokens"] = is.cached_tokens;
  out["generated_tokens"] = is.generated_tokens;
  return out;
}

}  // namespace nibble::python
