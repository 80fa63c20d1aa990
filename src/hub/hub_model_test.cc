// Tests of hub names and of the environment.
#include "hub/hub_model.h"

#include <gtest/gtest.h>

#include <map>

#include "hub/hub_environment.h"
#include "io/container_test_support.h"

namespace nibble {
namespace {

TEST(HubModel, NamesAreParsed) {
  const auto plain = parse_hub_name("hf:org/a-Name_1.5B");
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->repo, "org/a-Name_1.5B");
  EXPECT_EQ(plain->revision, "main");
  EXPECT_EQ(plain->text(), "hf:org/a-Name_1.5B");
  EXPECT_EQ(parse_hub_name("hf:gpt2")->repo, "gpt2");
  const auto other = parse_hub_name("hf:org/name@refs/pr/1");
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(other->revision, "refs/pr/1");
  EXPECT_EQ(other->text(), "hf:org/name@refs/pr/1");
}

TEST(HubModel, NamesThatLeaveTheCacheAreRefused) {
  for (const char* name : {"hf:",         "hf:/",      "hf:org/",    "hf:/name",    "hf:a/b/c", "hf:../x",   "hf:a/..",
                           "hf:a/b--c",   "hf:a/.b",   "hf:a/b.",    "hf:a b/c",    "hf:a/b?c", "hf:a/b%2e", "hf:a/b@",
                           "hf:a/b@../x", "hf:a/b@/x", "hf:a/b@x y", "hf:a/b@x//y", "a/b",      "HF:a/b"})
    EXPECT_FALSE(parse_hub_name(name).ok()) << name;
  EXPECT_ERROR(parse_hub_name("hf:a/b/c"), ErrorCode::kInvalidArgument, "expected hf:ORG/NAME");
  EXPECT_FALSE(parse_hub_name("hf:" + std::string(97, 'a')).ok());
}

class HubEnvironmentTest : public FolderTest {
 protected:
  Result<HubEnvironment> read(const std::map<std::string, std::string>& variables) const {
    return read_hub_environment([&](const char* name) {
      const auto found = variables.find(name);
      return found == variables.end() ? nullptr : found->second.c_str();
    });
  }
};

TEST_F(HubEnvironmentTest, TheCacheIsWhereHuggingFaceHasIt) {
  EXPECT_EQ(read({{"HOME", "/u"}})->cache, "/u/.cache/huggingface/hub");
  EXPECT_EQ(read({{"HOME", "/u"}, {"XDG_CACHE_HOME", "/x"}})->cache, "/x/huggingface/hub");
  EXPECT_EQ(read({{"HOME", "/u"}, {"XDG_CACHE_HOME", "/x"}, {"HF_HOME", "/h"}})->cache, "/h/hub");
  EXPECT_EQ(read({{"HOME", "/u"}, {"HF_HOME", "~/h"}})->cache, "/u/h/hub");
  EXPECT_EQ(read({{"HF_HOME", "/h"}, {"HUGGINGFACE_HUB_CACHE", "/old"}})->cache, "/old");
  EXPECT_EQ(read({{"HF_HOME", "/h"}, {"HUGGINGFACE_HUB_CACHE", "/old"}, {"HF_HUB_CACHE", "/c"}})->cache, "/c");
  EXPECT_EQ(read({{"HOME", "/u"}, {"HF_HOME", ""}})->cache, "/u/.cache/huggingface/hub");
  EXPECT_ERROR(read({}), ErrorCode::kInvalidArgument, "neither HOME nor HF_HOME");
}

TEST_F(HubEnvironmentTest, EndpointAndOffline) {
  EXPECT_EQ(read({{"HF_HOME", "/h"}})->endpoint, "https://huggingface.co");
  EXPECT_EQ(read({{"HF_HOME", "/h"}, {"HF_ENDPOINT", "http://localhost:1/"}})->endpoint, "http://localhost:1");
  EXPECT_ERROR(read({{"HF_HOME", "/h"}, {"HF_ENDPOINT", "file:///etc"}}), ErrorCode::kInvalidArgument, "HF_ENDPOINT");
  EXPECT_FALSE(read({{"HF_HOME", "/h"}, {"HF_HUB_OFFLINE", "0"}})->offline);
  for (const char* yes : {"1", "true", "ON", "Yes"})
    EXPECT_TRUE(read({{"HF_HOME", "/h"}, {"HF_HUB_OFFLINE", yes}})->offline) << yes;
}

TEST_F(HubEnvironmentTest, TokensComeFromTheVariableOrAFile) {
  const std::string home = root_.string();
  EXPECT_EQ(read({{"HF_HOME", home}})->token, "");
  put("token", "hf_file\n");
  put("elsewhere", " hf_elsewhere ");
  EXPECT_EQ(read({{"HF_HOME", home}})->token, "hf_file");
  EXPECT_EQ(read({{"HF_HOME", home}, {"HF_TOKEN_PATH", home + "/elsewhere"}})->token, "hf_elsewhere");
  EXPECT_EQ(read({{"HF_HOME", home}, {"HF_TOKEN", "hf_variable"}})->token, "hf_variable");
  EXPECT_ERROR(read({{"HF_HOME", home}, {"HF_TOKEN", "a\r\nX-Header: b"}}), ErrorCode::kInvalidArgument, "HF_TOKEN");
}

}  // namespace
}  // namespace nibble
