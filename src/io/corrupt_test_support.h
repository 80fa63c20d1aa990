// What the tests with broken files share: a fixture that opens bytes as a file and holds the reader to its bounds.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "base/cpu_time.h"
#include "base/result.h"
#include "base/testing/costs.h"
#include "io/container_test_support.h"
#include "io/stored_tensor.h"
#include "io/weight_index.h"

namespace nibble {

using Opener = std::function<Status(const std::filesystem::path&)>;

/// Opens a file of tensors; what is accepted can be read.
inline Status open_all(TensorFileReader read, const std::filesystem::path& path) {
  TensorSet tensors;
  const auto opened = read(path, tensors);
  if (!opened.ok()) return opened.error();
  for (const StoredTensor& tensor : tensors.all()) {
    const auto values = read_floats(tensor);
    if (!values.ok() && values.error().code != ErrorCode::kUnsupported) return values.error();
  }
  return {};
}

class Corrupt : public FolderTest {
 protected:
  /// Tens of thousands of files: in memory, where there is such a folder.
  void SetUp() override {
    FolderTest::SetUp();
    file_ = root_ / "file";
    std::string pattern = "/dev/shm/nibble_corrupt_XXXXXX";
    if (const int fd = mkstemp(pattern.data()); fd >= 0) {
      close(fd);
      file_ = pattern;
    }
  }
  void TearDown() override {
    slowest_.report();
    std::filesystem::remove(file_);
    FolderTest::TearDown();
  }

  /// Opens these bytes as a file, holds it to its time and memory, and checks that an error names the file.
  bool opens(const Opener& open, const std::string& bytes, const std::string& what) const {
    std::ofstream(file_, std::ios::binary | std::ios::trunc) << bytes;
    const std::size_t allocated = allocated_bytes();
    const double begin = thread_cpu_seconds();
    const Status status = open(file_);
    EXPECT_TRUE(slowest_.bears(thread_cpu_seconds() - begin)) << what;
    EXPECT_LT(allocated_bytes() - allocated, 100'000 + 100 * bytes.size()) << what;
    if (status.ok()) return true;
    EXPECT_EQ(status.error().message.find(file_.string()), 0u) << what << ": " << status.error().message;
    EXPECT_LT(status.error().message.size(), 1000u) << what;
    last_message_ = status.error().message;
    return false;
  }

  std::filesystem::path file_;
  mutable std::string last_message_;
  mutable Slowest slowest_{0.1};
};

/// Numbers at which arithmetic on sizes goes wrong.
inline std::vector<std::uint64_t> hostile_values() {
  std::vector<std::uint64_t> values = {0, 1, 2, 3, 4, 5, 9, 13, 31, 43, 64, 96, 127, 128, 255, 256, 1000};
  for (int bit = 15; bit < 64; ++bit) {
    const std::uint64_t power = std::uint64_t{1} << bit;
    values.insert(values.end(), {power - 1, power, power + 1, 0 - power, power / 3 * 2 + 1});
  }
  values.insert(values.end(), {UINT64_MAX, UINT64_MAX - 7, UINT64_MAX - 31, UINT64_MAX / 34, UINT64_MAX / 4 + 1});
  return values;
}

}  // namespace nibble
