// Options that may also come from environment variables, under the names of several programs.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

namespace nibble::cli {

/// Which variables stand for an option that the command line does not give; the first that is set counts.
using Environment = std::vector<std::pair<CLI::Option*, std::vector<const char*>>>;

/// Throws CLI::ParseError, naming the variable, for values that the option would not take.
inline void read_environment(const Environment& environment) {
  for (const auto& [option, names] : environment) {
    for (const char* name : names) {
      const char* value = std::getenv(name);
      if (option->count() > 0 || value == nullptr || *value == '\0') continue;
      try {
        option->add_result(std::string(value));
        option->run_callback();
      } catch (const CLI::ParseError& e) {
        throw CLI::ValidationError(std::string("environment variable ") + name, e.what());
      }
    }
  }
}

}  // namespace nibble::cli
