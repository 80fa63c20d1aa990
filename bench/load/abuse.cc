// Scenarios of clients that behave badly.
#include <fmt/format.h>

#include <cmath>
#include <cstdio>

#include "requests.h"
#include "scenarios.h"

namespace nibble::load {
namespace {

double elapsed(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

/// So many clients, some of which die.
NextAsk dying(const Settings& s, int count, double share, double longest) {
  return [s, count, share, longest, i = 0, random = std::mt19937_64(s.seed)]() mutable -> std::shared_ptr<const Ask> {
    if (i++ >= count) return nullptr;
    const auto bytes = static_cast<std::size_t>(s.prompt_bytes);
    auto ask = chat(text_of(bytes, random()), s.tokens, random() % 4 != 0);
    if (std::uniform_real_distribution<double>(0, 1)(random) < share) let_die(*ask, random, longest);
    return ask;
  };
}

void add_state(Report& report, const std::string& when, const ServerState& state) {
  report.add(when + ": RSS", state.rss_mb, "MB");
  report.add(when + ": files", state.files);
}

}  // namespace

Report disconnects(const Settings& s) {
  Report report{"disconnects", {}};
  const int count = s.requests > 0 ? s.requests : 1000;
  constexpr int kAtOnce = 100;
  Tally tally;
  // The same load without deaths, so that what a server keeps for later is there before.
  closed_loop(s.server, kAtOnce, 1e6, dying(s, 2 * count, 0, 0), [&](const Answer& answer) { tally.add(answer); });
  report.add(tally);
  const double typical = percentile(tally.seconds_200, 0.5);
  const ServerState before = idle_state_of(s.server);
  int died = 0;
  const NextAsk next = [&, more = dying(s, 1 << 30, 1, 4 * typical)]() mutable {
    return died < count ? more() : nullptr;
  };
  closed_loop(s.server, kAtOnce, 1e6, next, [&](const Answer& answer) { died += answer.status == 0 ? 1 : 0; });
  const auto begin = Clock::now();
  const ServerState after = idle_state_of(s.server);
  report.add("clients that died before their answer", died);
  report.add("until nothing was under way", elapsed(begin), "s");
  add_state(report, "before", before);
  add_state(report, "after", after);
  report.add("requests running and waiting after", after.running + after.waiting, "", "0",
             after.running == 0 && after.waiting == 0);
  report.add("connections after, this one too", after.connections, "", "1", after.connections == 1);
  report.add("files more than before", after.files - before.files, "", "0", after.files == before.files);
  const double growth = 100 * (after.rss_mb / before.rss_mb - 1);
  report.add("RSS more than before", growth, "%", "<= 5", growth <= 5);
  return report;
}

namespace {

/// Headers that come a byte a second, and never end.
std::shared_ptr<const Ask> slow_writer() {
  auto ask = std::make_shared<Ask>();
  ask->bytes = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nX-Long: " + std::string(2000, 'x');
  ask->write_pause = 1;
  ask->patience = 600;
  return ask;
}

/// An answer of some 300 kB that is read 64 bytes a second; every second one asks for a stream.
std::shared_ptr<const Ask> slow_reader(int number) {
  auto ask = std::make_shared<Ask>();
  ask->bytes = post("/tokenize", "{\"with_pieces\": true, \"content\": \"" + std::string(8000, 'x') + "\"}");
  if (number % 2 == 0) ask = completion(text_of(40, static_cast<std::uint64_t>(number)), 64, true);
  ask->read_pause = 1;
  ask->patience = 600;
  return ask;
}

}  // namespace

Report slow(const Settings& s) {
  Report report{"slow clients", {}};
  const double seconds = s.seconds > 0 ? s.seconds : 20;
  boost::asio::io_context context{1};
  const auto measure = [&](const std::string& name, Tally& tally) {
    const auto begin = Clock::now();
    closed_loop_on(context, s.server, s.clients, seconds, dying(s, 1 << 30, 0, 0),
                   [&](const Answer& answer) { tally.add(answer); });
    const double rate = tally.count(200) / elapsed(begin);
    report.add(name + ": good clients", rate, "per second");
    report.add(name + ": p99", 1e3 * percentile(tally.seconds_200, 0.99), "ms");
    report.add(tally);
    return rate;
  };
  const int count = s.requests > 0 ? s.requests : 500;
  Tally warm, alone, among, again;
  closed_loop_on(context, s.server, s.clients, 2, dying(s, 1 << 30, 0, 0), [&](const Answer& a) { warm.add(a); });
  const double before = measure("alone", alone);
  double rate = 0;
  {
    const Crowd writers(context, s.server, count, slow_writer);
    // Readers come a few at a time, so that all are answered before what is measured, and only their reading is left.
    std::vector<std::unique_ptr<Crowd>> readers;
    Tally meanwhile;
    const auto go_on = [&](double time) {
      closed_loop_on(context, s.server, s.clients, time, dying(s, 1 << 30, 0, 0),
                     [&](const Answer& a) { meanwhile.add(a); });
    };
    for (int part = 0; part < 20; ++part) {
      const int first = part * count;
      readers.push_back(
          std::make_unique<Crowd>(context, s.server, count / 20, [i = first]() mutable { return slow_reader(i++); }));
      go_on(0.4);
    }
    go_on(2);
    report.add("connections meanwhile", state_of(s.server).connections);
    rate = measure("among slow clients", among);
  }
  const double after = measure("alone again", again);
  // A machine that does other work drifts; the middle is compared with what was before and after.
  const double share = 100 * rate / std::max((before + after) / 2, 1e-9);
  report.add("good clients' throughput kept", share, "%", ">= 90", share >= 90);
  return report;
}

namespace {

/// Slope of a straight line through points (hours, y).
double slope(const std::vector<double>& x, const std::vector<double>& y) {
  const auto n = static_cast<double>(x.size());
  double sx = 0, sy = 0, sxx = 0, sxy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    sx += x[i];
    sy += y[i];
    sxx += x[i] * x[i];
    sxy += x[i] * y[i];
  }
  const double below = n * sxx - sx * sx;
  return below > 0 ? (n * sxy - sx * sy) / below : 0;
}

}  // namespace

Report soak(const Settings& s) {
  Report report{"soak", {}};
  const double seconds = s.seconds > 0 ? s.seconds : 1800;
  const double warm_up = std::min(seconds / 4, 300.0);
  const double part = std::max(seconds / 60, 1.0);
  Tally tally;
  std::mt19937_64 random(s.seed);
  const NextAsk next = [&]() -> std::shared_ptr<const Ask> {
    auto ask = mixed(random);
    if (random() % 10 == 0) let_die(*ask, random, 0.2);
    return ask;
  };
  std::vector<double> hours, rss, files;
  const auto begin = Clock::now();
  int last_files = -1;
  // Long prompts at once first, then many texts at once: a server holds what its largest step needs, and chance would
  // bring that after the warm-up.
  constexpr std::size_t kLongPrompt = 6000;  // letters
  const auto at_once = [&](int clients, std::size_t letters, int tokens) {
    int left = 4 * s.clients;
    const NextAsk next_of_these = [&]() -> std::shared_ptr<const Ask> {
      return left-- > 0 ? completion(text_of(letters, random()), tokens, false) : nullptr;
    };
    closed_loop(s.server, clients, warm_up, next_of_these, [&](const Answer& answer) { tally.add(answer); });
  };
  at_once(s.clients, kLongPrompt, 1);
  at_once(4 * s.clients, 20, 40);
  while (elapsed(begin) < seconds) {
    closed_loop(s.server, s.clients, part, next, [&](const Answer& answer) { tally.add(answer); });
    // Between loads, so that what is counted is what stays.
    const ServerState state = idle_state_of(s.server);
    std::fprintf(stderr, "%7.0f s  RSS %8.2f MB  %4d files  %9d answers\n", elapsed(begin), state.rss_mb, state.files,
                 tally.total());
    last_files = state.files;
    if (elapsed(begin) < warm_up) continue;
    hours.push_back(elapsed(begin) / 3600);
    rss.push_back(state.rss_mb);
    files.push_back(state.files);
  }
  report.add(tally);
  report.add("time", elapsed(begin) / 60, "min");
  if (rss.size() < 2) return report;
  report.add("RSS after warm-up, first", rss.front(), "MB");
  report.add("RSS at the end", rss.back(), "MB");
  const double rate = slope(hours, rss);
  report.add("RSS slope", rate, "MB/hour", "< 1", rate < 1);
  report.add("files at the end", last_files);
  const double more = files.back() - files.front();
  report.add("files more than after warm-up", more, "", "0", more <= 0);
  return report;
}

}  // namespace nibble::load
