// Values of the template language. They behave as Python's: strings and tuples never change, lists and dictionaries are
// shared by reference.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "text/template/heap.h"

namespace nibble::jinja {

struct StringObject;
struct ListObject;
struct DictObject;
struct ViewObject;
struct RangeObject;
struct IteratorObject;
struct FunctionObject;
struct SpecialObject;

/// 16 bytes: a kind, and a number or a counted reference.
class Value {
 public:
  Value() noexcept : kind_(Kind::kMissing), integer_(0) {}
  explicit Value(Object* object) noexcept : kind_(object->kind), object_(object) { ++object->references; }
  Value(const Value& other) noexcept : kind_(other.kind_), integer_(other.integer_) {
    if (is_object()) {
      object_ = other.object_;
      ++object_->references;
    }
  }
  Value(Value&& other) noexcept : kind_(other.kind_), integer_(other.integer_) {
    if (is_object()) object_ = other.object_;
    other.kind_ = Kind::kMissing;
  }
  Value& operator=(Value other) noexcept {
    std::swap(kind_, other.kind_);
    std::swap(integer_, other.integer_);
    return *this;
  }
  ~Value() {
    if (is_object() && --object_->references == 0) object_->heap->free(object_);
  }

  static Value none() noexcept { return Value(Kind::kNone, 0); }
  static Value boolean(bool value) noexcept { return Value(Kind::kBool, value ? 1 : 0); }
  static Value integer(std::int64_t value) noexcept { return Value(Kind::kInt, value); }
  static Value real(double value) noexcept {
    Value result(Kind::kFloat, 0);
    result.real_ = value;
    return result;
  }

  Kind kind() const noexcept { return kind_; }
  bool is(Kind kind) const noexcept { return kind_ == kind; }
  bool is_missing() const noexcept { return is(Kind::kMissing); }
  bool is_undefined() const noexcept { return is(Kind::kUndefined); }
  bool is_none() const noexcept { return is(Kind::kNone); }
  bool is_string() const noexcept { return is(Kind::kString); }
  bool is_dict() const noexcept { return is(Kind::kDict); }
  /// An int, or a bool, which Python counts as one.
  bool is_integral() const noexcept { return is(Kind::kInt) || is(Kind::kBool); }
  bool is_number() const noexcept { return is_integral() || is(Kind::kFloat); }
  bool is_object() const noexcept { return kind_ >= Kind::kString || kind_ == Kind::kUndefined; }

  bool as_bool() const noexcept { return integer_ != 0; }
  std::int64_t as_int() const noexcept { return integer_; }
  /// Any number as a float.
  double as_real() const noexcept { return is(Kind::kFloat) ? real_ : static_cast<double>(integer_); }
  Object* object() const noexcept { return object_; }
  // Each is valid for its own kind only.
  StringObject& string() const noexcept;
  std::string_view text() const noexcept;
  ListObject& list() const noexcept;  // a list or a tuple
  DictObject& dict() const noexcept;  // a dictionary or a namespace
  ViewObject& view() const noexcept;
  RangeObject& range() const noexcept;
  IteratorObject& iterator() const noexcept;
  FunctionObject& function() const noexcept;
  SpecialObject& special() const noexcept;  // a macro or a loop

 private:
  Value(Kind kind, std::int64_t value) noexcept : kind_(kind), integer_(value) {}

  Kind kind_;
  union {
    std::int64_t integer_;
    double real_;
    Object* object_;
  };
};

/// Also the message of an undefined value, with that kind.
struct StringObject : Object {
  StringObject(std::string value, std::size_t code_points)
      : Object(Kind::kString), text(std::move(value)), length(code_points) {}
  bool is_ascii() const noexcept { return length == text.size(); }

