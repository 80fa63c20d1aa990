// What a rendering has used up so far, and the makers of values, which refuse what exceeds the limits.
#pragma once

#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "text/template/render_limits.h"
#include "text/template/value.h"

namespace nibble::jinja {

class Runtime {
 public:
  Runtime(const RenderLimits& limits, const std::tm& clock) : limits_(limits), clock_(clock) {}

  const RenderLimits& limits() const { return limits_; }
  /// What strftime_now() prints.
  const std::tm& clock() const { return clock_; }

  /// Counts evaluation steps. Fails when they run out.
  Status work(std::size_t steps);
  /// Counts the reading or writing of `bytes`.
  Status work_bytes(std::size_t bytes) { return work(bytes / 64); }
  /// Opens one level of evaluation; DepthGuard closes it.
  Status enter();
  void leave() { --depth_; }
  /// Fails when `bytes` more would exceed the memory limit. Call before building something large.
  Status reserve(std::size_t bytes) const;
  /// reserve() for `count` things of `each` bytes; the product may overflow.
  Status reserve(std::size_t count, std::size_t each) const;

  Result<Value> string(std::string text);  ///< text must be UTF-8
  Result<Value> string(std::string_view text) { return string(std::string(text)); }
  Result<Value> string(const char* text) { return string(std::string(text)); }
  Result<Value> markup(std::string text);
  Result<Value> list(std::vector<Value> items) { return sequence(Kind::kList, std::move(items)); }
  Result<Value> tuple(std::vector<Value> items) { return sequence(Kind::kTuple, std::move(items)); }
  Result<Value> iterator(std::vector<Value> items, std::string_view name = "generator");
  Result<Value> dict() { return empty_dict(Kind::kDict); }
  Result<Value> empty_dict(Kind dict_or_namespace);
  Result<Value> range(std::int64_t start, std::int64_t stop, std::int64_t step);
  Result<Value> view(const Value& dict, ViewObject::Part part);
  Result<Value> bind(const Function& function, Value self);
  /// An undefined value; `message` is what using it says, e.g. "'x' is undefined".
  Value undefined(std::string message);
  /// Takes an object made with new; for kinds this class does not know.
  Value adopt(Object* object, std::size_t bytes);
  /// A value's deep copy in the template's types. Numbers beyond 64 bits become floats.
  Result<Value> from_json(const Json& json, int depth = 0);

  Status append(const Value& list, Value item);
  /// Sets dict[key]; the key must be hashable.
  Status set(const Value& dict, Value key, Value value);
  Status set(const Value& dict, std::string_view key, Value value);

 private:
  Result<Value> sequence(Kind kind, std::vector<Value> items);
  Status check_memory() const;

  RenderLimits limits_;
  std::tm clock_;
  std::int64_t steps_ = 0;
  int depth_ = 0;
  Heap heap_;
};

/// Counts one level of evaluation while it lives. Check `status` before going deeper.
class DepthGuard {
 public:
  explicit DepthGuard(Runtime& runtime) : status(runtime.enter()), runtime_(runtime) {}
  ~DepthGuard() { runtime_.leave(); }
  DepthGuard(const DepthGuard&) = delete;
  DepthGuard& operator=(const DepthGuard&) = delete;

  Status status;

 private:
  Runtime& runtime_;
};

/// A string under construction that never outgrows the memory limit: appending too much is remembered, and finish()
/// fails.
class TextBuilder {
 public:
  explicit TextBuilder(Runtime& runtime) : runtime_(runtime) {}

  void append(std::string_view text) {
    if (room_for(text.size())) text_ += text;
  }
  void append(char c) {
    if (room_for(1)) text_ += c;
  }
  void append(std::size_t count, std::string_view text);
  /// For functions that append a bounded amount themselves.
  std::string& text() { return text_; }
  bool overflowed() const { return overflowed_; }
  /// The string's value, or why it cannot be.
  Result<Value> finish();
  Result<std::string> take();

 private:
  bool room_for(std::size_t bytes);

  Runtime& runtime_;
  std::string text_;
  std::size_t known_room_ = 0;
  bool overflowed_ = false;
};

}  // namespace nibble::jinja
