#include "calls.h"

namespace nibble::python {

namespace nb = nanobind;

void raise_unless_ok(nibble_status status) {
  if (status == NIBBLE_OK) return;
  const nb::object error =
      nb::module_::import_("nibble._errors").attr("error_of")(nibble_status_name(status), nibble_last_error());
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
  throw nb::python_error();
}

void check_signals() {
  if (PyErr_CheckSignals() != 0) throw nb::python_error();
}

bool Watch::look(const char* what, std::uint64_t done, std::uint64_t total, const char* unit) {
  const nb::gil_scoped_acquire acquire;
  try {
    check_signals();
    if (progress_.is_none()) return true;
    return !progress_(what, done, total, unit).is(Py_False);
  } catch (...) {
    error_ = std::current_exception();
    return false;
  }
}

int Watch::on_progress(void* user, const char* what, std::uint64_t done, std::uint64_t total, const char* unit) {
  auto& watch = *static_cast<Watch*>(user);
  if (watch.error_) return 1;
  constexpr auto kPause = std::chrono::milliseconds(30);  // taking the GIL waits for other threads
  const auto now = std::chrono::steady_clock::now();
  if (now - watch.last_look_ < kPause && done < total && watch.last_what_ == what) return 0;
  watch.last_look_ = now;
  watch.last_what_ = what;
  return watch.look(what, done, total, unit) ? 0 : 1;
}

nb::str taken_text(char* text) {
  struct Release {
    char* memory;
    ~Release() { nibble_free(memory); }
  } const release{text};
  return nb::str(text);
}

}  // namespace nibble::python
