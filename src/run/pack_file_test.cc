// Packs: the same logits from memory, from a pack and from a pack that is streamed; and nothing damaged is trusted.
#include "run/pack_file.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>

#include "base/checksum.h"
#include "run/cpu_executor.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

/// Seeded weights: block matrices in int4, or in float32, where a model is large for its size.
class SeededWeights final : public ModelWeights {
 public:
  SeededWeights(std::int64_t hidden, std::int64_t ffn, int layers, bool int4, bool tied) : int4_(int4) {
    config_.vocab_size = 64;
    config_.hidden_size = hidden;
    config_.intermediate_size = ffn;
    config_.num_hidden_layers = layers;
    config_.num_attention_heads = config_.num_key_value_heads = 4;
    config_.head_dim = hidden / 4;
    config_.max_position_embeddings = 128;
    config_.rms_norm_eps = 1e-5f;
    config_.attention_scale = 0.1f;
    kernel::RopeConfig rope;
    rope.rotary_dim = static_cast<int>(config_.head_dim);
    config_.ropes = {rope};
    config_.layers.assign(static_cast<std::size_t>(layers), LayerKind{});
    layout_ = decoder_layout(config_, !tied);
  }
  const ModelConfig& config() const override { return config_; }
  const ModelLayout& layout() const override { return layout_; }
  std::string path() const override { return "seeded"; }
  Result<MatrixPtr> matrix(LinearId id) const override {
    const LinearInfo& info = layout_.linears[static_cast<std::size_t>(id)];
    std::mt19937 random(static_cast<unsigned>(id) + 5);
    QuantizedMatrix m;
    const bool int4 = int4_ && info.role == LinearInfo::Role::kBlock;
    m.allocate(int4 ? *parse_scheme("int4-g32-sym") : QuantScheme::of_float(ElementType::kF32), info.rows, info.cols, 0,
               info.rows);
    if (int4) {
      for (std::uint8_t& code : m.codes) code = static_cast<std::uint8_t>(random() % 16);
      const float scale = 0.02f;
      for (std::size_t i = 0; i < m.scale.entries.size(); i += 2)
        encode_elements(ElementType::kF16, &scale, 1, m.scale.entries.data() + i);
    } else {
      for (std::size_t i = 0; i < m.codes.size(); i += 4) {
        const float value = static_cast<float>(random() % 2001) * 1e-4f - 0.1f;
        std::memcpy(m.codes.data() + i, &value, 4);
      }
    }
    return make_source(std::move(m));
  }
  Result<std::vector<float>> bias(LinearId) const override { return std::vector<float>{}; }
  Result<std::vector<float>> vector(VectorId id) const override {
    return std::vector<float>(static_cast<std::size_t>(layout_.vectors[static_cast<std::size_t>(id)].size), 1.0f);
  }

 private:
  ModelConfig config_;
  ModelLayout layout_;
  bool int4_;
};

class Packs : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "nibble-packs-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    path_ = folder_ / "stored.pack";
    key_[0] = std::byte{7};
  }
  void TearDown() override { fs::remove_all(folder_); }

  void write(const ModelWeights& weights) {
    const Status written = write_pack(path_, key_, weights, {}, {}, {}, *pool_);
    ASSERT_TRUE(written.ok()) << written.error().message;
  }
  Result<PackFile::Ptr> open() const { return PackFile::open(path_, &key_, PackFile::Pages::kStay, *pool_); }

  std::vector<std::byte> bytes() const {
    const auto file = MappedFile::open(path_).value();
    return {file->bytes().begin(), file->bytes().end()};
  }
  void put(const std::vector<std::byte>& content) const {
    fs::remove(path_);  // file systems sync what is cut and written again
    std::ofstream(path_, std::ios::binary)
        .write(reinterpret_cast<const char*>(content.data()), static_cast<std::streamsize>(content.size()));
  }

  std::vector<float> logits(const CpuModel::Ptr& model) const {
    CpuExecutor executor(model, pool_, {});
    const auto sequence = executor.new_sequence();
    std::vector<float> all;
    const auto feed = [&](std::vector<std::int32_t> tokens) {
      const BatchItem item{sequence.get(), tokens, BatchItem::Logits::kAll};
      const Status done =
          executor.forward({&item, 1}, [&](std::size_t, std::int64_t, std::int64_t rows, const float* values) {
            all.insert(all.end(), values, values + rows * model->config().vocab_size);
          });
      EXPECT_TRUE(done.ok()) << (done.ok() ? "" : done.error().message);
    };
    feed({1, 2, 3, 40, 5});
    feed({6});
    feed({7});
    return all;
  }

  fs::path folder_;
  fs::path path_;
  PackKey key_{};
  std::shared_ptr<ThreadPool> pool_ = std::make_shared<ThreadPool>(2);
};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && !a.empty() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST_F(Packs, GiveTheSameLogitsAsMemory) {
  for (const bool int4 : {true, false})
    for (const bool tied : {true, false}) {
      const auto weights = std::make_shared<SeededWeights>(64, 160, 2, int4, tied);
      write(*weights);
      CpuModelOptions options;
      options.pack = open().value();
      const CpuModel::Ptr from_pack = CpuModel::load(weights, options, *pool_).value();
      const CpuModel::Ptr from_memory = CpuModel::load(weights, {}, *pool_).value();
      EXPECT_EQ(from_pack->packed_bytes(), from_memory->packed_bytes());
      EXPECT_EQ(from_pack->bytes_per_token(), from_memory->bytes_per_token());
      EXPECT_EQ(from_pack->scheme(2), from_memory->scheme(2));
      fs::remove(path_);  // safe while it is mapped
      EXPECT_TRUE(same_bits(logits(from_pack), logits(from_memory)));
    }
}

