#include "scenarios.h"

#include <fmt/format.h>

#include <algorithm>

#include "requests.h"

namespace nibble::load {
namespace {

int or_else(int given, int otherwise) { return given > 0 ? given : otherwise; }
double or_else(double given, double otherwise) { return given > 0 ? given : otherwise; }

/// So many requests, each with a prompt of its own.
NextAsk chats(const Settings& s, int count) {
  return [s, count, i = 0]() mutable -> std::shared_ptr<const Ask> {
    if (count > 0 && i >= count) return nullptr;
    ++i;
    return chat(text_of(static_cast<std::size_t>(s.prompt_bytes), s.seed + static_cast<std::uint64_t>(i)), s.tokens,
                s.stream);
  };
}

double elapsed(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

void add_times(Report& report, const std::string& name, const std::vector<double>& seconds) {
  for (const auto& [label, share] : {std::pair("p50", 0.5), std::pair("p99", 0.99), std::pair("max", 1.0)})
    report.add(name + " " + label, 1e3 * percentile(seconds, share), "ms");
}

constexpr double kForever = 1e6;

}  // namespace

Report plain(const Settings& s) {
  Report report{"plain", {}};
  Tally tally;
  const auto told = [&](const Answer& answer) { tally.add(answer); };
  const auto begin = Clock::now();
  if (s.rate > 0) {
    open_loop(s.server, {s.rate, or_else(s.seconds, 10.0), 4000}, chats(s, 0), told);
  } else {
    const int count = s.seconds > 0 ? 0 : or_else(s.requests, 1000);
    closed_loop(s.server, s.clients, or_else(s.seconds, kForever), chats(s, count), told);
  }
  const double seconds = elapsed(begin);
  report.add(tally);
  report.add("answers", tally.count(200) / seconds, "per second");
  if (s.stream) report.add("texts in streams", static_cast<double>(tally.pieces) / seconds, "per second");
  add_times(report, "answer", tally.seconds_200);
  add_times(report, "first byte", tally.first_byte);
  if (s.stream) add_times(report, "first text", tally.first_piece);
  if (tally.count(503) > 0) add_times(report, "refusal", tally.seconds_503);
  return report;
}

Report first_byte(const Settings& s) {
  Report report{"first byte", {}};
  const int count = or_else(s.requests, 2000);
  for (const bool stream : {true, false}) {
    Settings one = s;
    one.stream = stream;
    Tally tally;
    closed_loop(s.server, 1, kForever, chats(one, count / 10), [](const Answer&) {});
    closed_loop(s.server, 1, kForever, chats(one, count), [&](const Answer& answer) { tally.add(answer); });
    report.add(tally);
    const std::string kind = stream ? "stream, " : "whole answer, ";
    const double median = 1e3 * percentile(tally.first_byte, 0.5);
    report.add(kind + "first byte p50", median, "ms", "< 2", median < 2);
    report.add(kind + "first byte p99", 1e3 * percentile(tally.first_byte, 0.99), "ms");
    if (!stream) continue;
    const double text = 1e3 * percentile(tally.first_piece, 0.5);
    report.add(kind + "first text p50", text, "ms", "< 2", text < 2);
  }
  return report;
}

namespace {

/// How many of the spans lie over each other at most.
int most_at_once(const std::vector<std::pair<double, double>>& spans) {
  std::vector<std::pair<double, int>> ends;
  for (const auto& [from, to] : spans) {
    ends.emplace_back(from, 1);
    ends.emplace_back(to, -1);
  }
  std::sort(ends.begin(), ends.end());
  int open = 0, most = 0;
  for (const auto& [when, change] : ends) most = std::max(most, open += change);
  return most;
}

}  // namespace

Report streams(const Settings& s) {
  Report report{"streams", {}};
  Settings all = s;
  all.stream = true;
  Tally tally;
  std::vector<std::pair<double, double>> open;
  const int wanted = or_else(s.requests, 10'000);
  const auto begin = Clock::now();
  const NextAsk next = [&, more = chats(all, 0)]() mutable { return tally.total() < wanted ? more() : nullptr; };
  const auto told = [&](const Answer& answer) {
    tally.add(answer);
    if (answer.status == 200) open.emplace_back(elapsed(begin) - answer.seconds, elapsed(begin));
  };
  closed_loop(s.server, s.clients == 8 ? 1000 : s.clients, kForever, next, told, 1);
  report.add(tally);
  const int others = tally.total() - tally.problems() - tally.count(200) - tally.count(503);
  report.add("answers other than 200 and 503", others, "", "0", others == 0);
  report.add("streams open at once, at most", most_at_once(open));
  report.add("time of all", elapsed(begin), "s");
  report.add("texts in streams", static_cast<double>(tally.pieces) / elapsed(begin), "per second");
  add_times(report, "first text", tally.first_piece);
  add_times(report, "refusal", tally.seconds_503);
  return report;
}

namespace {

/// Answers per second with enough clients for the server to be busy all the time.
double capacity_of(const Settings& s) {
  constexpr int kAnswers = 128;
  const auto begin = Clock::now();
  Tally tally;
  closed_loop(s.server, 32, kForever, chats(s, kAnswers), [&](const Answer& answer) { tally.add(answer); });
  return tally.count(200) / elapsed(begin);
}

}  // namespace

Report overload(const Settings& s) {
  Report report{"overload", {}};
  const double capacity = s.capacity > 0 ? s.capacity : capacity_of(s);
  report.add("capacity", capacity, "per second", "> 0", capacity > 0);
  if (capacity <= 0) return report;
  double best = 0;
  double last = 0;
  Tally all;
  std::vector<double> refusals;
  for (const int factor : {1, 2, 3, 5, 7, 10}) {
    idle_state_of(s.server);
    Tally tally;
    const double seconds = or_else(s.seconds, 8.0);
    const auto begin = Clock::now();
    const int asked = open_loop(s.server, {factor * capacity, seconds, 4000}, chats(s, 0), [&](const Answer& answer) {
      tally.add(answer);
      all.add(answer);
    });
    last = tally.count(200) / elapsed(begin);
    best = std::max(best, last);
    report.add(fmt::format("{} x: asked", factor), asked / seconds, "per second");
    report.add(fmt::format("{} x: answered", factor), last, "per second");
    if (factor == 10) refusals = tally.seconds_503;
  }
  report.add(all);
  report.add("goodput at 10 x, of the best", 100 * last / best, "%", ">= 90", best > 0 && last >= 0.9 * best);
  report.add("refusal at 10 x p50", 1e3 * percentile(refusals, 0.5), "ms");
  const double p99 = 1e3 * percentile(refusals, 0.99);
  report.add("refusal at 10 x p99", p99, "ms", "<= 100", p99 <= 100 && !refusals.empty());
  return report;
}

Report batching(const Settings& s) {
  Report report{"batching", {}};
  std::vector<double> ratios;
  double rates[2] = {};
  for (int turn = 0; turn < or_else(s.requests, 3); ++turn) {
    for (const int together : {1, 8}) {
      Settings now = s;
      now.stream = true;
      now.seed = s.seed + static_cast<std::uint64_t>(100 * turn + 10 * together);
      // Tokens are counted by the server: a stream's texts may hold several, or part of one.
      const double before = idle_state_of(s.server).generated_tokens;
      const auto begin = Clock::now();
      Tally tally;
      closed_loop(s.server, together, kForever, chats(now, together), [&](const Answer& answer) { tally.add(answer); });
      const double seconds = elapsed(begin);
      const double tokens = idle_state_of(s.server).generated_tokens - before;
      rates[together == 8 ? 1 : 0] = tokens / seconds;
      report.add(fmt::format("turn {}, {} at once", turn + 1, together), tokens / seconds, "tokens/s");
      report.add(tally);
    }
    ratios.push_back(rates[1] / rates[0]);
  }
  const double ratio = percentile(ratios, 0.5);
  report.add("8 streams by one, median", ratio, "x", ">= 3.5", ratio >= 3.5);
  return report;
}

}  // namespace nibble::load
