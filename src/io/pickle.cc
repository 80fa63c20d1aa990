// The pickle machine. Every opcode has one line in kOpcodes and one function; an opcode without a line is refused.
#include "io/pickle.h"

#include <algorithm>
#include <array>

#include "base/byte_reader.h"
#include "base/utf8.h"

namespace nibble {
namespace {

constexpr std::uint8_t kProtocol = 2;
constexpr std::size_t kMaxPickleBytes = std::size_t{32} << 20;  // a tensor takes some 250

class Machine {
 public:
  Machine(std::string_view bytes, PickleHost& host, Pickle& pickle)
      : bytes_(bytes), host_(host), pickle_(pickle), reader_(std::as_bytes(std::span(bytes)), pickle.what) {}

  Result<PickleRef> run() {
    if (bytes_.size() > kMaxPickleBytes)
      return fail(ErrorCode::kCorrupt, "{}: the pickle has {} bytes, the limit is {}", pickle_.what, bytes_.size(),
                  kMaxPickleBytes);
    while (!stopped_) {
      at_ = reader_.offset();
      NIBBLE_TRY(const auto code, reader_.read<std::uint8_t>("pickle opcode"));
      const Opcode* opcode = opcode_of(code);
      if (opcode == nullptr)
        return fail(ErrorCode::kUnsupported,
                    "{}: pickle opcode {:#04x} at byte {} is not one that state dicts use; save the weights alone, as "
                    "safetensors or with torch.save(model.state_dict(), file)",
                    pickle_.what, code, at_);
      NIBBLE_TRY_STATUS((this->*opcode->run)());
    }
    if (stack_.size() != 1 || !marks_.empty() || reader_.remaining() != 0)
      return corrupt("the pickle ends with values left over");
    return stack_.front();
  }

 private:
  struct Opcode {
    std::uint8_t code;
    Status (Machine::*run)();
  };
  static const Opcode kOpcodes[];

  static const Opcode* opcode_of(std::uint8_t code);

  Error corrupt(std::string_view problem) const {
    return fail(ErrorCode::kCorrupt, "{}: pickle, byte {}: {}", pickle_.what, at_, problem);
  }

  // The stack.

  Status push(PickleValue value) {
    stack_.push_back(static_cast<PickleRef>(pickle_.values.size()));
    pickle_.values.push_back(std::move(value));
    return {};
  }

  /// None, True, False and the empty tuple exist once each.
  Status push_shared(PickleRef& shared, PickleKind kind, std::int64_t number = 0) {
    if (shared == kNowhere) {
      NIBBLE_TRY_STATUS(push({kind, 0, number, {}, {}}));
      shared = stack_.back();
    } else {
      stack_.push_back(shared);
    }
    return {};
  }

  Result<PickleRef> pop() {
    const std::size_t floor = marks_.empty() ? 0 : marks_.back();
    if (stack_.size() <= floor) return corrupt("a value is missing on the stack");
    const PickleRef ref = stack_.back();
    stack_.pop_back();
    return ref;
  }