TEST_F(Packs, StreamedWeightsGiveTheSameLogits) {
  for (const bool tied : {true, false}) {
    const auto weights = std::make_shared<SeededWeights>(256, 2304, 4, false, tied);
    write(*weights);
    const std::vector<float> expected = logits(CpuModel::load(weights, {}, *pool_).value());
    CpuModelOptions options;
    options.pack = open().value();
    const auto total = options.pack->file()->bytes().size();
    for (const std::uint64_t memory : {std::uint64_t{9} << 20, std::uint64_t{16} << 20, std::uint64_t{total}}) {
      options.pack_memory = memory;
      const CpuModel::Ptr model = CpuModel::load(weights, options, *pool_).value();
      ASSERT_NE(model->stream(), nullptr);
      EXPECT_EQ(model->stream()->streamed_bytes() == 0, memory >= total);
      EXPECT_LT(model->stream()->streamed_bytes(), total);
      EXPECT_TRUE(same_bits(logits(model), expected)) << memory;
    }
    options.pack_memory = 100'000;
    const auto refused = CpuModel::load(weights, options, *pool_);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, ErrorCode::kOutOfMemory);
    EXPECT_NE(refused.error().message.find("is the least"), std::string::npos) << refused.error().message;
  }
}

TEST_F(Packs, OthersThanAskedForAreRefused) {
  const SeededWeights weights(32, 64, 1, true, true);
  EXPECT_EQ(open().error().code, ErrorCode::kNotFound);
  write(weights);
  ASSERT_TRUE(open().ok());
  PackKey other = key_;
  other[31] = std::byte{1};
  EXPECT_EQ(PackFile::open(path_, &other, PackFile::Pages::kStay, *pool_).error().code, ErrorCode::kUnsupported);
  for (const std::size_t size : {0, 1, 7, 87, 88, 5000}) {
    put(std::vector<std::byte>(size, std::byte{'N'}));
    EXPECT_EQ(open().error().code, ErrorCode::kCorrupt) << size;
  }
}

TEST_F(Packs, EveryDamageIsSeen) {
  const SeededWeights weights(32, 64, 1, true, true);
  write(weights);
  const std::vector<std::byte> whole = bytes();
  std::uint64_t directory = 0;
  std::memcpy(&directory, whole.data() + 24, 8);
  const PackFile::Ptr pack = open().value();
  std::vector<bool> matters(whole.size(), false);  // all but the gaps between matrices
  std::fill_n(matters.begin(), 88, true);
  std::fill(matters.begin() + static_cast<std::ptrdiff_t>(directory), matters.end(), true);
  for (const PackFile::Entry& entry : pack->entries())
    std::fill_n(matters.begin() + static_cast<std::ptrdiff_t>(entry.offset), entry.bytes, true);
  std::vector<std::byte> damaged = whole;
  for (std::size_t i = 0; i < whole.size(); i += i < 88 || i >= directory ? 1 : 61) {
    if (!matters[i]) continue;
    damaged[i] = whole[i] ^ std::byte{0x20};
    put(damaged);
    const auto read = open();
    ASSERT_FALSE(read.ok()) << "byte " << i;
    EXPECT_TRUE(read.error().code == ErrorCode::kCorrupt || read.error().code == ErrorCode::kUnsupported);
    damaged[i] = whole[i];
  }
  for (std::size_t size = 0; size < whole.size(); size += size < 100 || size >= directory ? 1 : 997) {
    put({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)});
    ASSERT_FALSE(open().ok()) << "cut to " << size;
  }
  damaged.push_back(std::byte{0});
  put(damaged);
  EXPECT_FALSE(open().ok());
  put(whole);
  EXPECT_TRUE(open().ok());
}

