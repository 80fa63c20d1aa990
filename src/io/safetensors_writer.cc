// Writing safetensors as the official writer lays files out (formats-hf.md 1.4), split into shards as huggingface_hub
// splits them (1.6). The whole layout is known from the plan, so pieces may come in any order and nothing is buffered.
#include <algorithm>
#include <map>
#include <mutex>
#include <numeric>
#include <set>

#include "base/byte_reader.h"
#include "base/check.h"
#include "base/json.h"
#include "base/utf8.h"
#include "io/safetensors.h"
#include "io/written_runs.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxHeaderBytes = 100'000'000;

/// Where a tensor of the plan goes.
struct Place {
  std::uint64_t bytes = 0;
  std::size_t shard = 0;
  std::uint64_t offset = 0;  ///< in the file
  WrittenRuns written;
};

Status check_plan(const std::vector<SafetensorsPlan>& plan, std::vector<Place>& places) {
  std::set<std::string_view> names;
  for (const SafetensorsPlan& tensor : plan) {
    const auto where = [&] { return fmt::format("tensor \"{}\"", printable(tensor.name)); };
    if (tensor.name.empty() || tensor.name == "__metadata__" || !is_utf8(tensor.name))
      return fail(ErrorCode::kInvalidArgument, "{}: safetensors cannot hold a tensor of this name", where());
    if (!names.insert(tensor.name).second) return fail(ErrorCode::kInvalidArgument, "{}: planned twice", where());
    std::uint64_t elements = 1;
    for (const std::int64_t size : tensor.shape)
      if (size < 0 || !checked_multiply(elements, static_cast<std::uint64_t>(size), elements))
        return fail(ErrorCode::kInvalidArgument, "{}: impossible shape", where());
    const auto bytes = element_bytes(tensor.element, elements);
    if (!bytes) return fail(ErrorCode::kInvalidArgument, "{}: not a whole number of bytes", where());
    Place place;
    place.bytes = *bytes;
    places.push_back(std::move(place));
  }
  return {};
}

/// Plan indices per shard, filled greedily in plan order; a tensor above the limit gets a shard of its own, numbered
/// before the one being filled (huggingface_hub does the same).
std::vector<std::vector<std::size_t>> split_into_shards(const std::vector<Place>& places, std::uint64_t limit) {
  std::vector<std::vector<std::size_t>> shards;
  std::vector<std::size_t> current;
  std::uint64_t current_bytes = 0;
  for (std::size_t i = 0; i < places.size(); ++i) {
    const std::uint64_t bytes = places[i].bytes;
    if (bytes > limit) {
      shards.push_back({i});
      continue;
    }
    if (current_bytes + bytes > limit) {
      shards.push_back(std::move(current));
      current.clear();
      current_bytes = 0;
    }
    current.push_back(i);
    current_bytes += bytes;
  }
  if (!current.empty() || shards.empty()) shards.push_back(std::move(current));
  return shards;
}

std::string json_string(const std::string& text) { return Json(text).dump(); }

/// Puts a file's members into the order that they have in it, and says where each begins behind the header. Gives the
/// bytes of all.
Result<std::uint64_t> place_members(const std::vector<SafetensorsPlan>& plan, std::vector<std::size_t>& members,
                                    std::vector<Place>& places) {
  std::sort(members.begin(), members.end(), [&](std::size_t a, std::size_t b) {
    return plan[a].element != plan[b].element ? plan[a].element > plan[b].element : plan[a].name < plan[b].name;
  });
  std::uint64_t end = 0;
  for (const std::size_t index : members) {
    places[index].offset = end;
    if (!checked_add(end, places[index].bytes, end))
      return fail(ErrorCode::kInvalidArgument, "the tensors need more than 2^64 bytes");
  }
  return end;
}

/// A file's header: its members, each with its bytes and where it begins behind the header.
std::string header_of(const std::vector<SafetensorsPlan>& plan, const std::vector<std::size_t>& members,
                      const std::vector<Place>& places, const std::map<std::string, std::string>& metadata) {
  std::string header = "{";
  if (!metadata.empty()) header += "\"__metadata__\":" + Json(metadata).dump();
  for (const std::size_t index : members) {
    if (header.size() > 1) header += ',';
    header += fmt::format(R"({}:{{"dtype":"{}","shape":{},"data_offsets":[{},{}]}})", json_string(plan[index].name),
                          element_info(plan[index].element).safetensors, Json(plan[index].shape).dump(),
                          places[index].offset, places[index].offset + places[index].bytes);
  }
  header += '}';
  header.append((8 - header.size() % 8) % 8, ' ');
  return header;
}

class Writer final : public SafetensorsWriter {
 public:
  Writer(fs::path folder, std::vector<SafetensorsPlan> plan, std::vector<Place> places)
      : folder_(std::move(folder)), plan_(std::move(plan)), places_(std::move(places)) {}

  Status prepare(const std::map<std::string, std::string>& metadata, std::uint64_t shard_bytes) {
    auto shards = split_into_shards(places_, shard_bytes == 0 ? UINT64_MAX : shard_bytes);
    for (std::size_t i = 0; i < shards.size(); ++i) {
      const std::string name = shards.size() == 1
                                   ? "model.safetensors"
                                   : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
      NIBBLE_TRY_STATUS(prepare_shard(name, std::move(shards[i]), metadata));
    }
    return {};
  }

