// PyTorch files built field by field: archives as torch.save() lays them out, pickles opcode by opcode.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "io/container_test_support.h"

namespace nibble {

/// How PyTorch writes archives: sizes behind the data, and the 64-bit end record always. Python's zipfile does neither.
struct ZipStyle {
  bool descriptors = true;
  bool end64 = true;
  bool wide = false;  ///< sizes and offsets of records and directory in ZIP64 fields
};

/// An archive under construction that remembers where its numbers are.
class ZipBuilder {
 public:
  explicit ZipBuilder(ZipStyle style = {}) : style_(style) {}

  /// Returns where the content begins.
  std::size_t add(const std::string& name, const std::string& content) {
    const std::size_t begin = file_.size();
    const std::uint32_t crc = crc32(content);
    const bool late = style_.descriptors;
    const auto size32 = late ? 0u : style_.wide ? 0xFFFFFFFFu : static_cast<std::uint32_t>(content.size());
    file_ += "PK\3\4";
    file_ += raw(std::uint16_t{0});
    number(file_, fields_, "flags", static_cast<std::uint16_t>(late ? 0x808 : 0x800));
    number(file_, fields_, "method", std::uint16_t{0});
    file_ += raw(std::uint32_t{0});  // time
    number(file_, fields_, "checksum", late ? 0u : crc);
    number(file_, fields_, "stored size", size32);
    number(file_, fields_, "size", size32);
    number(file_, fields_, "name length", static_cast<std::uint16_t>(name.size()));
    const std::string extra = !late && style_.wide ? wide({content.size(), content.size()}) : padding(name);
    number(file_, fields_, "extra length", static_cast<std::uint16_t>(extra.size()));
    file_ += name + extra;
    const std::size_t at = file_.size();
    file_ += content;
    if (late) {
      number(file_, fields_, "descriptor", std::uint32_t{0x08074b50});
      number(file_, fields_, "checksum", crc);
      number(file_, fields_, "stored size", static_cast<std::uint32_t>(content.size()));
      number(file_, fields_, "size", static_cast<std::uint32_t>(content.size()));
    }
    add_entry(name, content.size(), crc, begin);
    return at;
  }

  /// The bytes of the archive; fields() then has the directory's numbers too.
  std::string finish() {
    const std::size_t directory = file_.size();
    for (Field field : entry_fields_) {
      field.offset += directory;
      fields_.push_back(std::move(field));
    }
    file_ += directory_;
    if (style_.end64) {
      const std::size_t end64 = file_.size();
      number(file_, fields_, "end64", std::uint32_t{0x06064b50});
      number(file_, fields_, "end64 size", std::uint64_t{44});
      file_ += raw(std::uint32_t{0});
      for (const char* disk : {"disk", "directory disk"}) number(file_, fields_, disk, std::uint32_t{0});
      for (const char* count : {"records here", "records"}) number(file_, fields_, count, std::uint64_t{records_});
      number(file_, fields_, "directory size", std::uint64_t{directory_.size()});
      number(file_, fields_, "directory offset", std::uint64_t{directory});
      number(file_, fields_, "locator", std::uint32_t{0x07064b50});
      number(file_, fields_, "end64 disk", std::uint32_t{0});
      number(file_, fields_, "end64 offset", std::uint64_t{end64});
      file_ += raw(std::uint32_t{1});
    }
    const bool in64 = style_.wide && style_.end64;
    number(file_, fields_, "end", std::uint32_t{0x06054b50});
    for (const char* disk : {"disk", "directory disk"}) number(file_, fields_, disk, std::uint16_t{0});
    for (const char* count : {"records here", "records"})
      number(file_, fields_, count, static_cast<std::uint16_t>(in64 ? 0xFFFF : records_));
    number(file_, fields_, "directory size", in64 ? 0xFFFFFFFFu : static_cast<std::uint32_t>(directory_.size()));
    number(file_, fields_, "directory offset", in64 ? 0xFFFFFFFFu : static_cast<std::uint32_t>(directory));
    number(file_, fields_, "comment length", std::uint16_t{0});
    return file_;
  }

  const std::vector<Field>& fields() const { return fields_; }

 private:
  template <typename T>
  static void number(std::string& to, std::vector<Field>& fields, const std::string& name, T value) {
    fields.push_back({name, to.size(), sizeof(T)});
    to += raw(value);
  }

