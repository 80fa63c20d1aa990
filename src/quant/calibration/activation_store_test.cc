#include "quant/calibration/activation_store.h"

#include <gtest/gtest.h>

#include <numeric>

#include "io/container_test_support.h"

namespace nibble {
namespace {

class ActivationStoreTest : public FolderTest {
 protected:
  std::shared_ptr<ActivationStore> store(std::uint64_t memory) const {
    return std::make_shared<ActivationStore>(ActivationStore::Options{memory, root_});
  }
  static std::vector<float> numbers(std::size_t count, float first) {
    std::vector<float> out(count);
    std::iota(out.begin(), out.end(), first);
    return out;
  }
  std::size_t files() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(root_), std::filesystem::directory_iterator()));
  }
};

TEST_F(ActivationStoreTest, WhatDoesNotFitWaitsInAFileWithoutAName) {
  const auto shared = store(1000 * sizeof(float));
  StoredActivations a(shared, 3);
  EXPECT_TRUE(a.put(0, numbers(600, 0)).ok());
  EXPECT_TRUE(a.put(1, numbers(600, 1000)).ok());
  EXPECT_TRUE(a.put(2, numbers(300, 2000)).ok());
  EXPECT_TRUE(a.complete());
  EXPECT_EQ(shared->bytes_in_memory(), 900 * sizeof(float));
  EXPECT_EQ(shared->file_bytes(), 600 * sizeof(float));
  EXPECT_EQ(files(), 0u);
  std::vector<float> got;
  for (std::size_t slice = 0; slice < 3; ++slice) {
    ASSERT_TRUE(a.read(slice, got).ok());
    EXPECT_EQ(got, numbers(slice == 2 ? 300 : 600, 1000.0f * static_cast<float>(slice)));
  }
  EXPECT_TRUE(a.put(1, numbers(5, 7)).ok()) << "what is held stays";
  ASSERT_TRUE(a.read(1, got).ok());
  EXPECT_EQ(got, numbers(600, 1000));
}

TEST_F(ActivationStoreTest, SpaceIsUsedAgain) {
  const auto shared = store(0);
  for (int round = 0; round < 4; ++round) {
    StoredActivations a(shared, 2);
    EXPECT_TRUE(a.put(0, numbers(100, 0)).ok());
    EXPECT_TRUE(a.put(1, numbers(50, 1)).ok());
    StoredActivations moved(std::move(a));
    std::vector<float> got;
    ASSERT_TRUE(moved.read(1, got).ok());
    EXPECT_EQ(got, numbers(50, 1));
  }
  EXPECT_EQ(shared->file_bytes(), 150 * sizeof(float));
  EXPECT_EQ(shared->bytes_in_memory(), 0u);
}

TEST_F(ActivationStoreTest, AFolderThatIsNotThereIsAnError) {
  const auto shared = std::make_shared<ActivationStore>(ActivationStore::Options{0, root_ / "none"});
  StoredActivations a(shared, 1);
  const Status failed = a.put(0, numbers(10, 0));
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code, ErrorCode::kIo);
  EXPECT_FALSE(a.has(0));
}

}  // namespace
}  // namespace nibble