/// Checksums that are right keep nobody from writing nonsense.
TEST_F(Packs, WrongFieldsUnderRightChecksumsAreRefused) {
  const SeededWeights weights(32, 64, 1, true, true);
  write(weights);
  const std::vector<std::byte> whole = bytes();
  std::uint64_t directory = 0;
  std::uint64_t directory_bytes = 0;
  std::memcpy(&directory, whole.data() + 24, 8);
  std::memcpy(&directory_bytes, whole.data() + 32, 8);
  const auto seal = [&](std::vector<std::byte>& content) {
    const std::uint64_t sum = checksum64(std::span(content).first(80));
    std::memcpy(content.data() + 80, &sum, 8);
  };
  for (const std::size_t field : {8, 12, 16, 24, 32, 40})
    for (const std::uint64_t value :
         {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{whole.size()}, ~std::uint64_t{0}, std::uint64_t{1} << 63}) {
      std::vector<std::byte> content = whole;
      std::memcpy(content.data() + field, &value, field < 16 ? 4 : 8);
      if (content == whole) continue;
      seal(content);
      put(content);
      EXPECT_FALSE(open().ok()) << "field at " << field << " = " << value;
    }
  // Each byte of the directory: refused, or a matrix that can be computed with.
  for (std::size_t i = 0; i < directory_bytes; ++i)
    for (const unsigned flip : {0x01u, 0x80u, 0xFFu}) {
      std::vector<std::byte> content = whole;
      content[directory + i] ^= static_cast<std::byte>(flip);
      const std::uint64_t sum = checksum64(std::span(content).subspan(directory, directory_bytes));
      std::memcpy(content.data() + 40, &sum, 8);
      seal(content);
      put(content);
      const auto pack = open();
      if (!pack.ok()) continue;
      for (const PackFile::Entry& entry : (*pack)->entries()) {
        const auto matrix = (*pack)->matrix(entry);
        if (!matrix.ok()) continue;
        std::vector<float> row(static_cast<std::size_t>(matrix->cols()));
        if (matrix->rows() > 0) matrix->decode_row(matrix->rows() - 1, row.data());
      }
    }
}

TEST_F(Packs, CutWhileMappedIsAnError) {
  const auto weights = std::make_shared<SeededWeights>(128, 512, 2, false, true);
  write(*weights);
  CpuModelOptions options;
  options.pack = open().value();
  const CpuModel::Ptr model = CpuModel::load(weights, options, *pool_).value();
  fs::resize_file(path_, 4096);
  CpuExecutor executor(model, pool_, {});
  const auto sequence = executor.new_sequence();
  const std::vector<std::int32_t> tokens{1, 2, 3};
  const BatchItem item{sequence.get(), tokens, BatchItem::Logits::kLast};
  const Status done = executor.forward({&item, 1}, [](std::size_t, std::int64_t, std::int64_t, const float*) {});
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().code, ErrorCode::kIo);
}

TEST_F(Packs, AppearWholeOrNotAtAll) {
  const SeededWeights weights(32, 64, 1, true, true);
  const auto refuse = [] { return Status(fail(ErrorCode::kIo, "the source changed")); };
  EXPECT_FALSE(write_pack(path_, key_, weights, {}, {}, refuse, *pool_).ok());
  const auto stop = [](std::string_view, std::uint64_t done, std::uint64_t, std::string_view) { return done < 3; };
  EXPECT_EQ(write_pack(path_, key_, weights, {}, stop, {}, *pool_).error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(fs::is_empty(folder_));
}

}  // namespace
}  // namespace nibble
