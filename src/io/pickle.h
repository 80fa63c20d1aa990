// Pickles, read without running them: a stack machine for the opcodes of protocol 2 that builds plain values. What a
// pickle would import, call or look up is put to a host, which knows a short list and refuses the rest.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nibble {

enum class PickleKind : std::uint8_t {
  kNone,
  kBool,
  kInt,
  kReal,  ///< its number is not kept: no state dict means anything by one
  kText,
  kTuple,
  kList,
  kDict,
  kObject,  ///< made by the host
};

/// "None", "int" ... as Python says it.
std::string_view pickle_kind_name(PickleKind kind);

/// Position of a value in Pickle::values.
using PickleRef = std::uint32_t;

struct PickleValue {
  PickleKind kind = PickleKind::kNone;
  std::uint8_t tag = 0;          ///< kObject: what sort of object, in the host's numbering
  std::int64_t number = 0;       ///< kBool, kInt; kObject: which one, in the host's numbering
  std::string_view text;         ///< kText, UTF-8; lies in the pickle's bytes
  std::vector<PickleRef> items;  ///< of tuple and list; of a dict key, value, key, value, repeated keys included
};

/// All values of one pickle. They refer to each other by position and may do so in circles, as in Python.
struct Pickle {
  std::string what;  ///< names the file in messages
  std::deque<PickleValue> values;

  const PickleValue& at(PickleRef ref) const { return values[ref]; }
};

/// Answers what a pickle asks of Python.
class PickleHost {
 public:
  virtual ~PickleHost() = default;
  /// The object `module`.`name`, or kUnsupported.
  virtual Result<PickleValue> global(const Pickle& pickle, std::string_view module, std::string_view name) = 0;
  /// The object that lies outside the pickle under `id`.
  virtual Result<PickleValue> persistent(const Pickle& pickle, const PickleValue& id) = 0;
  /// What `callable` would return for these arguments, a tuple.
  virtual Result<PickleValue> call(const Pickle& pickle, const PickleValue& callable, const PickleValue& arguments) = 0;
};

/// Reads `bytes` into `pickle` and returns its result. Attributes set on a dict are dropped. Time and memory are in
/// proportion to the bytes; nothing recurses. Errors: kUnsupported for opcodes and protocols outside the list,
/// kCorrupt.
Result<PickleRef> read_pickle(std::string_view bytes, PickleHost& host, Pickle& pickle);

}  // namespace nibble
