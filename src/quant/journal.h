// The journal of a long run: what it has finished, in a folder beside its output. A run that was killed goes on from
// there and ends with the same bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "base/json.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

class Journal {
 public:
  using Ptr = std::shared_ptr<Journal>;

  /// Begins the journal of `output`, or opens that of an interrupted run. `run` holds everything that decides the bytes
  /// of the output: `resume` refuses another's journal and names the first key that differs. Without `resume` what an
  /// interrupted run left is dropped. kInvalidArgument while another process is at work on the same output.
  static Result<Ptr> open(const std::filesystem::path& output, const Json& run, bool resume);
  /// The folder that the journal of `output` has; it may not exist.
  static std::filesystem::path folder_of(const std::filesystem::path& output);
  /// A journal without entries leaves no trace.
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  struct Entry {
    MatrixPtr matrix;    ///< in memory
    MatrixPtr recorded;  ///< read from the journal when it is decoded, and forgotten when it is released as a whole
    Json notes;
  };
  /// What an interrupted run recorded; nothing where it did not. A damaged entry counts as none, with a warning.
  std::optional<Entry> find(const std::string& name) const;
  /// Records a whole matrix; it survives the process once this returns.
  Result<Entry> put(const std::string& name, QuantizedMatrix matrix, Json notes);

  std::optional<std::string> find_text(const std::string& name) const;
  Status put_text(const std::string& name, const std::string& text);

  /// Removes the journal: the output is in place, and all that belongs to it.
  void remove();

 private:
  Journal() = default;
  std::filesystem::path file(const std::string& name) const;
  std::filesystem::path folder_;
  int lock_ = -1;
  bool has_entries_ = false;
};

}  // namespace nibble