  std::string text;     ///< valid UTF-8
  std::size_t length;   ///< in code points
  bool markup = false;  ///< result of the `safe` filter: what is added to it is HTML-escaped, as in Jinja
};

struct ListObject : Object {
  ListObject(Kind list_or_tuple, std::vector<Value> values) : Object(list_or_tuple), items(std::move(values)) {}
  void clear() noexcept override { items.clear(); }

  std::vector<Value> items;
  bool is_group = false;  ///< a tuple of the groupby filter, whose parts are also called grouper and list
};

/// A total order of values that may be keys; 1, 1.0 and true are the same key, as in Python.
struct KeyOrder {
  bool operator()(const Value& a, const Value& b) const noexcept;
};

/// A dictionary in insertion order. A namespace is one whose attributes are the entries.
struct DictObject : Object {
  explicit DictObject(Kind dict_or_namespace) : Object(dict_or_namespace) {}
  void clear() noexcept override;
  /// The position of a hashable key, or npos.
  std::size_t find(const Value& key) const;
  std::size_t find(std::string_view key) const;
  /// Sets a hashable key.
  void set(Value key, Value value);
  void erase(std::size_t position);

  static constexpr std::size_t npos = static_cast<std::size_t>(-1);
  std::vector<std::pair<Value, Value>> entries;

 private:
  void build_index() const;
  /// Only for dictionaries of more than a few entries; empty when it must be built anew.
  mutable std::map<Value, std::size_t, KeyOrder> index_;
};

struct ViewObject : Object {
  enum class Part { kKeys, kValues, kItems };
  ViewObject(Value dictionary, Part which) : Object(Kind::kView), dict(std::move(dictionary)), part(which) {}
  void clear() noexcept override { dict = Value(); }

  Value dict;
  Part part;
};

struct RangeObject : Object {
  RangeObject(std::int64_t first, std::int64_t end, std::int64_t stride, std::int64_t length)
      : Object(Kind::kRange), start(first), stop(end), step(stride), size(length) {}

  std::int64_t start, stop, step, size;
};

struct IteratorObject : Object {
  IteratorObject(std::vector<Value> values, std::string_view python_name)
      : Object(Kind::kIterator), items(std::move(values)), name(python_name) {}
  void clear() noexcept override { items.clear(); }

  std::vector<Value> items;
  std::size_t position = 0;
  std::string_view name;  ///< what Python would print, e.g. "generator"; a literal
};

struct Function;  // builtin.h

struct FunctionObject : Object {
  FunctionObject(const Function& target, Value receiver)
      : Object(Kind::kFunction), function(&target), self(std::move(receiver)) {}
  void clear() noexcept override { self = Value(); }

  const Function* function;
  Value self;  ///< missing for a global function
};

class Runtime;

/// A value of the evaluator's own, a macro or a loop, which knows its attributes.
struct SpecialObject : Object {
  using Object::Object;
  /// A missing value when there is no such attribute.
  virtual Result<Value> attribute(Runtime& runtime, std::string_view name) = 0;
  virtual std::string repr() const = 0;
};

/// The name of a value's type as Python says it: "str", "dict", "NoneType".
std::string_view type_name(const Value& value);

inline StringObject& Value::string() const noexcept { return *static_cast<StringObject*>(object_); }
inline std::string_view Value::text() const noexcept { return string().text; }
inline ListObject& Value::list() const noexcept { return *static_cast<ListObject*>(object_); }
inline DictObject& Value::dict() const noexcept { return *static_cast<DictObject*>(object_); }
inline ViewObject& Value::view() const noexcept { return *static_cast<ViewObject*>(object_); }
inline RangeObject& Value::range() const noexcept { return *static_cast<RangeObject*>(object_); }
inline IteratorObject& Value::iterator() const noexcept { return *static_cast<IteratorObject*>(object_); }
inline FunctionObject& Value::function() const noexcept { return *static_cast<FunctionObject*>(object_); }
inline SpecialObject& Value::special() const noexcept { return *static_cast<SpecialObject*>(object_); }

}  // namespace nibble::jinja
