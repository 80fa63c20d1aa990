// Requests that must be refused: those of tests/corrupt/http, and bodies with every wrong value in every field.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace nibble::server {

struct MalformedRequest {
  std::string name;
  std::string expected;  ///< as the files say
  std::string bytes;
};

/// The lines of a file of requests; of bodies, without `expected`. Throws what is wrong with the file.
std::vector<MalformedRequest> read_requests(const std::string& path);
std::vector<MalformedRequest> read_bodies(const std::string& path);

/// An endpoint that takes JSON, with a body that it answers.
struct Endpoint {
  std::string path;
  std::string body;
};
const std::vector<Endpoint>& endpoints();

/// The valid body of an endpoint with one field after the other that is wrong: negative, too large, of another type.
std::vector<MalformedRequest> wrong_fields(const Endpoint& endpoint);

/// A body changed in some places by chance: values, names, nesting, or bytes. May still be valid.
std::string mutated(const Endpoint& endpoint, std::mt19937_64& random);

}  // namespace nibble::server
