// nibble._nibble: what the package nibble is written on, not for others. The package has the documentation.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include "handles.h"

namespace nibble::python {

namespace nb = nanobind;

NB_MODULE(_nibble, module) {
  // A program that ends with a model in a global variable is not in error.
  nb::set_leak_warnings(false);
  module.def("version", &nibble_version);
  add_file_functions(module);

  nb::class_<StreamHandle>(module, "Stream")
      .def("next", &StreamHandle::next)
      .def("cancel", &StreamHandle::cancel)
      .def("report", &StreamHandle::report);

  nb::class_<ModelHandle>(module, "Model")
      .def_static("load", &load_model, nb::arg("path"), nb::arg("options"), nb::arg("progress").none())
      .def("tokenize", &ModelHandle::tokenize, nb::arg("text"), nb::arg("add_special"), nb::arg("parse_special"))
      .def("detokenize", &ModelHandle::detokenize, nb::arg("ids"))
      .def("chat_prompt", &ModelHandle::chat_prompt, nb::arg("messages"))
      .def("start", &ModelHandle::start, nb::arg("prompt"), nb::arg("options"))
      .def("embed", &ModelHandle::embed, nb::arg("ids"), nb::arg("lengths"), nb::arg("normalize"),
           nb::arg("progress").none())
      .def("evaluate", &ModelHandle::evaluate, nb::arg("options"), nb::arg("progress").none())
      .def("stats", &ModelHandle::stats)
      .def_prop_ro("architecture", [](const ModelHandle& m) { return nibble_model_architecture(m.get()); })
      .def_prop_ro("context", [](const ModelHandle& m) { return nibble_model_context(m.get()); })
      .def_prop_ro("vocab_size", [](const ModelHandle& m) { return nibble_model_vocab_size(m.get()); })
      .def_prop_ro("packed_bytes", [](const ModelHandle& m) { return nibble_model_packed_bytes(m.get()); })
      .def_prop_ro("has_chat_template",
                   [](const ModelHandle& m) { return nibble_model_has_chat_template(m.get()) != 0; });
}

}  // namespace nibble::python