  /// A ZIP64 extra field.
  static std::string wide(const std::vector<std::uint64_t>& numbers) {
    std::string out = raw(std::uint16_t{1}) + raw(static_cast<std::uint16_t>(8 * numbers.size()));
    for (const std::uint64_t value : numbers) out += raw(value);
    return out;
  }

  /// PyTorch's extra field that brings content to a multiple of 64.
  std::string padding(const std::string& name) const {
    if (!style_.descriptors) return {};
    const std::size_t size = 64 - (file_.size() + 2 + name.size() + 4) % 64;
    return "FB" + raw(static_cast<std::uint16_t>(size)) + std::string(size, 'Z');
  }

  void add_entry(const std::string& name, std::size_t size, std::uint32_t crc, std::size_t begin) {
    const auto narrow = [&](std::size_t value) {
      return style_.wide ? 0xFFFFFFFFu : static_cast<std::uint32_t>(value);
    };
    directory_ += "PK\1\2" + raw(std::uint32_t{0});
    number(directory_, entry_fields_, "flags", static_cast<std::uint16_t>(style_.descriptors ? 0x808 : 0x800));
    number(directory_, entry_fields_, "method", std::uint16_t{0});
    directory_ += raw(std::uint32_t{0});
    number(directory_, entry_fields_, "checksum", crc);
    number(directory_, entry_fields_, "stored size", narrow(size));
    number(directory_, entry_fields_, "size", narrow(size));
    number(directory_, entry_fields_, "name length", static_cast<std::uint16_t>(name.size()));
    const std::string extra = style_.wide ? wide({size, size, begin}) : std::string();
    number(directory_, entry_fields_, "extra length", static_cast<std::uint16_t>(extra.size()));
    number(directory_, entry_fields_, "entry comment length", std::uint16_t{0});
    number(directory_, entry_fields_, "entry disk", std::uint16_t{0});
    directory_ += std::string(6, '\0');  // attributes
    number(directory_, entry_fields_, "offset", narrow(begin));
    directory_ += name + extra;
    ++records_;
  }

  ZipStyle style_;
  std::string file_;
  std::string directory_;
  std::size_t records_ = 0;
  std::vector<Field> fields_;
  std::vector<Field> entry_fields_;  // offsets within the directory
};

// Pieces of pickles.

inline std::string pickled_text(std::string_view text) {
  return "X" + raw(static_cast<std::uint32_t>(text.size())) + std::string(text);
}
/// LONG1 with all 8 bytes, so that any number can take its place.
inline std::string pickled_int(std::int64_t value) { return "\x8a\x08" + raw(value); }
inline std::string pickled_global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
inline std::string pickled_tuple(const std::vector<std::string>& items) {
  std::string out = "(";
  for (const std::string& item : items) out += item;
  return out + "t";
}
inline std::string pickled_ints(const std::vector<std::int64_t>& values) {
  std::vector<std::string> items;
  for (const std::int64_t value : values) items.push_back(pickled_int(value));
  return pickled_tuple(items);
}
inline std::string pickled_storage(const std::string& type, const std::string& key, std::int64_t count) {
  return pickled_tuple({pickled_text("storage"), pickled_global("torch", type), pickled_text(key), pickled_text("cpu"),
                        pickled_int(count)}) +
         "Q";
}
inline std::string pickled_tensor(const std::string& storage, std::int64_t offset,
                                  const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& strides) {
  return pickled_global("torch._utils", "_rebuild_tensor_v2") +
         pickled_tuple({storage, pickled_int(offset), pickled_ints(shape), pickled_ints(strides), "\x89",
                        pickled_global("collections", "OrderedDict") + ")R"}) +
         "R";
}
/// A dict of these keys and values, as a whole pickle.
inline std::string pickle_of_dict(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string out = "\x80\x02}(";
  for (const auto& [key, value] : items) out += pickled_text(key) + value;
  return out + "u.";
}

/// A PyTorch file of this pickle and these storages, numbered from 0.
inline std::string pytorch_file(const std::string& pickle, const std::vector<std::string>& storages,
                                ZipStyle style = {}) {
  ZipBuilder zip(style);
  zip.add("m/data.pkl", pickle);
  zip.add("m/byteorder", "little");
  for (std::size_t i = 0; i < storages.size(); ++i) zip.add("m/data/" + std::to_string(i), storages[i]);
  zip.add("m/version", "3\n");
  return zip.finish();
}

}  // namespace nibble
