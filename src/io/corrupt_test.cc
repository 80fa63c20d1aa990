// Bytes from outside can hurt nobody: small valid files, cut at every length and with every field of the header
// replaced, always give an Error that names the file, quickly and without large allocations. Files in tests/corrupt/
// likewise.
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>

#include "base/mapped_file.h"
#include "base/testing/counted_new.h"
#include "io/corrupt_test_support.h"
#include "io/gguf.h"
#include "io/pytorch.h"
#include "io/safetensors.h"

namespace nibble {
namespace {

Status open_gguf_status(const std::filesystem::path& path) {
  const auto file = open_gguf(path);
  if (!file.ok()) return file.error();
  for (const StoredTensor& tensor : file->tensors.all()) {  // what is accepted can be read
    const auto values = read_floats(tensor);
    if (!values.ok() && values.error().code != ErrorCode::kUnsupported) return values.error();
  }
  return {};
}

Status open_safetensors_status(const std::filesystem::path& path) { return open_all(open_safetensors, path); }

Status open_pytorch_status(const std::filesystem::path& path) { return open_all(open_pytorch, path); }

/// A number in a file's header, and what it may hold without breaking a rule.
struct Field {
  std::string name;
  std::size_t offset = 0;
  std::size_t bytes = 0;
};

/// A GGUF file under construction that remembers where its fields are.
struct GgufBuilder {
  std::string file;
  std::vector<Field> fields;

