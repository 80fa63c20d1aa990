// The globals of state dicts (torch/_utils.py, torch/serialization.py). Calls are not carried out: a tensor keeps the
// arguments of the function that would rebuild it until someone asks for it.
#include "io/torch_objects.h"

#include <algorithm>
#include <optional>

#include "base/byte_reader.h"
#include "base/utf8.h"

namespace nibble {
namespace {

constexpr std::size_t kMaxDimensions = 8;

/// Tags of the objects in a pickle.
enum Tag : std::uint8_t { kGlobalTag, kStorageTag, kTensorTag };

enum class Role : std::uint8_t {
  kOrderedDict,
  kTensorV1,  ///< (storage, offset, size, stride)
  kTensorV2,  ///< ... requires_grad, backward_hooks[, metadata]
  kTensorV3,  ///< ... requires_grad, backward_hooks, dtype[, metadata]
  kParameter,
  kStorage,
  kUntypedStorage,
  kDtype,
};

struct Global {
  std::string_view module;
  std::string_view name;
  Role role;
  ElementType element = ElementType::kU8;  ///< of a storage or dtype
};

using E = ElementType;

constexpr Global kGlobals[] = {
    {"collections", "OrderedDict", Role::kOrderedDict},
    {"torch._utils", "_rebuild_tensor", Role::kTensorV1},
    {"torch._utils", "_rebuild_tensor_v2", Role::kTensorV2},
    {"torch._utils", "_rebuild_tensor_v3", Role::kTensorV3},
    {"torch._utils", "_rebuild_parameter", Role::kParameter},
    {"torch._utils", "_rebuild_parameter_with_state", Role::kParameter},
    {"torch", "FloatStorage", Role::kStorage, E::kF32},
    {"torch", "HalfStorage", Role::kStorage, E::kF16},
    {"torch", "BFloat16Storage", Role::kStorage, E::kBf16},
    {"torch", "DoubleStorage", Role::kStorage, E::kF64},
    {"torch", "ByteStorage", Role::kStorage, E::kU8},
    {"torch", "CharStorage", Role::kStorage, E::kI8},
    {"torch", "ShortStorage", Role::kStorage, E::kI16},
    {"torch", "IntStorage", Role::kStorage, E::kI32},
    {"torch", "LongStorage", Role::kStorage, E::kI64},
    {"torch", "BoolStorage", Role::kStorage, E::kBool},
    {"torch", "UntypedStorage", Role::kUntypedStorage},
    {"torch.storage", "UntypedStorage", Role::kUntypedStorage},
    {"torch", "float32", Role::kDtype, E::kF32},
    {"torch", "float16", Role::kDtype, E::kF16},
    {"torch", "bfloat16", Role::kDtype, E::kBf16},
    {"torch", "float64", Role::kDtype, E::kF64},
    {"torch", "float8_e4m3fn", Role::kDtype, E::kE4m3},
    {"torch", "float8_e5m2", Role::kDtype, E::kE5m2},
    {"torch", "float8_e8m0fnu", Role::kDtype, E::kE8m0},
    {"torch", "uint8", Role::kDtype, E::kU8},
    {"torch", "int8", Role::kDtype, E::kI8},
    {"torch", "uint16", Role::kDtype, E::kU16},
    {"torch", "int16", Role::kDtype, E::kI16},
    {"torch", "uint32", Role::kDtype, E::kU32},
    {"torch", "int32", Role::kDtype, E::kI32},
    {"torch", "uint64", Role::kDtype, E::kU64},
    {"torch", "int64", Role::kDtype, E::kI64},
    {"torch", "bool", Role::kDtype, E::kBool},
};

PickleValue object(Tag tag, std::int64_t number, std::vector<PickleRef> items = {}) {
  return {PickleKind::kObject, tag, number, {}, std::move(items)};
}

const Global* global_of(const PickleValue& value) {
  if (value.kind != PickleKind::kObject || value.tag != kGlobalTag) return nullptr;
  return &kGlobals[static_cast<std::size_t>(value.number)];
}

std::string full_name(const Global& global) { return fmt::format("{}.{}", global.module, global.name); }

/// Reads one tensor's arguments; `where_` names the tensor in messages.
class TensorReader {
 public:
  TensorReader(const Pickle& pickle, const std::string& where) : pickle_(pickle), where_(where) {}

