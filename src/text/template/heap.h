// Reference-counted objects of one rendering. The heap counts live bytes, frees deep structures without recursion, and
// breaks reference cycles (a list that holds itself) when the rendering ends. One thread only.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nibble::jinja {

enum class Kind : std::uint8_t {
  kMissing,  ///< an argument that was not given; never seen by templates
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kView,      ///< dict.keys(), dict.values(), dict.items()
  kRange,     ///< range(...)
  kIterator,  ///< a Python generator or iterator: is used up by reading, has no length, is always true
  kNamespace,
  kFunction,  ///< a global function, or a method bound to its value
  kMacro,
  kLoop,
  kScope,  ///< variables of a block; never seen by templates
};

class Heap;

struct Object {
  explicit Object(Kind object_kind) : kind(object_kind) {}
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() = default;
  /// Lets go of everything the object refers to.
  virtual void clear() noexcept {}

  Kind kind;
  std::uint32_t references = 0;
  Heap* heap = nullptr;
  std::size_t charged_bytes = 0;
  Object* previous = nullptr;
  Object* next = nullptr;
};

class Heap {
 public:
  Heap() = default;
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;
  ~Heap();

  /// Takes ownership of `object` (made with new) and counts `bytes` for it.
  void adopt(Object* object, std::size_t bytes) noexcept;
  /// Counts `bytes` more for `object`.
  void charge(Object& object, std::size_t bytes) noexcept;
  /// Frees `object`, whose last reference is gone, and what only it referred to.
  void free(Object* object) noexcept;

  std::size_t live_bytes() const noexcept { return live_bytes_; }

 private:
  void unlink(Object* object) noexcept;

  Object* first_ = nullptr;
  Object* dead_ = nullptr;
  bool freeing_ = false;
  std::size_t live_bytes_ = 0;
};

}  // namespace nibble::jinja
