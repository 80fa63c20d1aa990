// Tests of downloads against a server that behaves like the hub, and misbehaves when told to.
#include "hub/pull.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>
#include <sstream>
#include <thread>

#include "hub/hub_cache.h"
#include "hub/hub_test_support.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

const std::string kCommit = "0123456789abcdef0123456789abcdef01234567";

class PullTest : public FolderTest {
 protected:
  void SetUp() override {
    FolderTest::SetUp();
    put("hub/org/tiny/config.json", R"({"model_type":"llama"})");
    put("hub/org/tiny/tokenizer.json", "{}");
    put("hub/org/tiny/README.md", "text");
    put("hub/org/tiny/onnx/model.onnx", "text");
    put("hub/org/tiny/pytorch_model.bin", std::string(300, 'p'));
    put("hub/org/tiny/model.safetensors", weights());
    put("hub/requests.log", "");
    server_ = std::make_unique<HubServer>(root_ / "hub");
    if (server_->endpoint().empty()) GTEST_SKIP() << "python3 is not here to run the server";
    environment_.endpoint = server_->endpoint();
    environment_.cache = root_ / "cache";
  }

  /// Content that differs everywhere, larger than one buffer of curl's.
  static std::string weights() {
    std::string out;
    for (std::uint32_t i = 0; out.size() < 3'000'000; ++i) out += raw(i * 2654435761u);
    return out;
  }

  Result<PullReport> pull(const std::string& model = "hf:org/tiny", std::vector<std::string> include = {}) {
    PullOptions options;
    options.include = std::move(include);
    options.progress = progress_;
    RetryPolicy policy;
    policy.tries = 3;
    policy.first_wait = std::chrono::milliseconds(1);
    policy.longest_wait = std::chrono::milliseconds(1500);
    return pull_into_cache(environment_, parse_hub_name(model).value(), options, policy);
  }

  void fault(const std::string& json) const { put("hub/faults.json", "[" + json + "]"); }
  std::string requests() const { return contents("hub/requests.log"); }
  int requests_of(const std::string& part) const {
    int count = 0;
    std::istringstream lines(requests());
    for (std::string line; std::getline(lines, line);) count += line.find(part) != std::string::npos ? 1 : 0;
    return count;
  }
  fs::path repo() const { return root_ / "cache/models--org--tiny"; }
  std::string in_snapshot(const std::string& name) const {
    return contents("cache/models--org--tiny/snapshots/" + kCommit + "/" + name);
  }
  std::vector<std::string> blobs() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(repo() / "blobs")) found.push_back(entry.path().filename());
    return found;
  }

  std::unique_ptr<HubServer> server_;
  HubEnvironment environment_;
  Progress progress_;
};

TEST_F(PullTest, WhatAModelNeedsIsInTheCache) {
  const auto report = pull();
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_EQ(report->commit, kCommit);
  EXPECT_EQ(report->path, (repo() / "snapshots" / kCommit).string());
  EXPECT_EQ(report->files, (std::vector<std::string>{"config.json", "tokenizer.json", "model.safetensors"}));
  EXPECT_EQ(report->bytes, 3'000'000u + 24);
  EXPECT_EQ(report->downloaded, report->bytes);
  EXPECT_EQ(in_snapshot("model.safetensors"), weights());
  EXPECT_EQ(contents("cache/models--org--tiny/refs/main"), kCommit);
  const fs::path link = repo() / "snapshots" / kCommit / "config.json";
  ASSERT_TRUE(fs::is_symlink(link));
  EXPECT_TRUE(fs::read_symlink(link).string().starts_with("../../blobs/"));
  EXPECT_EQ(blobs().size(), 3u) << "no unfinished file is left";
  EXPECT_EQ(*find_snapshot(environment_, {"org/tiny", "main"}), fs::path(report->path));
  const auto again = pull();
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->downloaded, 0u);
  EXPECT_EQ(again->bytes, report->bytes);
  EXPECT_EQ(requests_of("GET /cdn/"), 1);
}