  Result<TorchTensor> read(const PickleValue& tensor) const {
    const Role role = kGlobals[static_cast<std::size_t>(tensor.number)].role;
    const auto argument = [&](std::size_t i) -> const PickleValue& { return pickle_.at(tensor.items[i]); };
    TorchTensor out;
    std::optional<ElementType> element;
    NIBBLE_TRY_STATUS(read_storage(argument(0), out, element));
    NIBBLE_TRY(out.offset, whole(argument(1), "storage_offset"));
    NIBBLE_TRY(out.shape, sizes(argument(2), "size"));
    NIBBLE_TRY(out.strides, sizes(argument(3), "stride"));
    if (out.strides.size() != out.shape.size())
      return fail(ErrorCode::kCorrupt, "{}: stride has {} numbers, size has {}", where_, out.strides.size(),
                  out.shape.size());
    NIBBLE_TRY_STATUS(check_product(out.shape));
    if (role == Role::kTensorV3) {
      const Global* dtype = global_of(argument(6));
      if (dtype == nullptr || dtype->role != Role::kDtype)
        return fail(ErrorCode::kCorrupt, "{}: dtype is not one of torch's", where_);
      element = dtype->element;
    }
    if (!element) return fail(ErrorCode::kCorrupt, "{}: an untyped storage without a dtype", where_);
    out.element = *element;
    const std::size_t metadata = role == Role::kTensorV3 ? 7 : 6;
    if (tensor.items.size() > metadata) NIBBLE_TRY_STATUS(check_metadata(argument(metadata)));
    return out;
  }

 private:
  Result<std::uint64_t> whole(const PickleValue& value, std::string_view field) const {
    if (value.kind != PickleKind::kInt || value.number < 0)
      return fail(
          ErrorCode::kCorrupt, "{}: {} is {}, expected a whole number that is not negative", where_, field,
          value.kind == PickleKind::kInt ? std::to_string(value.number) : std::string(pickle_kind_name(value.kind)));
    return static_cast<std::uint64_t>(value.number);
  }

  Result<std::vector<std::int64_t>> sizes(const PickleValue& value, std::string_view field) const {
    if (value.kind != PickleKind::kTuple)
      return fail(ErrorCode::kCorrupt, "{}: {} is of type {}, expected a tuple", where_, field,
                  pickle_kind_name(value.kind));
    if (value.items.size() > kMaxDimensions)
      return fail(ErrorCode::kUnsupported, "{}: {} has {} dimensions, the limit is {}", where_, field,
                  value.items.size(), kMaxDimensions);
    std::vector<std::int64_t> out;
    for (const PickleRef item : value.items) {
      NIBBLE_TRY(const std::uint64_t size, whole(pickle_.at(item), field));
      out.push_back(static_cast<std::int64_t>(size));
    }
    return out;
  }

  Status check_product(const std::vector<std::int64_t>& shape) const {
    std::uint64_t product = 1;
    for (const std::int64_t size : shape)
      if (!checked_multiply(product, static_cast<std::uint64_t>(std::max<std::int64_t>(size, 1)), product) ||
          product > static_cast<std::uint64_t>(INT64_MAX))
        return fail(ErrorCode::kCorrupt, "{}: size overflows 63 bits", where_);
    return {};
  }

  /// ("storage", type, key, location, number of elements); of an untyped storage the number is of bytes.
  Status read_storage(const PickleValue& storage, TorchTensor& out, std::optional<ElementType>& element) const {
    if (storage.kind != PickleKind::kObject || storage.tag != kStorageTag)
      return fail(ErrorCode::kCorrupt, "{}: lies in a value of type {}, expected a storage", where_,
                  pickle_kind_name(storage.kind));
    const Global* type = global_of(pickle_.at(storage.items[1]));
    const PickleValue& key = pickle_.at(storage.items[2]);
    if (type == nullptr || (type->role != Role::kStorage && type->role != Role::kUntypedStorage) ||
        key.kind != PickleKind::kText)
      return fail(ErrorCode::kCorrupt, "{}: its storage has no type or no key", where_);
    out.storage = std::string(key.text);
    if (type->role == Role::kStorage) element = type->element;
    NIBBLE_TRY(const std::uint64_t count, whole(pickle_.at(storage.items[4]), "size of the storage"));
    const auto bytes = element_bytes(type->element, count);
    if (!bytes) return fail(ErrorCode::kCorrupt, "{}: the size of the storage, {}, overflows", where_, count);
    out.storage_bytes = *bytes;
    return {};
  }

