// Broken PyTorch files: cut at every length, with every number of archive and pickle replaced, with any bytes changed.
#include <gtest/gtest.h>

#include "io/corrupt_test_support.h"
#include "io/pytorch.h"
#include "io/pytorch_test_support.h"

namespace nibble {
namespace {

class CorruptPytorch : public Corrupt {
 protected:
  bool opens(const std::string& bytes, const std::string& what) const {
    return Corrupt::opens([](const std::filesystem::path& path) { return open_all(open_pytorch, path); }, bytes, what);
  }
};

/// Two tensors of one storage, one of them transposed, and a third.
std::string small_pickle() {
  const std::string shared = pickled_storage("FloatStorage", "0", 6);
  return pickle_of_dict({{"a.weight", pickled_tensor(shared, 0, {2, 3}, {3, 1})},
                         {"t", pickled_tensor(shared, 0, {3, 2}, {1, 3})},
                         {"b", pickled_tensor(pickled_storage("HalfStorage", "1", 4), 1, {3}, {1})}});
}

const std::string kVersion = "3\n";

std::vector<std::string> small_storages() { return {std::string(24, 'x'), std::string(8, 'y')}; }

ZipBuilder small_archive(ZipStyle style) {
  ZipBuilder zip(style);
  zip.add("m/data.pkl", small_pickle());
  zip.add("m/data/0", small_storages()[0]);
  zip.add("m/data/1", small_storages()[1]);
  zip.add("m/version", kVersion);
  return zip;
}

const ZipStyle kStyles[] = {{true, true, false}, {false, false, false}, {false, true, true}};

TEST_F(CorruptPytorch, CutAtEveryLength) {
  for (const ZipStyle style : kStyles) {
    const std::string whole = small_archive(style).finish();
    ASSERT_TRUE(opens(whole, "whole")) << last_message_;
    for (std::size_t size = 0; size < whole.size(); ++size)
      EXPECT_FALSE(opens(whole.substr(0, size), "cut at " + std::to_string(size)));
    EXPECT_FALSE(opens(whole + "x", "one byte more"));
  }
}

TEST_F(CorruptPytorch, WithEveryNumberOfTheArchiveReplaced) {
  for (const ZipStyle style : kStyles) {
    ZipBuilder zip = small_archive(style);
    const std::string whole = zip.finish();
    for (const Field& field : zip.fields()) {
      for (const std::uint64_t value : hostile_values()) {
        std::string file = whole;
        file.replace(field.offset, field.bytes, raw(value).substr(0, field.bytes));
        if (file == whole) continue;
        // All ones in the end record mean that the 64-bit one says it; where all ones stood, the number itself may.
        const std::string bytes = raw(value).substr(0, field.bytes);
        const bool may_open = (style.end64 && bytes == std::string(field.bytes, '\xFF')) ||
                              (style.wide && field.name == "offset" && bytes == raw(0)) ||
                              (style.wide && field.name.ends_with("size") && value == kVersion.size());
        EXPECT_TRUE(!opens(file, field.name) || may_open) << field.name << " at " << field.offset << " = " << value;
      }
    }
  }
}

TEST_F(CorruptPytorch, WithEveryNumberOfThePickleReplaced) {
  const std::string pickle = small_pickle();
  int replaced = 0;
  for (std::size_t at = pickle.find("\x8a\x08"); at != std::string::npos; at = pickle.find("\x8a\x08", at + 10)) {
    ++replaced;
    for (const std::uint64_t value : hostile_values()) {
      std::string other = pickle;
      other.replace(at + 2, 8, raw(value));
      const bool opened = opens(pytorch_file(other, small_storages()), std::to_string(value));
      EXPECT_TRUE(!opened || value < 7) << "at " << at << ": " << value;  // another view of the storage
    }
  }
  EXPECT_EQ(replaced, 16);
}

TEST_F(CorruptPytorch, WithAnyBytesOfThePickleReplaced) {
  const std::string pickle = small_pickle();
  const std::uint64_t values[] = {0, UINT64_MAX, std::uint64_t{1} << 63, 0x7FFFFFFFFFFFFFFF, 0x0101010101010101};
  for (std::size_t at = 0; at < pickle.size(); ++at) {
    for (const std::size_t width : {1u, 4u, 8u}) {
      for (const std::uint64_t value : values) {
        std::string other = pickle;
        other.replace(at, width, raw(value).substr(0, width));
        opens(pytorch_file(other, small_storages()), std::to_string(width) + " bytes at " + std::to_string(at));
      }
    }
    for (const char opcode : std::string_view("().0Q]}abceghjqrstuR\x80\x85\x86\x87\x88\x89\x8a"))
      opens(pytorch_file(std::string(pickle).replace(at, 1, 1, opcode), small_storages()), "an opcode");
    opens(pytorch_file(std::string(pickle).erase(at, 1), small_storages()), "without a byte");
    opens(pytorch_file(std::string(pickle).insert(at, 1, ')'), small_storages()), "with a byte more");
  }
}

TEST_F(CorruptPytorch, WithAnyByteOfTheArchiveReplaced) {
  const std::string whole = small_archive({}).finish();
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const char byte : {'\0', '\1', '\x7F', '\x80', '\xFF'})
      opens(std::string(whole).replace(at, 1, 1, byte), "a byte at " + std::to_string(at));
    EXPECT_FALSE(opens(std::string(whole).erase(at, 1), "without byte " + std::to_string(at)));
  }
}

/// Short opcodes that make large things: values, tuples of memoized values, views of one storage.
TEST_F(CorruptPytorch, MemoryStaysInProportion) {
  const auto repeat = [](const std::string& text, int count) {
    std::string out;
    for (int i = 0; i < count; ++i) out += text;
    return out;
  };
  opens(pytorch_file("\x80\x02(" + repeat("}", 300'000) + "t.", {}), "dicts");
  opens(pytorch_file("\x80\x02(" + repeat("]", 300'000) + "t.", {}), "lists");
  opens(pytorch_file("\x80\x02" + repeat("N\x85", 150'000) + ".", {}), "tuples");
  opens(pytorch_file("\x80\x02(" + repeat("(", 300'000) + ".", {}), "marks");
  const std::string view = pickled_tensor(pickled_storage("FloatStorage", "0", 6), 0, {3, 2}, {1, 3});
  std::string views = "\x80\x02}(" + pickled_text("0") + view + "q\1";
  for (int i = 1; i < 30'000; ++i) views += pickled_text(std::to_string(i)) + "h\1";
  EXPECT_FALSE(opens(pytorch_file(views + "u.", {std::string(24, 'x')}), "copies of a view"));
  EXPECT_NE(last_message_.find("larger than the file"), std::string::npos) << last_message_;
}

}  // namespace
}  // namespace nibble