TEST_F(PullTest, PatternsChooseFiles) {
  const auto report = pull("hf:org/tiny", {"*.onnx", "READ?E.md"});
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_EQ(report->files, (std::vector<std::string>{"README.md", "onnx/model.onnx"}));
  EXPECT_EQ(in_snapshot("onnx/model.onnx"), "text");
  EXPECT_TRUE(
      fs::read_symlink(repo() / "snapshots" / kCommit / "onnx/model.onnx").string().starts_with("../../../blobs"));
  EXPECT_ERROR(pull("hf:org/tiny", {"*.gguf"}), ErrorCode::kNotFound, "tokenizer.json");
}

TEST_F(PullTest, RevisionsHaveTheirOwnRefs) {
  for (const char* revision : {"v1", "refs/pr/1"}) {
    ASSERT_TRUE(pull(std::string("hf:org/tiny@") + revision).ok());
    EXPECT_EQ(contents(std::string("cache/models--org--tiny/refs/") + revision), kCommit);
  }
  EXPECT_FALSE(find_snapshot(environment_, {"org/tiny", "main"}).ok());
  ASSERT_TRUE(pull("hf:org/tiny@" + kCommit).ok());
  EXPECT_FALSE(fs::exists(repo() / "refs" / kCommit));
  EXPECT_TRUE(find_snapshot(environment_, {"org/tiny", kCommit}).ok());
  EXPECT_ERROR(pull("hf:org/tiny@v2"), ErrorCode::kNotFound, "has no revision \"v2\"");
}

TEST_F(PullTest, ThePreferenceIsSafetensorsThenPytorchThenGguf) {
  fs::remove(root_ / "hub/org/tiny/model.safetensors");
  put("hub/org/tiny/training_args.bin", "x");
  put("hub/org/tiny/model-q4.gguf", "x");
  EXPECT_EQ(pull()->files.back(), "pytorch_model.bin");
  fs::remove(root_ / "hub/org/tiny/pytorch_model.bin");
  EXPECT_EQ(pull()->files.back(), "model-q4.gguf");
  put("hub/org/tiny/model-q8-00001-of-00002.gguf", "x");
  put("hub/org/tiny/model-q8-00002-of-00002.gguf", "x");
  EXPECT_ERROR(pull(), ErrorCode::kInvalidArgument, "holds several GGUF models; choose with --include");
  EXPECT_ERROR(pull(), ErrorCode::kInvalidArgument, "model-q8-00001-of-00002.gguf");
  fs::remove(root_ / "hub/org/tiny/model-q4.gguf");
  EXPECT_EQ(pull()->files.size(), 4u) << "both parts of one model";
  for (const char* part : {"1", "2"})
    fs::remove(root_ / ("hub/org/tiny/model-q8-0000" + std::string(part) + "-of-00002.gguf"));
  EXPECT_ERROR(pull(), ErrorCode::kNotFound, "holds no safetensors, PyTorch or GGUF weights");
}

TEST_F(PullTest, AnIndexSaysWhichWeights) {
  put("hub/org/tiny/model.safetensors.index.json", R"({"weight_map":{"a":"model-00001-of-00001.safetensors"}})");
  EXPECT_EQ(pull()->files.back(), "model.safetensors") << "the index of other weights was left there";
  fs::remove(root_ / "hub/org/tiny/model.safetensors");
  EXPECT_ERROR(pull(), ErrorCode::kNotFound, "which the repository does not hold");
  put("hub/org/tiny/model-00001-of-00001.safetensors", "one");
  fs::remove_all(root_ / "cache");
  const auto report = pull();
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_EQ(report->files, (std::vector<std::string>{"config.json", "model.safetensors.index.json", "tokenizer.json",
                                                     "model-00001-of-00001.safetensors"}));
}

/// AutoGPTQ names shards and index after the method.
TEST_F(PullTest, TheOnlyIndexMayHaveAnotherName) {
  fs::remove(root_ / "hub/org/tiny/model.safetensors");
  put("hub/org/tiny/gptq_model-4bit-128g.safetensors.index.json",
      R"({"weight_map":{"a":"gptq_model-4bit-128g-00001-of-00002.safetensors",
                        "b":"gptq_model-4bit-128g-00002-of-00002.safetensors"}})");
  for (const char* part : {"1", "2", "3"})
    put("hub/org/tiny/gptq_model-4bit-128g-0000" + std::string(part) + "-of-00002.safetensors", "x");
  const auto report = pull();
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_EQ(report->files,
            (std::vector<std::string>{"config.json", "gptq_model-4bit-128g.safetensors.index.json", "tokenizer.json",
                                      "gptq_model-4bit-128g-00001-of-00002.safetensors",
                                      "gptq_model-4bit-128g-00002-of-00002.safetensors"}));
}