  /// Marks of lazy conjugation and negation: the bytes are then not the values.
  Status check_metadata(const PickleValue& metadata) const {
    if (metadata.kind == PickleKind::kNone || (metadata.kind == PickleKind::kDict && metadata.items.empty())) return {};
    return fail(ErrorCode::kUnsupported, "{}: has metadata (conjugated or negated lazily, for example), not read",
                where_);
  }

  const Pickle& pickle_;
  const std::string& where_;
};

/// How many arguments a role takes at least and at most.
std::pair<std::size_t, std::size_t> argument_count(Role role) {
  switch (role) {
    case Role::kTensorV1:
      return {4, 4};
    case Role::kTensorV2:
      return {6, 7};
    case Role::kTensorV3:
      return {7, 8};
    case Role::kParameter:
      return {3, 4};
    default:
      return {0, 0};
  }
}

}  // namespace

Result<PickleValue> TorchObjects::global(const Pickle& pickle, std::string_view module, std::string_view name) {
  for (std::size_t i = 0; i < std::size(kGlobals); ++i)
    if (kGlobals[i].module == module && kGlobals[i].name == name)
      return object(kGlobalTag, static_cast<std::int64_t>(i));
  return fail(ErrorCode::kUnsupported,
              "{}: the pickle asks for \"{}.{}\", which is no part of plain weights; nothing of a pickle is run. Save "
              "the weights alone, as safetensors or with torch.save(model.state_dict(), file)",
              pickle.what, printable(module, 80), printable(name, 80));
}

Result<PickleValue> TorchObjects::persistent(const Pickle& pickle, const PickleValue& id) {
  if (id.kind != PickleKind::kTuple || id.items.size() != 5 || pickle.at(id.items[0]).text != "storage")
    return fail(ErrorCode::kCorrupt, "{}: the pickle refers to something outside that is not a storage", pickle.what);
  return object(kStorageTag, 0, id.items);
}

Result<PickleValue> TorchObjects::call(const Pickle& pickle, const PickleValue& callable,
                                       const PickleValue& arguments) {
  const Global* global = global_of(callable);
  if (global == nullptr || global->role == Role::kStorage || global->role == Role::kUntypedStorage ||
      global->role == Role::kDtype)
    return fail(ErrorCode::kCorrupt, "{}: the pickle calls {}, expected a function", pickle.what,
                global == nullptr ? std::string(pickle_kind_name(callable.kind)) : full_name(*global));
  const std::size_t count = arguments.items.size();
  const auto [least, most] = argument_count(global->role);
  if (count < least || count > most)
    return fail(ErrorCode::kUnsupported, "{}: the pickle calls {} with {} arguments, expected {} to {}", pickle.what,
                full_name(*global), count, least, most);
  if (global->role == Role::kOrderedDict) return PickleValue{PickleKind::kDict, 0, 0, {}, {}};
  if (global->role != Role::kParameter) return object(kTensorTag, callable.number, arguments.items);
  const PickleValue& data = pickle.at(arguments.items[0]);
  if (!is_torch_tensor(data))
    return fail(ErrorCode::kCorrupt, "{}: the pickle makes a parameter of a value of type {}, expected a tensor",
                pickle.what, pickle_kind_name(data.kind));
  return data;
}

bool is_torch_tensor(const PickleValue& value) { return value.kind == PickleKind::kObject && value.tag == kTensorTag; }

Result<TorchTensor> read_torch_tensor(const Pickle& pickle, const PickleValue& tensor, const std::string& where) {
  return TensorReader(pickle, where).read(tensor);
}

}  // namespace nibble
