// Functions on files as Python sees them. Reports are JSON text, which nibble/_files.py reads.
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "handles.h"
#include "option_tables.h"

namespace nibble::python {

namespace nb = nanobind;

namespace {

nb::str quantize(const std::string& model, const std::string& out, const nb::dict& options, nb::object progress) {
  nibble_quantize_options quantize;
  nibble_quantize_options_init(&quantize, sizeof(quantize));
  FieldStrings strings;
  fill(&quantize, kQuantizeFields, options, strings);
  Watch watch(std::move(progress));
  quantize.progress = &Watch::on_progress;
  quantize.user = &watch;
  char* json = nullptr;
  watch.run([&] { return nibble_quantize(model.c_str(), out.c_str(), &quantize, &json); });
  return taken_text(json);
}

nb::str convert(const std::string& model, const std::string& out, const nb::dict& options, nb::object progress) {
  nibble_convert_options convert;
  nibble_convert_options_init(&convert, sizeof(convert));
  FieldStrings strings;
  fill(&convert, kConvertFields, options, strings);
  Watch watch(std::move(progress));
  convert.progress = &Watch::on_progress;
  convert.user = &watch;
  char* json = nullptr;
  watch.run([&] { return nibble_convert(model.c_str(), out.c_str(), &convert, &json); });
  return taken_text(json);
}

nb::str evaluate_files(const std::string& model, const std::string& baseline, const nb::dict& options,
                       const nb::dict& load_options, nb::object progress) {
  nibble_evaluate_options evaluate;
  nibble_evaluate_options_init(&evaluate, sizeof(evaluate));
  nibble_load_options load;
  nibble_load_options_init(&load, sizeof(load));
  FieldStrings strings;
  fill(&evaluate, kEvaluateFields, options, strings);
  fill(&load, kLoadFields, load_options, strings);
  Watch watch(std::move(progress));
  load.progress = evaluate.progress = &Watch::on_progress;
  load.user = evaluate.user = &watch;
  char* json = nullptr;
  watch.run([&] { return nibble_evaluate_files(model.c_str(), baseline.c_str(), &evaluate, &load, &json); });
  return taken_text(json);
}

void copy_model(const std::string& model, const std::string& out, nb::object progress) {
  Watch watch(std::move(progress));
  watch.run([&] { return nibble_copy_model(model.c_str(), out.c_str(), &Watch::on_progress, &watch); });
}

nb::str pull(const std::string& model, const std::vector<std::string>& patterns, nb::object progress) {
  std::vector<const char*> list;
  for (const std::string& pattern : patterns) list.push_back(pattern.c_str());
  Watch watch(std::move(progress));
  char* path = nullptr;
  watch.run([&] { return nibble_pull(model.c_str(), list.data(), list.size(), &Watch::on_progress, &watch, &path); });
  return taken_text(path);
}

nb::str inspect(const std::string& model) {
  char* json = nullptr;
  Watch(nb::none()).run([&] { return nibble_inspect(model.c_str(), &json); });
  return taken_text(json);
}

nb::str machine_info() {
  char* json = nullptr;
  Watch(nb::none()).run([&] { return nibble_machine_info(&json); });
  return taken_text(json);
}

}  // namespace

void add_file_functions(nb::module_& module) {
  using nb::arg;
  module.def("quantize", &quantize, arg("model"), arg("out"), arg("options"), arg("progress").none());
  module.def("convert", &convert, arg("model"), arg("out"), arg("options"), arg("progress").none());
  module.def("evaluate_files", &evaluate_files, arg("model"), arg("baseline"), arg("options"), arg("load_options"),
             arg("progress").none());
  module.def("copy_model", &copy_model, arg("model"), arg("out"), arg("progress").none());
  module.def("pull", &pull, arg("model"), arg("patterns"), arg("progress").none());
  module.def("inspect", &inspect, arg("model"));
  module.def("machine_info", &machine_info);
}

}  // namespace nibble::python
