#include "tally.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/json.h"

namespace nibble::load {

void Tally::add(const Answer& answer) {
  if (!answer.problem.empty()) {
    ++problem_counts[answer.problem];
    return;
  }
  ++statuses[answer.status];
  if (answer.status == 503) seconds_503.push_back(answer.seconds);
  if (answer.status != 200) return;
  seconds_200.push_back(answer.seconds);
  first_byte.push_back(answer.first_byte);
  if (answer.pieces == 0) return;
  first_piece.push_back(answer.first_piece);
  pieces += answer.pieces;
}

int Tally::count(int status) const {
  const auto found = statuses.find(status);
  return found == statuses.end() ? 0 : found->second;
}

int Tally::total() const {
  int total = problems();
  for (const auto& [status, count] : statuses) total += count;
  return total;
}

int Tally::problems() const {
  int total = 0;
  for (const auto& [text, count] : problem_counts) total += count;
  return total;
}

std::string Tally::problem_text() const {
  std::string out;
  for (const auto& [text, count] : problem_counts)
    out += fmt::format("{}{} ({})", out.empty() ? "" : ", ", text, count);
  return out;
}

double percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  const auto last = static_cast<double>(values.size() - 1);
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(share * last + 0.5);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

void Report::add(const Tally& tally) {
  add("answers 200", tally.count(200), "", "> 0", tally.count(200) > 0);
  for (const auto& [status, count] : tally.statuses)
    if (status != 200) add(fmt::format("answers {}", status), count);
  const std::string what = tally.problem_text();
  add(what.empty() ? "answers with a problem" : "answers with a problem: " + what, tally.problems(), "", "0",
      tally.problems() == 0);
}

bool Report::ok() const {
  return std::all_of(figures.begin(), figures.end(), [](const Figure& f) { return f.ok.value_or(true); });
}

std::string Report::table() const {
  std::string out = scenario + "\n";
  for (const Figure& f : figures) {
    out += fmt::format("  {:<44} {:>12.5g} {:<10}", f.name, f.value, f.unit);
    if (!f.asked.empty()) out += fmt::format(" asked: {:<12} {}", f.asked, f.ok.value_or(false) ? "yes" : "NO");
    out += "\n";
  }
  return out;
}

std::string Report::json() const {
  Json list = Json::array();
  for (const Figure& f : figures) {
    Json figure = {{"name", f.name}, {"value", f.value}, {"unit", f.unit}};
    if (!f.asked.empty()) figure.update({{"asked", f.asked}, {"ok", f.ok.value_or(false)}});
    list.push_back(std::move(figure));
  }
  return Json{{"scenario", scenario}, {"figures", std::move(list)}}.dump();
}

}  // namespace nibble::load
