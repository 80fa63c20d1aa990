// The handles of the C interface as Python objects.
#pragma once

#include <nanobind/nanobind.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "arrays.h"
#include "calls.h"
#include "nibble/nibble.h"

namespace nibble::python {

class ModelHandle;

/// A text under way. Ends when it is destroyed.
class StreamHandle {
 public:
  explicit StreamHandle(nibble_stream* stream) : stream_(stream) {}
  ~StreamHandle();
  StreamHandle(const StreamHandle&) = delete;
  StreamHandle& operator=(const StreamHandle&) = delete;

  /// (text, ids, logprobs or None) of the next event; None after the last. Runs signal handlers while it waits.
  nanobind::object next();
  void cancel() { nibble_stream_cancel(stream_); }
  nanobind::dict report();

 private:
  nibble_stream* stream_;
  std::mutex reading_;  ///< several Python threads may read; each event goes to one of them
  bool ended_ = false;
};

class ModelHandle {
 public:
  explicit ModelHandle(nibble_model* model) : model_(model) {}
  ~ModelHandle();
  ModelHandle(const ModelHandle&) = delete;
  ModelHandle& operator=(const ModelHandle&) = delete;

  nibble_model* get() const { return model_; }
  IdsOut tokenize(const std::string& text, bool add_special, bool parse_special) const;
  nanobind::str detokenize(const IdsIn& ids) const;
  IdsOut chat_prompt(const std::string& messages) const;
  std::unique_ptr<StreamHandle> start(const IdsIn& prompt, const nanobind::dict& options) const;
  MatrixOut embed(const IdsIn& ids, const std::vector<std::size_t>& lengths, bool normalize,
                  nanobind::object progress) const;
  nanobind::str evaluate(const nanobind::dict& options, nanobind::object progress) const;
  nanobind::dict stats() const;

 private:
  nibble_model* model_;
};

std::unique_ptr<ModelHandle> load_model(const std::string& path, const nanobind::dict& options,
                                        nanobind::object progress);

/// Adds the functions that work on files to the module.
void add_file_functions(nanobind::module_& module);

}  // namespace nibble::python