  Result<std::vector<PickleRef>> pop_to_mark() {
    if (marks_.empty()) return corrupt("a mark is missing");
    std::vector<PickleRef> items(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }

  /// The value on top, which must be of this kind, to be changed in place.
  Result<PickleValue*> top(PickleKind kind) {
    const std::size_t floor = marks_.empty() ? 0 : marks_.back();
    if (stack_.size() <= floor) return corrupt("a value is missing on the stack");
    PickleValue& value = pickle_.values[stack_.back()];
    if (value.kind != kind)
      return fail(ErrorCode::kCorrupt, "{}: pickle, byte {}: adds to a value of type {}, expected {}", pickle_.what,
                  at_, pickle_kind_name(value.kind), pickle_kind_name(kind));
    return &value;
  }

  // Frame.

  Status protocol() {
    NIBBLE_TRY(const auto version, reader_.read<std::uint8_t>("pickle protocol"));
    if (version != kProtocol)
      return fail(ErrorCode::kUnsupported, "{}: the pickle is of protocol {}, only {}, torch.save()'s, is read",
                  pickle_.what, version, kProtocol);
    return {};
  }
  Status stop() {
    stopped_ = true;
    return {};
  }

  // Plain values.

  Status none() { return push_shared(none_, PickleKind::kNone); }
  Status yes() { return push_shared(true_, PickleKind::kBool, 1); }
  Status no() { return push_shared(false_, PickleKind::kBool, 0); }

  template <typename T>
  Status whole() {
    NIBBLE_TRY(const auto value, reader_.read<T>("pickle integer"));
    return push({PickleKind::kInt, 0, value, {}, {}});
  }

  /// Little-endian two's complement of any length; 64 bits are enough for sizes.
  template <typename Length>
  Status long_whole() {
    NIBBLE_TRY(const auto length, reader_.read<Length>("pickle integer"));
    if (length > 8) return corrupt("an integer has more than 64 bits");
    NIBBLE_TRY(const auto bytes, reader_.read_bytes(length, "pickle integer"));
    std::uint64_t value = 0;
    if (length > 0 && (bytes.back() & std::byte{0x80}) != std::byte{0}) value = UINT64_MAX;
    for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | std::to_integer<std::uint64_t>(bytes[i]);
    return push({PickleKind::kInt, 0, static_cast<std::int64_t>(value), {}, {}});
  }

  Status real() {
    NIBBLE_TRY_STATUS(reader_.read_bytes(8, "pickle float"));
    return push({PickleKind::kReal, 0, 0, {}, {}});
  }

  Status text() {
    NIBBLE_TRY(const auto length, reader_.read<std::uint32_t>("pickle string"));
    const std::size_t begin = reader_.offset();
    NIBBLE_TRY_STATUS(reader_.read_bytes(length, "pickle string"));
    const std::string_view text = bytes_.substr(begin, length);
    if (!is_utf8(text)) return corrupt("a string is not UTF-8");
    return push({PickleKind::kText, 0, 0, text, {}});
  }

  // Containers.

  Status mark() {
    marks_.push_back(stack_.size());
    return {};
  }
  Status empty_tuple() { return push_shared(empty_tuple_, PickleKind::kTuple); }
  Status empty_list() { return push({PickleKind::kList, 0, 0, {}, {}}); }
  Status empty_dict() { return push({PickleKind::kDict, 0, 0, {}, {}}); }

  Status tuple() {
    NIBBLE_TRY(std::vector<PickleRef> items, pop_to_mark());
    return push({PickleKind::kTuple, 0, 0, {}, std::move(items)});
  }

  template <int N>
  Status short_tuple() {
    std::vector<PickleRef> items(N);
    for (std::size_t i = N; i-- > 0;) {
      NIBBLE_TRY(items[i], pop());
    }
    return push({PickleKind::kTuple, 0, 0, {}, std::move(items)});
  }

  Status append() {
    NIBBLE_TRY(const PickleRef item, pop());
    NIBBLE_TRY(PickleValue* const list, top(PickleKind::kList));
    list->items.push_back(item);
    return {};
  }

  Status appends() {
    NIBBLE_TRY(const std::vector<PickleRef> items, pop_to_mark());
    NIBBLE_TRY(PickleValue* const list, top(PickleKind::kList));
    list->items.insert(list->items.end(), items.begin(), items.end());
    return {};
  }

  Status set_item() {
    NIBBLE_TRY(const PickleRef value, pop());
    NIBBLE_TRY(const PickleRef key, pop());
    NIBBLE_TRY(PickleValue* const dict, top(PickleKind::kDict));
    dict->items.insert(dict->items.end(), {key, value});
    return {};
  }

  Status set_items() {
    NIBBLE_TRY(const std::vector<PickleRef> items, pop_to_mark());
    NIBBLE_TRY(PickleValue* const dict, top(PickleKind::kDict));
    if (items.size() % 2 != 0) return corrupt("a dict gets a key without a value");
    dict->items.insert(dict->items.end(), items.begin(), items.end());
    return {};
  }

  // Memo.

  template <typename Position>
  Status put() {
    NIBBLE_TRY(const std::size_t position, reader_.read<Position>("pickle memo"));
    if (position > at_) return corrupt("the memo is numbered past its size");  // each entry took an opcode
    NIBBLE_TRY(const PickleRef ref, pop());
    stack_.push_back(ref);
    if (position >= memo_.size()) memo_.resize(position + 1, kNowhere);
    memo_[position] = ref;
    return {};
  }

  template <typename Position>
  Status get() {
    NIBBLE_TRY(const std::size_t position, reader_.read<Position>("pickle memo"));
    if (position >= memo_.size() || memo_[position] == kNowhere) return corrupt("nothing was memoized at this number");
    stack_.push_back(memo_[position]);
    return {};
  }

  // What Python would do.

  Result<std::string_view> line() {
    const std::size_t begin = reader_.offset();
    const std::size_t end = bytes_.find('\n', begin);
    if (end == std::string_view::npos) return corrupt("a name has no end");
    NIBBLE_TRY_STATUS(reader_.seek(end + 1, "pickle name"));
    return bytes_.substr(begin, end - begin);
  }

  Status global() {
    NIBBLE_TRY(const std::string_view module, line());
    NIBBLE_TRY(const std::string_view name, line());
    NIBBLE_TRY(PickleValue value, host_.global(pickle_, module, name));
    return push(std::move(value));
  }

  Status persistent() {
    NIBBLE_TRY(const PickleRef id, pop());
    NIBBLE_TRY(PickleValue value, host_.persistent(pickle_, pickle_.at(id)));
    return push(std::move(value));
  }

  Status reduce() {
    NIBBLE_TRY(const PickleRef arguments, pop());
    NIBBLE_TRY(const PickleRef callable, pop());
    if (pickle_.at(arguments).kind != PickleKind::kTuple) return corrupt("the arguments of a call are not a tuple");
    NIBBLE_TRY(PickleValue value, host_.call(pickle_, pickle_.at(callable), pickle_.at(arguments)));
    return push(std::move(value));
  }

  /// Attributes: an OrderedDict carries the versions of its modules in one.
  Status build() {
    NIBBLE_TRY_STATUS(pop());
    NIBBLE_TRY_STATUS(top(PickleKind::kDict));
    return {};
  }

  static constexpr PickleRef kNowhere = UINT32_MAX;

  std::string_view bytes_;
  PickleHost& host_;
  Pickle& pickle_;
  ByteReader reader_;
  std::size_t at_ = 0;  // where the opcode is
  bool stopped_ = false;
  std::vector<PickleRef> stack_;
  std::vector<std::size_t> marks_;  // sizes of the stack
  std::vector<PickleRef> memo_;
  PickleRef none_ = kNowhere;
  PickleRef true_ = kNowhere;
  PickleRef false_ = kNowhere;
  PickleRef empty_tuple_ = kNowhere;
};

constexpr Machine::Opcode Machine::kOpcodes[] = {
    {0x80, &Machine::protocol},                   // PROTO
    {'.', &Machine::stop},                        // STOP
    {'N', &Machine::none},                        // NONE
    {0x88, &Machine::yes},                        // NEWTRUE
    {0x89, &Machine::no},                         // NEWFALSE
    {'K', &Machine::whole<std::uint8_t>},         // BININT1
    {'M', &Machine::whole<std::uint16_t>},        // BININT2
    {'J', &Machine::whole<std::int32_t>},         // BININT
    {0x8a, &Machine::long_whole<std::uint8_t>},   // LONG1
    {0x8b, &Machine::long_whole<std::uint32_t>},  // LONG4
    {'G', &Machine::real},                        // BINFLOAT
    {'X', &Machine::text},                        // BINUNICODE
    {'(', &Machine::mark},                        // MARK
    {')', &Machine::empty_tuple},                 // EMPTY_TUPLE
    {0x85, &Machine::short_tuple<1>},             // TUPLE1
    {0x86, &Machine::short_tuple<2>},             // TUPLE2
    {0x87, &Machine::short_tuple<3>},             // TUPLE3
    {'t', &Machine::tuple},                       // TUPLE
    {']', &Machine::empty_list},                  // EMPTY_LIST
    {'a', &Machine::append},                      // APPEND
    {'e', &Machine::appends},                     // APPENDS
    {'}', &Machine::empty_dict},                  // EMPTY_DICT
    {'s', &Machine::set_item},                    // SETITEM
    {'u', &Machine::set_items},                   // SETITEMS
    {'q', &Machine::put<std::uint8_t>},           // BINPUT
    {'r', &Machine::put<std::uint32_t>},          // LONG_BINPUT
    {'h', &Machine::get<std::uint8_t>},           // BINGET
    {'j', &Machine::get<std::uint32_t>},          // LONG_BINGET
    {'c', &Machine::global},                      // GLOBAL
    {'Q', &Machine::persistent},                  // BINPERSID
    {'R', &Machine::reduce},                      // REDUCE
    {'b', &Machine::build},                       // BUILD
};

const Machine::Opcode* Machine::opcode_of(std::uint8_t code) {
  const auto found =
      std::find_if(std::begin(kOpcodes), std::end(kOpcodes), [&](const Opcode& known) { return known.code == code; });
  return found == std::end(kOpcodes) ? nullptr : found;
}

}  // namespace

std::string_view pickle_kind_name(PickleKind kind) {
  static constexpr std::string_view kNames[] = {"None",  "bool", "int",  "float", "string",
                                                "tuple", "list", "dict", "object"};
  return kNames[static_cast<std::size_t>(kind)];
}

Result<PickleRef> read_pickle(std::string_view bytes, PickleHost& host, Pickle& pickle) {
  return Machine(bytes, host, pickle).run();
}

}  // namespace nibble
