// Structs of the C interface from dictionaries: a table per struct says which key goes where.
#pragma once

#include <nanobind/nanobind.h>

#include <cstddef>
#include <deque>
#include <span>
#include <string>
#include <vector>

namespace nibble::python {

enum class FieldType {
  kInt32,  ///< also True and False
  kInt64,
  kUInt64,
  kFloat,
  kDouble,
  kText,   ///< const char*
  kTexts,  ///< const char* const*, and a size_t beside it
};

struct Field {
  const char* name;
  FieldType type;
  std::size_t offset;
  std::size_t count_offset = 0;  ///< of kTexts
};

/// The strings that a filled struct points to.
class FieldStrings {
 public:
  const char* keep(std::string text) { return texts_.emplace_back(std::move(text)).c_str(); }
  const std::vector<const char*>& keep(std::vector<const char*> list) { return lists_.emplace_back(std::move(list)); }

 private:
  std::deque<std::string> texts_;
  std::deque<std::vector<const char*>> lists_;
};

/// Fills what `values` names; None leaves the default. Raises TypeError for an unknown key or a value of another type.
void fill(void* object, std::span<const Field> fields, const nanobind::dict& values, FieldStrings& strings);

}  // namespace nibble::python
