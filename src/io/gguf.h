// GGUF v3 (reference: ggml's gguf.cpp): the container of llama.cpp. Reading maps; writing streams tensors in listed
// order.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/atomic_output.h"
#include "base/result.h"
#include "io/stored_tensor.h"

namespace nibble {

/// The value types of GGUF metadata, with their ids.
enum class GgufType : std::uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64
};

struct GgufValue;

/// An array whose elements share one type; strings in `strings`, everything else as its bytes.
struct GgufArray {
  GgufType element = GgufType::kU8;
  std::vector<std::string> strings;
  std::vector<std::byte> bytes;
  std::size_t size() const;
};

struct GgufValue {
  GgufType type = GgufType::kU32;
  std::variant<std::uint64_t, std::int64_t, double, bool, std::string, GgufArray> value;
};

/// Key-value metadata in file order. Getters refuse a value of another type, naming file and key.
class GgufMetadata {
 public:
  explicit GgufMetadata(std::string what) : what_(std::move(what)) {}

  const GgufValue* find(std::string_view key) const;
  /// Absent keys give nothing; any integer type is accepted for integers, f32 and f64 for numbers.
  Result<std::optional<std::int64_t>> integer(std::string_view key) const;
  Result<std::optional<double>> number(std::string_view key) const;
  Result<std::optional<bool>> boolean(std::string_view key) const;
  Result<std::optional<std::string>> string(std::string_view key) const;
  Result<std::optional<std::vector<std::string>>> strings(std::string_view key) const;
  Result<std::optional<std::vector<std::int64_t>>> integers(std::string_view key) const;  ///< a scalar is a list of one
  Result<std::optional<std::vector<double>>> numbers(std::string_view key) const;

  /// Sets a key; an existing one is moved to the end, as llama-quantize does.
  void set(std::string key, GgufValue value);
  void set_u32(std::string key, std::uint32_t value);
  void set_f32(std::string key, float value);
  void set_bool(std::string key, bool value);
  void set_string(std::string key, std::string value);
  void remove(std::string_view key);

  const std::vector<std::pair<std::string, GgufValue>>& all() const { return entries_; }
  const std::string& what() const { return what_; }

 private:
  friend class GgufReader;  // appends keys that it knows to be new
  std::string what_;
  std::vector<std::pair<std::string, GgufValue>> entries_;
};

struct GgufFile {
  std::shared_ptr<const GgufMetadata> metadata;
  TensorSet tensors;
  std::uint64_t file_bytes = 0;
};

/// Opens a GGUF file and, when it is the first of a split, the other shards (named PREFIX-00002-of-00003.gguf). Every
/// check of gguf.md section 1 is made; only the padding behind the last tensor may be missing. Keys and tensor names
/// are UTF-8; string values are bytes, as the file holds them.
Result<GgufFile> open_gguf(const std::filesystem::path& path);

/// One tensor to be written: row-major shape and ggml type id.
struct GgufTensorPlan {
  std::string name;
  std::vector<std::int64_t> shape;
  int ggml_type = 0;
};

/// Bytes of the file that GgufWriter makes of a plan when it makes one.
Result<std::uint64_t> gguf_bytes(const GgufMetadata& metadata, const std::vector<GgufTensorPlan>& plan);

/// Writes a GGUF file (or split files of at most `shard_bytes` each, 0: one file). Tensors may be written in any order
/// and in pieces, by many threads at once. finish() makes the file appear under its final name.
class GgufWriter {
 public:
  static Result<std::unique_ptr<GgufWriter>> create(const std::filesystem::path& path, const GgufMetadata& metadata,
                                                    std::vector<GgufTensorPlan> plan, std::uint64_t shard_bytes = 0);
  virtual ~GgufWriter() = default;
  /// `index` is the tensor's position in the plan; `offset` is in bytes within the tensor.
  virtual Status write(std::size_t index, std::uint64_t offset, std::span<const std::byte> bytes) = 0;
  /// Fails when a byte of a planned tensor was not written.
  virtual Status finish() = 0;
};

}  // namespace nibble
