// Opening one PyTorch file: finds the state dict in the pickle and the bytes of each tensor in the archive.
#include "io/pytorch.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "base/byte_reader.h"
#include "base/log.h"
#include "base/utf8.h"
#include "io/strided_copy.h"
#include "io/torch_objects.h"
#include "io/zip_index.h"

namespace nibble {
namespace {

constexpr std::string_view kPickleName = "/data.pkl";
constexpr int kMaxVersion = 10;  // of the archive's layout; PyTorch's own reader has the same limit

/// A file and bytes made of it, which live as long as anyone holds the file.
struct FileWithCopy {
  MappedFile::Ptr file;
  std::vector<std::byte> copy;
};

/// What a file without zip's first bytes is.
Error not_an_archive(const MappedFile& file) {
  const auto bytes = file.bytes();
  const auto at = [&](std::size_t offset, std::string_view magic) {
    return bytes.size() >= offset + magic.size() && std::memcmp(bytes.data() + offset, magic.data(), magic.size()) == 0;
  };
  if (at(0, "\x80\x02") || at(257, "ustar"))
    return fail(ErrorCode::kUnsupported,
                "{}: is in the format that PyTorch wrote before version 1.6, which is not read; in Python: "
                "torch.save(torch.load(file, weights_only=True), file), or save the model as safetensors",
                file.path());
  return fail(ErrorCode::kCorrupt, "{}: begins neither as a zip archive nor as a pickle; is this a PyTorch file?",
              file.path());
}

class TorchArchive {
 public:
  explicit TorchArchive(MappedFile::Ptr file)
      : file_(std::move(file)), path_(file_->path()), copy_budget_(file_->bytes().size()) {}

  Status read(TensorSet& tensors) {
    if (!has_zip_magic(file_->bytes())) return not_an_archive(*file_);
    NIBBLE_TRY_STATUS(find_records());
    NIBBLE_TRY(const std::string_view data, required("data.pkl"));
    const std::string bytes(data);  // the file may change while its names are looked at
    Pickle pickle{path_, {}};
    TorchObjects objects;
    NIBBLE_TRY(const PickleRef root, read_pickle(bytes, objects, pickle));
    NIBBLE_TRY(const PickleValue* const dict, find_state_dict(pickle, pickle.at(root)));
    return add_tensors(pickle, *dict, tensors);
  }

 private:
  /// Indexes the records below the archive's one folder and checks those that say how to read the rest.
  Status find_records() {
    NIBBLE_TRY(records_, read_zip_index(file_->bytes(), path_));
    const auto pickle = std::find_if(records_.begin(), records_.end(), [](const ZipRecord& record) {
      return record.name.find('/') + kPickleName.size() == record.name.size() && record.name.ends_with(kPickleName);
    });
    if (pickle == records_.end())
      return fail(ErrorCode::kCorrupt, "{}: the zip archive has no record */data.pkl; is this a PyTorch file?", path_);
    const std::string root = pickle->name.substr(0, pickle->name.size() - kPickleName.size() + 1);
    for (const ZipRecord& record : records_)
      if (record.name.starts_with(root)) by_name_.emplace(std::string_view(record.name).substr(root.size()), &record);
    if (by_name_.contains("constants.pkl"))
      return fail(ErrorCode::kUnsupported, "{}: is a TorchScript program, not a state dict; save model.state_dict()",
                  path_);
    if (by_name_.contains("byteorder")) {
      NIBBLE_TRY(const std::string_view order, required("byteorder"));
      if (order != "little")
        return fail(ErrorCode::kUnsupported, "{}: byteorder is \"{}\", only little-endian files are read", path_,
                    printable(order));
    }
    NIBBLE_TRY(const std::string_view version, required("version"));
    const int number = std::atoi(std::string(version.substr(0, 4)).c_str());  // decimal, then a line feed
    if (number < 1 || number > kMaxVersion)
      return fail(ErrorCode::kUnsupported, "{}: version is {}, expected 1 to {}", path_, number, kMaxVersion);
    return {};
  }

  Result<const ZipRecord*> record(std::string_view name) const {
    const auto found = by_name_.find(name);
    if (found == by_name_.end())
      return fail(ErrorCode::kCorrupt, "{}: the zip archive has no record \"{}\"", path_, printable(name));
    if (found->second->is_compressed)
      return fail(ErrorCode::kUnsupported,
                  "{}: the zip record \"{}\" is compressed; weights are read where they lie, so pack the file again "
                  "without compression (zip -0)",
                  path_, printable(name));
    return found->second;
  }

  /// The content of a record that is text or a pickle.
  Result<std::string_view> required(std::string_view name) const {
    NIBBLE_TRY(const ZipRecord* const found, record(name));
    return std::string_view(reinterpret_cast<const char*>(file_->bytes().data()) + found->offset,
                            static_cast<std::size_t>(found->size));
  }

  static bool holds_tensors(const Pickle& pickle, const PickleValue& value) {
    if (value.kind != PickleKind::kDict) return false;
    for (std::size_t i = 1; i < value.items.size(); i += 2)
      if (is_torch_tensor(pickle.at(value.items[i]))) return true;
    return false;
  }

