// nibble/output.h
#include "nibble/output.h"

#include <span>

#include "api/boundary.h"
#include "base/atomic_output.h"

namespace nibble {

Status write_output_file(const std::string& path, std::string_view contents) {
  return at_boundary([&]() -> Status {
    NIBBLE_TRY(AtomicFile file, AtomicFile::create(path));
    NIBBLE_TRY_STATUS(file.append(std::as_bytes(std::span(contents))));
    return file.commit();
  });
}

void discard_unfinished_outputs() noexcept { remove_unfinished_outputs(); }

}  // namespace nibble