  template <typename T>
  void number(const std::string& name, T value) {
    fields.push_back({name, file.size(), sizeof(T)});
    file += raw(value);
  }
  void string(const std::string& name, const std::string& text) {
    number(name + " length", std::uint64_t{text.size()});
    file += text;
  }
  void pair(const std::string& key, std::uint32_t type, const std::function<void()>& value) {
    string("key", key);
    number("type", type);
    value();
  }
  void tensor(const std::string& name, const std::vector<std::uint64_t>& dims, std::int32_t type,
              std::uint64_t offset) {
    string("name", name);
    number("n_dims", static_cast<std::uint32_t>(dims.size()));
    for (const std::uint64_t size : dims) number("dimension", size);
    number("tensor type", type);
    number("offset", offset);
  }
};

/// All kinds of values, two tensors; the data section ends with the last tensor's last byte.
GgufBuilder small_gguf() {
  GgufBuilder b;
  b.file = "GGUF";
  b.number("version", std::uint32_t{3});
  b.number("tensor_count", std::uint64_t{2});
  b.number("kv_count", std::uint64_t{5});
  b.pair("general.architecture", 8, [&] { b.string("value", "llama"); });
  b.pair("general.alignment", 4, [&] { b.number("alignment", std::uint32_t{32}); });
  b.pair("flag", 7, [&] { b.file += '\1'; });
  b.pair("tokens", 9, [&] {
    b.number("element type", std::uint32_t{8});
    b.number("array length", std::uint64_t{2});
    b.string("element", "a");
    b.string("element", "bc");
  });
  b.pair("scores", 9, [&] {
    b.number("element type", std::uint32_t{6});
    b.number("array length", std::uint64_t{2});
    b.file += raw(1.0f) + raw(2.0f);
  });
  b.tensor("blk.0.q.weight", {32, 2}, 8, 0);  // q8_0: 68 bytes, padded to 96
  b.tensor("norm.weight", {8}, 0, 96);        // f32: 32 bytes
  b.file.resize((b.file.size() + 31) / 32 * 32, '\0');
  b.file += std::string(96 + 32, 'x');
  return b;
}

TEST_F(Corrupt, GgufCutAtEveryLength) {
  const GgufBuilder whole = small_gguf();
  ASSERT_TRUE(opens(open_gguf_status, whole.file, "whole")) << last_message_;
  for (std::size_t size = 0; size < whole.file.size(); ++size)
    EXPECT_FALSE(opens(open_gguf_status, whole.file.substr(0, size), "cut at " + std::to_string(size)));
}

TEST_F(Corrupt, GgufWithEveryFieldReplaced) {
  const GgufBuilder whole = small_gguf();
  for (const Field& field : whole.fields) {
    for (const std::uint64_t value : hostile_values()) {
      std::string file = whole.file;
      file.replace(field.offset, field.bytes, raw(value).substr(0, field.bytes));
      if (file == whole.file) continue;
      const std::string what = field.name + " = " + std::to_string(value);
      const bool opened = opens(open_gguf_status, file, what);
      // Some replacements are other valid files: version 2, an alignment that fits, a value or tensor of another type
      // of the same size (scores as u32).
      const bool may_open = field.name == "version" || field.name == "alignment" || field.name.ends_with("type") ||
                            (field.name == "dimension" && value < 9);
      EXPECT_TRUE(!opened || may_open) << what;
    }
  }
}

TEST_F(Corrupt, GgufWithAnyBytesReplaced) {
  const GgufBuilder whole = small_gguf();
  const std::size_t header = whole.file.size() - 128;
  const std::uint64_t values[] = {0, 1, UINT64_MAX, std::uint64_t{1} << 63, 0x7FFFFFFFFFFFFFFF, 0x0101010101010101};
  for (std::size_t at = 0; at < header; ++at) {
    for (const std::size_t width : {1u, 4u, 8u}) {
      for (const std::uint64_t value : values) {
        std::string file = whole.file;
        file.replace(at, width, raw(value).substr(0, width));
        opens(open_gguf_status, file, std::to_string(width) + " bytes at " + std::to_string(at));
      }
    }
    opens(open_gguf_status, std::string(whole.file).erase(at, 1), "without byte " + std::to_string(at));
    opens(open_gguf_status, std::string(whole.file).insert(at, 1, 'x'), "with a byte at " + std::to_string(at));
  }
}

const std::string kHeader =
    R"({"__metadata__":{"format":"pt"},"a.weight":{"dtype":"I32","shape":[2,1],"data_offsets":[0,8]},)"
    R"("b":{"dtype":"F16","shape":[2],"data_offsets":[8,12]},"c":{"dtype":"U8","shape":[3],"data_offsets":[12,15]}})";
const std::string kData(15, 'x');

TEST_F(Corrupt, SafetensorsCutAtEveryLength) {
  const std::string whole = safetensors_file(kHeader, kData);
  ASSERT_TRUE(opens(open_safetensors_status, whole, "whole")) << last_message_;
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(opens(open_safetensors_status, whole.substr(0, size), "cut at " + std::to_string(size)));
  EXPECT_FALSE(opens(open_safetensors_status, whole + "x", "one byte more"));
}

TEST_F(Corrupt, SafetensorsWithEveryHeaderLength) {
  for (const std::uint64_t value : hostile_values())
    EXPECT_FALSE(opens(open_safetensors_status, raw(value) + kHeader + kData, "length " + std::to_string(value)));
}

TEST_F(Corrupt, SafetensorsWithEveryNumberReplaced) {
  const char* values[] = {"0",
                          "1",
                          "2",
                          "3",
                          "4",
                          "-1",
                          "1.0",
                          "1e308",
                          "1e999",
                          "2147483648",
                          "4294967295",
                          "4294967297",
                          "4611686018427387905",
                          "9223372036854775807",
                          "9223372036854775808",
                          "18446744073709551608",
                          "18446744073709551615",
                          "18446744073709551616",
                          "null",
                          "true",
                          "\"1\"",
                          "[]",
                          "{}",
                          "[1]",
                          ""};
  int replaced = 0;
  for (std::size_t at = kHeader.find(':'); at < kHeader.size(); ++at) {
    const std::size_t end = kHeader.find_first_not_of("0123456789", at);
    const bool is_number = end != at && std::string_view("[,").find(kHeader[at - 1]) != std::string_view::npos;
    if (!is_number) continue;
    ++replaced;
    for (const std::string value : values) {
      if (value == kHeader.substr(at, end - at)) continue;
      std::string header = kHeader;
      header.replace(at, end - at, value);
      EXPECT_FALSE(opens(open_safetensors_status, safetensors_file(header, kData), header)) << header;
    }
  }
  EXPECT_EQ(replaced, 10);
}

TEST_F(Corrupt, SafetensorsWithAnyByteReplaced) {
  for (std::size_t at = 0; at < kHeader.size(); ++at) {
    for (const char byte : {'\0', '"', '[', ']', '{', '}', ',', ':', '9', '-', '\\', ' ', '\x80', '\xFF'}) {
      std::string header = kHeader;
      header[at] = byte;
      opens(open_safetensors_status, safetensors_file(header, kData), header);
    }
    opens(open_safetensors_status, safetensors_file(std::string(kHeader).erase(at, 1), kData), "byte left out");
  }
}

/// Names are unique, so a header of many tensors is legitimate; it must not cost more than in proportion.
TEST_F(Corrupt, ManyTensorsTakeTimeInProportion) {
  constexpr int kCount = 100'000;
  std::string header = "{";
  std::string gguf = "GGUF" + raw(std::uint32_t{3}) + raw(std::uint64_t{kCount}) + raw(std::uint64_t{kCount});
  for (int i = 0; i < kCount; ++i) {
    const std::string name = "t" + std::to_string(i);
    header += "\"" + name + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)";
    gguf += gguf_string(name) + raw(std::uint32_t{0}) + "x";
  }
  for (int i = 0; i < kCount; ++i)
    gguf += gguf_string("t" + std::to_string(i)) + raw(std::uint32_t{1}) + raw(std::uint64_t{0}) + raw(0) +
            raw(std::uint64_t{0});
  gguf += std::string(64, '\0');
  header.back() = '}';
  const double begin = thread_cpu_seconds();
  TensorSet tensors;
  EXPECT_TRUE(open_safetensors(put("a", safetensors_file(header, "")), tensors).ok());
  EXPECT_TRUE(open_gguf(put("b", gguf)).ok());
  EXPECT_LT(thread_cpu_seconds() - begin, 10.0);  // 0.5 s; squared it would be minutes
}

TEST_F(Corrupt, CollectedFilesAreRefused) {
  const std::filesystem::path folder = NIBBLE_SOURCE_DIR "/tests/corrupt";
  int files = 0;
  for (const auto& [name, open] : {std::pair<const char*, Opener>{"gguf", open_gguf_status},
                                   std::pair<const char*, Opener>{"safetensors", open_safetensors_status},
                                   std::pair<const char*, Opener>{"pytorch", open_pytorch_status}}) {
    for (const auto& entry : std::filesystem::directory_iterator(folder / name)) {
      if (entry.path().extension() == ".md") continue;
      const auto bytes = read_text_file(entry.path());
      ASSERT_TRUE(bytes.ok());
      EXPECT_FALSE(opens(open, *bytes, entry.path().string())) << entry.path();
      ++files;
    }
  }
  EXPECT_GT(files, 30);
}

}  // namespace
}  // namespace nibble
