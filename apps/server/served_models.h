// The models that a server answers for, each with its engine. They load one after the other, in the background.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "nibble/chat.h"
#include "nibble/engine.h"
#include "nibble/model.h"

namespace nibble::server {

struct ServedModel {
  std::string id;    ///< its name in requests and answers
  std::string path;  ///< as it was given
  std::shared_ptr<Model> model;
  std::shared_ptr<Chat> chat;
  std::shared_ptr<Engine> engine;
  std::int64_t loaded_at = 0;  ///< seconds since 1970
};

struct ModelSource {
  std::string id;
  std::string path;
};

/// How a source becomes a model; what tests and measurements put something else in place of.
/// `stop` turns true when nobody waits for it any more.
using ModelLoader = std::function<Result<ServedModel>(const ModelSource&, const std::atomic<bool>& stop)>;

class ServedModels {
 public:
  ServedModels(std::vector<ModelSource> sources, ModelLoader loader);
  ~ServedModels();

  /// Begins to load; `done` is called on the loading thread with the first error, or when all are there.
  void load(std::function<void(Status)> done);
  bool is_loaded() const { return loaded_.load(std::memory_order_acquire); }
  const std::vector<ModelSource>& sources() const { return sources_; }

  /// Once loaded: the model of that name; with one model, or no name, the first. Null when there is none.
  const ServedModel* find(std::string_view id) const;
  const std::vector<ServedModel>& all() const { return models_; }

  /// No new requests; waits for those under way at most so many seconds. Whether there are none.
  bool drain(double seconds);
  /// Gives up loading.
  void stop_loading();
  /// Cancels the requests under way. Not while models load.
  void shutdown();

 private:
  std::vector<ModelSource> sources_;
  ModelLoader loader_;
  std::vector<ServedModel> models_;
  std::atomic<bool> loaded_ = false;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

/// The last part of a path, without ".gguf"; ORG/NAME of hf:ORG/NAME.
std::string model_name(const std::string& path);

}  // namespace nibble::server
