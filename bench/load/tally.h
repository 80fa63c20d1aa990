// What came of many requests, and the figures that a scenario reports.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "client.h"

namespace nibble::load {

struct Tally {
  void add(const Answer& answer);
  int count(int status) const;
  int total() const;
  int problems() const;
  /// "503 without Retry-After (2), ..."
  std::string problem_text() const;

  std::map<int, int> statuses;
  std::map<std::string, int> problem_counts;
  std::vector<double> seconds_200, seconds_503, first_byte, first_piece;
  long pieces = 0;
};

/// The value below which `share` of the values lie; 0 of none.
double percentile(std::vector<double> values, double share);

struct Figure {
  std::string name;
  double value = 0;
  std::string unit;
  std::string asked;       ///< what the project asks for; empty: nothing
  std::optional<bool> ok;  ///< whether it is so
};

struct Report {
  std::string scenario;
  std::vector<Figure> figures;

  void add(std::string name, double value, std::string unit = "") { figures.push_back({name, value, unit, "", {}}); }
  void add(std::string name, double value, std::string unit, std::string asked, bool ok) {
    figures.push_back({name, value, unit, asked, ok});
  }
  /// Statuses, and that nothing was wrong with any answer.
  void add(const Tally& tally);
  bool ok() const;
  std::string table() const;
  std::string json() const;
};

}  // namespace nibble::load
