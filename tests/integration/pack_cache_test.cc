// --pack-cache and --memory of the whole program: the same numbers, packs that are noticed to be stale or damaged, and
// memory that stays below its bound.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <memory>
#include <thread>

#include "base/json.h"
#include "nibble_process.h"
#include "small_models.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

class PackCache : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "nibble-pack-cache-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    model_ = folder_ / "model";
    pack_ = model_ / ".nibble-pack" / "stored.pack";
    write_chat_model(model_);
    std::ofstream ids(folder_ / "ids.tokens");
    for (int i = 0; i < 64; ++i) ids << (i * 7) % 90 + 3 << ' ';
  }
  void TearDown() override { fs::remove_all(folder_); }

  /// Evaluates; returns the bytes of the logits.
  std::string logits(std::vector<std::string> flags, std::string* err = nullptr) {
    const fs::path file = folder_ / "logits";
    std::vector<std::string> args{"eval",  model_, "--tokens",      folder_ / "ids.tokens",
                                  "--ctx", "32",   "--save-logits", file};
    args.insert(args.end(), flags.begin(), flags.end());
    const Finished done = run_nibble(args);
    EXPECT_EQ(done.status, 0) << done.err;
    if (err != nullptr) *err = done.err;
    return read_text_file(file).value();
  }

  Json packs(const std::vector<std::string>& flags = {}) {
    std::vector<std::string> args{"packs", model_, "--json"};
    args.insert(args.end(), flags.begin(), flags.end());
    const Finished done = run_nibble(args);
    EXPECT_EQ(done.status, 0) << done.err;
    return parse_untrusted(done.out, "packs").value()["packs"];
  }

  void damage(std::streamoff at) const {
    std::fstream file(pack_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(at);
    file.write("damage", 6);
  }

  fs::path folder_;
  fs::path model_;
  fs::path pack_;
};

TEST_F(PackCache, AHeadMadeInt8IsInAPackOfItsOwn) {
  EXPECT_EQ(logits({}), logits({"--head", "stored"})) << "of a model that is not quantized";
  const std::vector<std::string> int4{"--scheme", "int4-g32-sym"};
  const auto with = [&](std::vector<std::string> flags) {
    flags.insert(flags.begin(), int4.begin(), int4.end());
    return logits(flags);
  };
  const std::string int8_head = with({"--pack-cache"});
  const std::string stored_head = with({"--pack-cache", "--head", "stored"});
  EXPECT_NE(int8_head, stored_head);
  EXPECT_EQ(with({"--pack-cache"}), int8_head);
  EXPECT_EQ(with({"--compute", "f32"}), with({"--compute", "f32", "--head", "stored"}));
  EXPECT_NE(with({"--head", "scheme"}), stored_head);
  EXPECT_EQ(listing(model_ / ".nibble-pack"),
            (std::vector<std::string>{"int4-g32-sym-float-head.pack", "int4-g32-sym.pack"}));
}

TEST_F(PackCache, GivesTheSameLogitsAndIsUsedAgain) {
  const std::string expected = logits({});
  EXPECT_FALSE(fs::exists(pack_));
  EXPECT_EQ(logits({"--pack-cache"}), expected);
  ASSERT_TRUE(fs::exists(pack_));
  const auto written = fs::last_write_time(pack_);
  EXPECT_EQ(logits({"--pack-cache"}), expected);
  EXPECT_EQ(fs::last_write_time(pack_), written);
  EXPECT_EQ(logits({"--memory", "1G"}), expected);  // a sanitizer takes some 250 MB
  EXPECT_EQ(fs::last_write_time(pack_), written);
  ASSERT_EQ(packs().size(), 1u);
  EXPECT_EQ(packs()[0]["state"], "current");
  EXPECT_EQ(packs()[0]["bytes"], fs::file_size(pack_));
  const Finished deleted = run_nibble({"packs", model_, "--delete"});
  EXPECT_EQ(deleted.status, 0) << deleted.err;
  EXPECT_FALSE(fs::exists(model_ / ".nibble-pack"));
}

TEST_F(PackCache, SchemesHavePacksOfTheirOwn) {
  const std::string expected = logits({"--scheme", "int4-g32-sym", "--range", "mse"});
  EXPECT_EQ(logits({"--scheme", "int4-g32-sym", "--range", "mse", "--pack-cache"}), expected);
  EXPECT_EQ(logits({"--scheme", "int4-g32-sym", "--range", "mse", "--pack-cache"}), expected);
  EXPECT_NE(logits({"--pack-cache"}), expected);
  EXPECT_EQ(listing(model_ / ".nibble-pack"), (std::vector<std::string>{"int4-g32-sym-mse.pack", "stored.pack"}));
}

TEST_F(PackCache, LiesInAnotherFolderWhenAsked) {
  const std::string expected = logits({});
  const std::string flag = "--pack-cache=" + (folder_ / "packs").string();
  EXPECT_EQ(logits({flag}), expected);
  EXPECT_EQ(logits({flag}), expected);
  EXPECT_FALSE(fs::exists(model_ / ".nibble-pack"));
  ASSERT_EQ(packs({"--folder", folder_ / "packs"}).size(), 1u);
  EXPECT_EQ(packs({"--folder", folder_ / "packs"})[0]["state"], "current");
  EXPECT_EQ(packs().size(), 0u);
}