TEST_F(PullTest, TheTokenGoesToTheHubOnly) {
  fs::rename(root_ / "hub/org/tiny", root_ / "hub/org/private-tiny");
  EXPECT_ERROR(pull("hf:org/private-tiny"), ErrorCode::kIo, "or is private: check the name; no token was found");
  environment_.token = "wrong";
  EXPECT_ERROR(pull("hf:org/private-tiny"), ErrorCode::kIo, "may not read it");
  environment_.token = "secret";
  const auto report = pull("hf:org/private-tiny");
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_EQ(requests_of("cdn GET"), 1);
  EXPECT_NE(requests().find("signature=1 - -\n"), std::string::npos) << requests();
  EXPECT_GT(requests_of("Bearer_secret"), 3);
}

TEST_F(PullTest, RefusalsSayWhatToDo) {
  fs::rename(root_ / "hub/org/tiny", root_ / "hub/org/gated-tiny");
  EXPECT_ERROR(pull("hf:org/gated-tiny"), ErrorCode::kIo, "is gated: accept its conditions at http");
  EXPECT_ERROR(pull("hf:org/other"), ErrorCode::kNotFound, "does not exist on http");
  EXPECT_FALSE(fs::exists(root_ / "cache"));
}

TEST_F(PullTest, MovedRepositoriesAreFollowed) {
  const auto report = pull("hf:org/moved-tiny");
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_NE(report->path.find("models--org--moved-tiny"), std::string::npos);
}

TEST_F(PullTest, BusyServersAreAskedAgain) {
  fault(R"({"path":"/api/","times":1,"do":"status","code":503},
           {"path":"config.json","times":1,"do":"status","code":429,"headers":{"Retry-After":"1"}},
           {"path":"/cdn/","times":2,"do":"status","code":500})");
  const auto begin = std::chrono::steady_clock::now();
  const auto report = pull();
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1)) << "Retry-After was heeded";
  EXPECT_EQ(requests_of("GET /cdn/"), 3);
}

TEST_F(PullTest, PatienceEnds) {
  fault(R"({"path":"/cdn/","times":99,"do":"status","code":502})");
  EXPECT_ERROR(pull(), ErrorCode::kIo, "model.safetensors: the server answered 502; gave up after 3 tries");
  EXPECT_EQ(requests_of("GET /cdn/"), 3);
  EXPECT_FALSE(find_snapshot(environment_, {"org/tiny", "main"}).ok()) << "an unfinished model is not found";
}

/// Each try brings some bytes, so there may be more tries than a server without progress gets.
TEST_F(PullTest, CutConnectionsGoOnWhereTheyStopped) {
  fault(R"({"path":"/cdn/","times":5,"do":"cut","bytes":400000})");
  const auto report = pull();
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_EQ(in_snapshot("model.safetensors"), weights());
  EXPECT_EQ(requests_of("GET /cdn/"), 6);
  EXPECT_EQ(report->downloaded, report->bytes) << "no byte came twice";
  EXPECT_NE(requests().find("bytes=2000000- -"), std::string::npos) << requests();
}

TEST_F(PullTest, ALaterPullGoesOn) {
  fault(R"({"path":"/cdn/","times":1,"do":"cut","bytes":1000000},{"path":"/cdn/","times":9,"do":"status","code":500})");
  EXPECT_FALSE(pull().ok());
  fault("");
  const auto report = pull();
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_EQ(in_snapshot("model.safetensors"), weights());
  EXPECT_EQ(report->downloaded, 2'000'000u);
}

TEST_F(PullTest, AServerThatIgnoresRangesStartsAnew) {
  fault(R"({"path":"/cdn/","times":1,"do":"cut","bytes":1000000},{"path":"/cdn/","times":1,"do":"whole"})");
  const auto report = pull();
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_EQ(in_snapshot("model.safetensors"), weights());
  EXPECT_EQ(requests_of("GET /cdn/"), 2);
}

TEST_F(PullTest, AnotherPartThanAskedForIsRefused) {
  fault(R"({"path":"/cdn/","times":1,"do":"cut","bytes":500000},{"path":"/cdn/","times":99,"do":"wrong-part"})");
  EXPECT_ERROR(pull(), ErrorCode::kCorrupt, "sends another part than bytes 500000 and on");
}