  /// The dict of tensors: what trainers put under "state_dict" or "model", else the whole.
  Result<const PickleValue*> find_state_dict(const Pickle& pickle, const PickleValue& root) const {
    if (root.kind != PickleKind::kDict)
      return fail(ErrorCode::kUnsupported, "{}: the pickle holds a value of type {}, expected a state dict", path_,
                  is_torch_tensor(root) ? "tensor" : pickle_kind_name(root.kind));
    for (std::size_t i = 0; i < root.items.size(); i += 2) {
      const PickleValue& key = pickle.at(root.items[i]);
      const PickleValue& value = pickle.at(root.items[i + 1]);
      if ((key.text == "state_dict" || key.text == "model") && holds_tensors(pickle, value)) return &value;
    }
    if (!holds_tensors(pickle, root))
      return fail(ErrorCode::kUnsupported,
                  "{}: the pickle holds a dict without tensors, also below \"state_dict\" and \"model\"", path_);
    return &root;
  }

  Status add_tensors(const Pickle& pickle, const PickleValue& dict, TensorSet& tensors) {
    std::size_t skipped = 0;
    for (std::size_t i = 0; i < dict.items.size(); i += 2) {
      const PickleValue& key = pickle.at(dict.items[i]);
      const PickleValue& value = pickle.at(dict.items[i + 1]);
      if (key.kind != PickleKind::kText)
        return fail(ErrorCode::kUnsupported, "{}: a name in the state dict is of type {}, expected a string", path_,
                    pickle_kind_name(key.kind));
      if (is_torch_tensor(value)) {
        NIBBLE_TRY(StoredTensor tensor, place(pickle, key.text, value));
        NIBBLE_TRY_STATUS(tensors.add(std::move(tensor)));
      } else if (value.kind < PickleKind::kTuple) {  // None, numbers, strings
        ++skipped;
      } else {
        return fail(ErrorCode::kUnsupported, "{}: \"{}\" in the state dict is of type {}, expected a tensor", path_,
                    printable(key.text), pickle_kind_name(value.kind));
      }
    }
    if (skipped != 0) log_warning("{}: {} entries of the state dict are no tensors; they are left out", path_, skipped);
    return {};
  }

  Result<StoredTensor> place(const Pickle& pickle, std::string_view name, const PickleValue& value) {
    const std::string where = fmt::format("{}: tensor \"{}\"", path_, printable(name));
    NIBBLE_TRY(TorchTensor view, read_torch_tensor(pickle, value, where));
    NIBBLE_TRY(const ZipRecord* const storage, record("data/" + view.storage));
    if (storage->size != view.storage_bytes)
      return fail(ErrorCode::kCorrupt, "{}: its storage has {} bytes, the record \"data/{}\" has {}", where,
                  view.storage_bytes, printable(view.storage), storage->size);
    const auto width = static_cast<std::size_t>(element_info(view.element).bits) / 8;
    NIBBLE_TRY_STATUS(check_reach(view, view.storage_bytes / width, where));
    StoredTensor tensor;
    tensor.name = std::string(name);
    tensor.element = view.element;
    tensor.file = file_;
    tensor.file_offset = static_cast<std::size_t>(storage->offset) + static_cast<std::size_t>(view.offset) * width;
    tensor.shape = std::move(view.shape);
    const auto elements = static_cast<std::size_t>(tensor.elements());
    if (is_contiguous(tensor.shape, view.strides)) {
      tensor.bytes = file_->bytes().subspan(tensor.file_offset, elements * width);
      return tensor;
    }
    if (elements > copy_budget_ / width)  // a stride of 0 repeats an element any number of times
      return fail(ErrorCode::kUnsupported,
                  "{}: is a view whose copy, with those before it, is larger than the file; save it with .contiguous()",
                  where);
    copy_budget_ -= elements * width;
    const auto held = std::make_shared<FileWithCopy>();
    held->file = file_;
    held->copy = copy_strided(file_->bytes().data() + tensor.file_offset, tensor.shape, view.strides, width);
    tensor.bytes = held->copy;
    tensor.file = MappedFile::Ptr(held, file_.get());
    return tensor;
  }

  /// Do offset, shape and strides stay within `elements` of the storage?
  static Status check_reach(const TorchTensor& view, std::uint64_t elements, const std::string& where) {
    std::uint64_t end = view.offset;  // one past the last element reached
    bool fits = true;
    const bool is_empty = std::find(view.shape.begin(), view.shape.end(), 0) != view.shape.end();
    for (std::size_t i = 0; i < view.shape.size() && !is_empty; ++i) {
      std::uint64_t reach;
      fits = fits &&
             checked_multiply(static_cast<std::uint64_t>(view.shape[i] - 1),
                              static_cast<std::uint64_t>(view.strides[i]), reach) &&
             checked_add(end, reach, end);
    }
    if (!fits || !checked_add(end, is_empty ? 0 : 1, end) || end > elements)
      return fail(ErrorCode::kCorrupt, "{}: storage_offset, size and stride reach past the {} elements of its storage",
                  where, elements);
    return {};
  }

  MappedFile::Ptr file_;
  std::string path_;
  std::size_t copy_budget_;
  std::vector<ZipRecord> records_;
  std::unordered_map<std::string_view, const ZipRecord*> by_name_;  // without the archive's folder
};

}  // namespace

Result<std::uint64_t> open_pytorch(const std::filesystem::path& path, TensorSet& tensors) {
  NIBBLE_TRY(const MappedFile::Ptr file, MappedFile::open(path));
  NIBBLE_TRY_STATUS(TorchArchive(file).read(tensors));
  NIBBLE_TRY_STATUS(file->check_intact());
  return file->bytes().size();
}

}  // namespace nibble
