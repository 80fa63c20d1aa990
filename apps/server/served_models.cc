#include "served_models.h"

#include <algorithm>
#include <chrono>

namespace nibble::server {

ServedModels::ServedModels(std::vector<ModelSource> sources, ModelLoader loader)
    : sources_(std::move(sources)), loader_(std::move(loader)) {}

ServedModels::~ServedModels() { stop_loading(); }

void ServedModels::stop_loading() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
}

void ServedModels::load(std::function<void(Status)> done) {
  thread_ = std::thread([this, done = std::move(done)] {
    for (const ModelSource& source : sources_) {
      if (stop_) return;
      Result<ServedModel> model = loader_(source, stop_);
      if (!model.ok()) return done(model.error());
      models_.push_back(std::move(*model));
    }
    loaded_.store(true, std::memory_order_release);
    done({});
  });
}

const ServedModel* ServedModels::find(std::string_view id) const {
  if (!is_loaded() || models_.empty()) return nullptr;
  if (models_.size() == 1 || id.empty()) return &models_.front();
  const auto found = std::find_if(models_.begin(), models_.end(), [&](const ServedModel& m) { return m.id == id; });
  return found == models_.end() ? nullptr : &*found;
}

bool ServedModels::drain(double seconds) {
  if (!is_loaded()) return true;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  bool idle = true;
  for (const ServedModel& model : models_) {
    const std::chrono::duration<double> left = deadline - std::chrono::steady_clock::now();
    idle = model.engine->drain(std::max(left.count(), 0.0)) && idle;
  }
  return idle;
}

void ServedModels::shutdown() {
  for (const ServedModel& model : models_) model.engine->shutdown();
}

std::string model_name(const std::string& path) {
  if (path.rfind("hf:", 0) == 0) return path.substr(3, path.find('@') - 3);
  std::string name = path;
  while (name.size() > 1 && name.back() == '/') name.pop_back();
  name = name.substr(name.rfind('/') + 1);
  if (name.size() > 5 && name.compare(name.size() - 5, 5, ".gguf") == 0) name.resize(name.size() - 5);
  return name.empty() || name == "." || name == ".." ? "model" : name;
}

}  // namespace nibble::server