/// Ranges ignored and cut at the same place every time: bytes arrive, but there is no progress.
TEST_F(PullTest, AServerThatNeverGetsFurtherIsGivenUp) {
  fault(R"({"path":"/cdn/","times":99,"do":"cut-whole","bytes":500000})");
  EXPECT_ERROR(pull(), ErrorCode::kIo, "gave up after 3 tries");
  EXPECT_LE(requests_of("GET /cdn/"), 5);
}

TEST_F(PullTest, WrongContentIsThrownAway) {
  fault(R"({"path":"/cdn/","times":1,"do":"flip"})");
  EXPECT_ERROR(pull(), ErrorCode::kCorrupt, "model.safetensors: the content does not match its checksum");
  EXPECT_FALSE(fs::exists(repo() / "snapshots" / kCommit / "model.safetensors"));
  ASSERT_TRUE(pull().ok()) << "and the next pull starts anew";
  EXPECT_EQ(in_snapshot("model.safetensors"), weights());
  fs::remove_all(root_ / "cache");
  fault(R"({"path":"config.json","times":1,"do":"flip"})");
  EXPECT_ERROR(pull(), ErrorCode::kCorrupt, "config.json: the content does not match its checksum");
}

TEST_F(PullTest, WrongBytesOfAnEarlierTryAreReplaced) {
  ASSERT_TRUE(pull().ok());
  const fs::path blob = fs::canonical(repo() / "snapshots" / kCommit / "model.safetensors");
  for (const std::string& left : {std::string(1000, 'x'), std::string(3'000'000, 'x'), std::string(4'000'000, 'x')}) {
    fs::remove(blob);
    std::ofstream(blob.string() + ".incomplete", std::ios::binary) << left;
    const auto report = pull();
    ASSERT_TRUE(report.ok()) << report.error().message;
    EXPECT_EQ(in_snapshot("model.safetensors"), weights()) << left.size();
    EXPECT_FALSE(fs::exists(blob.string() + ".incomplete"));
  }
}

TEST_F(PullTest, FileNamesStayInTheSnapshot) {
  for (const char* name : {"../../evil.json", "/etc/evil.json", "a/../evil.json", "a\\\\evil.json", "", "a//b.json"}) {
    put("hub/siblings.json", std::string("[{\"rfilename\":\"") + name + "\"}]");
    EXPECT_ERROR(pull(), ErrorCode::kCorrupt, "leaves its folder");
  }
  put("hub/siblings.json", R"([{"rfilename":"ghost.json"}])");
  EXPECT_ERROR(pull(), ErrorCode::kNotFound, "ghost.json");
}

TEST_F(PullTest, ConcurrentPullsShareTheWork) {
  std::vector<std::string> errors(4);
  std::vector<std::thread> threads;
  for (std::string& error : errors)
    threads.emplace_back([this, &error] {
      const auto report = pull();
      if (!report.ok()) error = report.error().message;
    });
  for (std::thread& thread : threads) thread.join();
  for (const std::string& error : errors) EXPECT_EQ(error, "");
  EXPECT_EQ(in_snapshot("model.safetensors"), weights());
  EXPECT_EQ(requests_of("GET /cdn/"), 1) << requests();
}

TEST_F(PullTest, StopsWhenAsked) {
  std::uint64_t most = 0;
  progress_ = [&](std::string_view, std::uint64_t done, std::uint64_t total, std::string_view) {
    most = std::max(most, done);
    EXPECT_LT(done, total);
    return done < 1'000'000;
  };
  EXPECT_ERROR(pull(), ErrorCode::kCancelled, "");
  EXPECT_GE(most, 1'000'000u);
  progress_ = {};
  const auto report = pull();
  ASSERT_TRUE(report.ok());
  EXPECT_LT(report->downloaded, 3'000'000u) << "the rest only";
}

TEST_F(PullTest, OfflineUsesTheCacheOnly) {
  environment_.offline = true;
  EXPECT_ERROR(pull(), ErrorCode::kNotFound, "HF_HUB_OFFLINE forbids");
  environment_.offline = false;
  ASSERT_TRUE(pull().ok());
  environment_.offline = true;
  const std::string before = requests();
  const auto report = pull();
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->path, (repo() / "snapshots" / kCommit).string());
  EXPECT_EQ(requests(), before);
}