  Status write(std::size_t index, std::uint64_t offset, std::span<const std::byte> bytes) override {
    NIBBLE_CHECK(index < plan_.size() && !finished_);
    Place& place = places_[index];
    NIBBLE_CHECK(offset <= place.bytes && bytes.size() <= place.bytes - offset);
    NIBBLE_TRY_STATUS(files_[place.shard].write_at(place.offset + offset, bytes));
    const std::lock_guard lock(mutex_);
    place.written.add(offset, offset + bytes.size());
    return {};
  }

  Status finish() override {
    NIBBLE_CHECK(!finished_);
    for (std::size_t i = 0; i < places_.size(); ++i) {
      const std::uint64_t missing = places_[i].written.first_missing(places_[i].bytes);
      if (missing != places_[i].bytes)
        return fail(ErrorCode::kInvalidArgument, "{}: tensor \"{}\": byte {} of {} was never written",
                    (folder_ / names_[places_[i].shard]).string(), printable(plan_[i].name), missing, places_[i].bytes);
    }
    finished_ = true;
    for (AtomicFile& file : files_) NIBBLE_TRY_STATUS(file.commit());
    if (files_.size() == 1) return {};
    return write_index();
  }

 private:
  /// Lays one file out, writes its header and claims its room on the disk.
  Status prepare_shard(const std::string& name, std::vector<std::size_t> members,
                       const std::map<std::string, std::string>& metadata) {
    for (const std::size_t index : members) places_[index].shard = files_.size();
    const Result<std::uint64_t> placed = place_members(plan_, members, places_);
    if (!placed.ok()) return with_context(placed.error(), name);
    const std::uint64_t end = *placed;
    const std::string header = header_of(plan_, members, places_, metadata);
    if (header.size() > kMaxHeaderBytes)
      return fail(ErrorCode::kUnsupported,
                  "{}: the header would need {} bytes, safetensors allows {}; write smaller shards",
                  (folder_ / name).string(), header.size(), kMaxHeaderBytes);
    const std::uint64_t data_begin = 8 + header.size();
    for (const std::size_t index : members) places_[index].offset += data_begin;
    NIBBLE_TRY(AtomicFile file, AtomicFile::create(folder_ / name));
    NIBBLE_TRY_STATUS(file.reserve(data_begin + end));
    const std::uint64_t length = header.size();
    NIBBLE_TRY_STATUS(file.append(std::as_bytes(std::span(&length, 1))));
    NIBBLE_TRY_STATUS(file.append(std::as_bytes(std::span(header))));
    files_.push_back(std::move(file));
    names_.push_back(name);
    return {};
  }

  /// As huggingface_hub writes it: two spaces of indentation, keys sorted.
  Status write_index() const {
    std::uint64_t total = 0;
    std::map<std::string, std::string> weight_map;
    for (std::size_t i = 0; i < plan_.size(); ++i) {
      total += places_[i].bytes;
      weight_map.emplace(plan_[i].name, names_[places_[i].shard]);
    }
    const Json index = {{"metadata", {{"total_size", total}}}, {"weight_map", weight_map}};
    const std::string text = index.dump(2) + "\n";
    NIBBLE_TRY(AtomicFile file, AtomicFile::create(folder_ / "model.safetensors.index.json"));
    NIBBLE_TRY_STATUS(file.append(std::as_bytes(std::span(text))));
    return file.commit();
  }

  fs::path folder_;
  std::vector<SafetensorsPlan> plan_;
  std::vector<Place> places_;
  std::mutex mutex_;  ///< of the written runs
  std::vector<AtomicFile> files_;
  std::vector<std::string> names_;
  bool finished_ = false;
};

}  // namespace

Result<std::uint64_t> safetensors_bytes(const std::vector<SafetensorsPlan>& plan,
                                        const std::map<std::string, std::string>& metadata) {
  std::vector<Place> places;
  NIBBLE_TRY_STATUS(check_plan(plan, places));
  std::vector<std::size_t> members(plan.size());
  std::iota(members.begin(), members.end(), std::size_t{0});
  NIBBLE_TRY(const std::uint64_t end, place_members(plan, members, places));
  return 8 + header_of(plan, members, places, metadata).size() + end;
}

Result<std::unique_ptr<SafetensorsWriter>> SafetensorsWriter::create(const fs::path& folder,
                                                                     std::vector<SafetensorsPlan> plan,
                                                                     const std::map<std::string, std::string>& metadata,
                                                                     std::uint64_t shard_bytes) {
  std::vector<Place> places;
  NIBBLE_TRY_STATUS(check_plan(plan, places));
  for (const auto& entry : metadata)
    if (!is_utf8(entry.first) || !is_utf8(entry.second))
      return fail(ErrorCode::kInvalidArgument, "metadata \"{}\" is not UTF-8", printable(entry.first));
  auto writer = std::make_unique<Writer>(folder, std::move(plan), std::move(places));
  NIBBLE_TRY_STATUS(writer->prepare(metadata, shard_bytes));
  return std::unique_ptr<SafetensorsWriter>(std::move(writer));
}

}  // namespace nibble
