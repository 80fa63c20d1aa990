// What stands behind the handles of the C interface.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "api/c_interface/status.h"
#include "nibble/engine.h"
#include "nibble/model.h"

namespace nibble::c {

/// A model and the engine that writes its texts, made with the first of them. Streams share it with the model's handle.
class SharedModel {
 public:
  SharedModel(std::shared_ptr<Model> model, const EngineOptions& options)
      : model_(std::move(model)), options_(options), architecture_(model_->architecture()) {}

  Model& model() const { return *model_; }
  const std::string& architecture() const { return architecture_; }
  Result<std::shared_ptr<Engine>> engine();
  /// Null before the first text.
  std::shared_ptr<Engine> engine_if_made();

 private:
  std::shared_ptr<Model> model_;
  EngineOptions options_;
  std::string architecture_;
  std::mutex mutex_;
  std::shared_ptr<Engine> engine_;
};

}  // namespace nibble::c

struct nibble_model {
  std::shared_ptr<nibble::c::SharedModel> shared;
};