TEST_F(PullTest, AFullDiskIsSeenBeforeTheDownload) {
  put("hub/org/tiny/huge.json", std::string(200, 'x'));
  EXPECT_ERROR(pull(), ErrorCode::kIo, "disk full: huge.json needs 1000000000000000 bytes more");
  EXPECT_EQ(requests_of("GET /cdn/"), 0);
}

TEST_F(PullTest, UnreachableServersAreNamed) {
  environment_.endpoint = "http://127.0.0.1:9";
  EXPECT_ERROR(pull(), ErrorCode::kIo, "hf:org/tiny: ");
  EXPECT_ERROR(pull(), ErrorCode::kIo, "gave up after 3 tries");
}

/// What huggingface_hub left: a snapshot of a commit that refs/main names.
TEST_F(PullTest, SnapshotsOfOthersAreFound) {
  put("cache/models--org--tiny/refs/main", kCommit);
  EXPECT_ERROR(find_snapshot(environment_, {"org/tiny", "main"}), ErrorCode::kNotFound, "nibble pull hf:org/tiny");
  put("cache/models--org--tiny/snapshots/" + kCommit + "/config.json", "{}");
  EXPECT_TRUE(find_snapshot(environment_, {"org/tiny", "main"}).ok());
  put("cache/models--org--tiny/refs/main", "../../elsewhere");
  EXPECT_FALSE(find_snapshot(environment_, {"org/tiny", "main"}).ok());
}

/// A hub whose certificate no public authority has signed (tests/golden/tls).
class TlsPullTest : public PullTest {
 protected:
  static constexpr const char* kCertificate = NIBBLE_SOURCE_DIR "/tests/golden/tls/localhost.pem";
  static constexpr const char* kVariables[] = {"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"};

  void SetUp() override {
    PullTest::SetUp();
    if (IsSkipped()) return;
    server_ = std::make_unique<HubServer>(root_ / "hub", kCertificate);
    ASSERT_TRUE(server_->endpoint().starts_with("https://localhost:")) << server_->endpoint();
    environment_.endpoint = server_->endpoint();
    for (const char* name : kVariables) {
      const char* value = std::getenv(name);
      before_.push_back(value == nullptr ? std::nullopt : std::optional<std::string>(value));
      unsetenv(name);
    }
  }
  void TearDown() override {
    for (std::size_t i = 0; i < before_.size(); ++i)
      before_[i] ? setenv(kVariables[i], before_[i]->c_str(), 1) : unsetenv(kVariables[i]);
    PullTest::TearDown();
  }

  std::vector<std::optional<std::string>> before_;
};

TEST_F(TlsPullTest, AnAuthorityOfOnesOwnIsNamedInAVariable) {
  for (const char* name : kVariables) {
    setenv(name, kCertificate, 1);
    std::filesystem::remove_all(root_ / "cache");
    const auto report = pull();
    ASSERT_TRUE(report.ok()) << name << ": " << report.error().message;
    EXPECT_EQ(in_snapshot("model.safetensors"), weights()) << name;
    unsetenv(name);
  }
}

TEST_F(TlsPullTest, OtherCertificatesAreRefusedAtOnce) {
  const std::string host = environment_.endpoint;
  const auto refused = [&](const std::string& endpoint) {
    environment_.endpoint = endpoint;
    EXPECT_ERROR(pull(), ErrorCode::kIo, "certificate is not accepted");
    EXPECT_ERROR(pull(), ErrorCode::kIo, endpoint);
    EXPECT_ERROR(pull(), ErrorCode::kIo, "SSL_CERT_FILE");
  };
  refused(host);  // signed by nobody that is known
  setenv("SSL_CERT_FILE", NIBBLE_SOURCE_DIR "/tests/golden/tls/other.pem", 1);
  refused(host);
  setenv("SSL_CERT_FILE", (root_ / "absent.pem").c_str(), 1);
  refused(host);
  setenv("SSL_CERT_FILE", kCertificate, 1);
  refused("https://127.0.0.1" +
          host.substr(std::string("https://localhost").size()));  // a certificate for another name
  EXPECT_EQ(requests(), "");
  EXPECT_FALSE(fs::exists(repo()));
}

}  // namespace
}  // namespace nibble
