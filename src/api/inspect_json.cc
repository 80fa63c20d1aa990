// nibble/inspect.h as JSON; docs/cli.md lists the fields.
#include "base/json.h"
#include "nibble/inspect.h"

namespace nibble {
namespace {

/// Names in a file may be no UTF-8.
std::string text_of(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace); }

}  // namespace

std::string to_json(const Inspection& i) {
  Json json = {{"path", i.path},
               {"container", i.container},
               {"family", i.family},
               {"architecture", i.architecture},
               {"runnable", i.runnable},
               {"parameters", i.parameters},
               {"bits_per_weight", i.bits_per_weight},
               {"file_bytes", i.file_bytes},
               {"context", i.context},
               {"memory_to_run", i.memory_to_run}};
  if (!i.runnable) json["why_not"] = i.why_not;
  Json notes = Json::object();
  for (const auto& [key, value] : i.notes) notes[key] = value;
  json["notes"] = notes;
  Json tensors = Json::array();
  for (const InspectedTensor& t : i.tensors)
    tensors.push_back({{"name", t.name}, {"shape", t.shape}, {"scheme", t.scheme}, {"bytes", t.bytes}});
  json["tensors"] = tensors;
  return text_of(json);
}

std::string to_json(const MachineInfo& m) {
  Json kernels = Json::array();
  for (const KernelChoice& k : m.kernels) {
    Json passed = Json::array();
    for (const auto& [name, reason] : k.passed_over) passed.push_back({{"kernel", name}, {"reason", reason}});
    kernels.push_back(
        {{"operation", k.operation}, {"format", k.format}, {"kernel", k.chosen}, {"passed_over", passed}});
  }
  return text_of({{"version", m.version},
                  {"processor", m.processor},
                  {"features", m.features},
                  {"used_features", m.used_features},
                  {"threads", m.threads},
                  {"kernels", kernels}});
}

}  // namespace nibble