TEST_F(PackCache, ChangedContentIsNoticed) {
  const std::string before = logits({"--pack-cache"});
  const fs::path weights = model_ / "model.safetensors";
  const auto time = fs::last_write_time(weights);
  {
    std::fstream file(weights, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(fs::file_size(weights) / 2));
    file.write(std::string(16, '\0').data(), 16);
  }
  fs::last_write_time(weights, time);  // the same size and time as before: a time of change cannot be set
  EXPECT_EQ(packs()[0]["state"], "stale");
  std::string err;
  const std::string after = logits({"--pack-cache"}, &err);
  EXPECT_NE(after, before);
  EXPECT_THAT(err, HasSubstr("packing anew"));
  EXPECT_EQ(after, logits({}));
  EXPECT_EQ(packs()[0]["state"], "current");
}

TEST_F(PackCache, DamageIsSeenAndMended) {
  const std::string expected = logits({"--pack-cache"});
  const auto size = static_cast<std::streamoff>(fs::file_size(pack_));
  for (const std::streamoff at : {std::streamoff{0}, std::streamoff{50}, std::streamoff{4200}, size - 20}) {
    damage(at);
    EXPECT_EQ(packs()[0]["state"], "damaged") << at;
    std::string err;
    EXPECT_EQ(logits({"--pack-cache"}, &err), expected);
    EXPECT_THAT(err, HasSubstr("packing anew")) << at;
    EXPECT_EQ(packs()[0]["state"], "current");
  }
  fs::resize_file(pack_, static_cast<std::uintmax_t>(size / 2));
  EXPECT_EQ(logits({"--pack-cache"}), expected);
  std::ofstream(pack_) << "something else entirely";
  EXPECT_EQ(logits({"--pack-cache"}), expected);
  EXPECT_EQ(fs::file_size(pack_), static_cast<std::uintmax_t>(size));
}

TEST_F(PackCache, AFolderThatCannotBeWrittenIsANote) {
  const std::string expected = logits({});
  std::ofstream(model_ / ".nibble-pack") << "in the way";  // root may write anywhere, but not here
  std::string err;
  EXPECT_EQ(logits({"--pack-cache"}, &err), expected);
  EXPECT_THAT(err, HasSubstr("the pack is not kept"));
  const Finished bounded = run_nibble({"run", model_, "-p", "a", "-n", "1", "-c", "64", "--memory", "200M"});
  EXPECT_EQ(bounded.status, 1);
  EXPECT_THAT(bounded.err, HasSubstr("--pack-cache=DIR"));
}

TEST_F(PackCache, SeveralWriteAtOnce) {
  const std::string expected = logits({});
  std::vector<std::unique_ptr<NibbleProcess>> processes;
  for (int i = 0; i < 4; ++i)
    processes.push_back(std::make_unique<NibbleProcess>(
        std::vector<std::string>{"eval", model_, "--tokens", folder_ / "ids.tokens", "--ctx", "32", "--save-logits",
                                 folder_ / ("logits" + std::to_string(i)), "--pack-cache"}));
  for (std::size_t i = 0; i < processes.size(); ++i) {
    const Finished done = processes[i]->finish();
    EXPECT_EQ(done.status, 0) << done.err;
    EXPECT_EQ(read_text_file(folder_ / ("logits" + std::to_string(i))).value(), expected);
  }
  EXPECT_EQ(listing(model_ / ".nibble-pack"), (std::vector<std::string>{"stored.pack"}));
  EXPECT_EQ(packs()[0]["state"], "current");
}

TEST_F(PackCache, KilledWritersLeaveNothingThatIsTrusted) {
  const fs::path large = folder_ / "large";
  write_large_model(large);
  const std::vector<std::string> args{"bench", large, "-p", "0", "-n", "1", "-r", "1", "--pack-cache", "--json"};
  const fs::path folder = large / ".nibble-pack";
  for (int i = 0; i < 4; ++i) {
    const NibbleProcess process(args);
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!fs::exists(folder) && std::chrono::steady_clock::now() < give_up)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(11 * i));
    kill(process.id(), SIGKILL);
    NibbleProcess::wait_for(process.id());
    model_ = large;
    for (const Json& pack : packs()) EXPECT_EQ(pack["state"], "current");
    if (i < 3) fs::remove_all(folder);  // what the last one left behind is the next writer's to remove
  }
  EXPECT_EQ(run_nibble(args).status, 0);
  EXPECT_EQ(listing(folder), (std::vector<std::string>{"stored.pack"}));
}

TEST_F(PackCache, MemoryStaysBelowItsBound) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer's own memory is beyond the bounds";
#endif
  const fs::path large = folder_ / "large";
  write_large_model(large);  // 108 MB packed
  const std::vector<std::string> args{"bench", large, "-p", "64", "-n", "4", "-r", "1", "--json", "-t", "2"};
  const Finished whole = run_nibble(args);
  ASSERT_EQ(whole.status, 0) << whole.err;
  const auto whole_peak = parse_untrusted(whole.out, "bench").value()["peak_rss_bytes"].get<std::uint64_t>();
  for (const std::uint64_t mib : {64u, 96u}) {
    std::vector<std::string> bounded = args;
    bounded.insert(bounded.end(), {"--memory", std::to_string(mib) + "M"});
    const Finished done = run_nibble(bounded);
    ASSERT_EQ(done.status, 0) << done.err;
    const auto peak = parse_untrusted(done.out, "bench").value()["peak_rss_bytes"].get<std::uint64_t>();
    EXPECT_LT(peak, mib << 20);
    EXPECT_LT(peak, whole_peak);
  }
  std::vector<std::string> little = args;
  little.insert(little.end(), {"--memory", "20M"});
  const Finished refused = run_nibble(little);
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr("--memory"));
}

}  // namespace
}  // namespace nibble
