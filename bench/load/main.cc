// nibble-load: puts an OpenAI server under load or abuse, checks every answer, and prints what was measured beside what
// is asked for. docs/server-load.md says how, and what came of it.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>
#include <map>

#include "scenarios.h"

namespace {

using namespace nibble::load;

void raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string, std::pair<std::function<Report(const Settings&)>, std::string>> scenarios = {
      {"plain", {plain, "what the flags say: --clients at once, or --rate per second"}},
      {"first-byte", {first_byte, "time to the first byte of one client at a time"}},
      {"streams", {streams, "1,000 streams at once until there were 10,000"}},
      {"overload", {overload, "1 to 10 times of what the server can answer"}},
      {"disconnects", {disconnects, "1,000 clients that die at any moment"}},
      {"slow", {slow, "500 slow writers and 500 slow readers"}},
      {"batching", {batching, "8 streams together and one alone"}},
      {"soak", {soak, "all kinds of requests and deaths, for 30 minutes"}},
  };
  Settings s;
  std::string host = "127.0.0.1";
  int port = 8080;
  bool json = false;
  bool whole = false;
  CLI::App app("puts an OpenAI server under load");
  app.require_subcommand(1);
  app.fallthrough();
  for (const auto& [name, scenario] : scenarios) app.add_subcommand(name, scenario.second);
  app.add_option("--host", host, "address of the server")->capture_default_str();
  app.add_option("--port", port, "its port")->capture_default_str();
  app.add_option("--pid", s.server.pid, "its process (default: the one that listens on the port)");
  app.add_option("--clients", s.clients, "clients at once")->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--requests", s.requests, "requests, clients or turns (default: the scenario's)");
  app.add_option("--seconds", s.seconds, "time (default: the scenario's)");
  app.add_option("--rate", s.rate, "requests per second, whatever the answers are");
  app.add_option("--tokens", s.tokens, "tokens of an answer")->capture_default_str();
  app.add_option("--prompt-bytes", s.prompt_bytes, "bytes of a prompt")->capture_default_str();
  app.add_option("--capacity", s.capacity, "answers per second that the server can give (default: measured)");
  app.add_option("--seed", s.seed, "of what is random")->capture_default_str();
  app.add_flag("--whole", whole, "whole answers instead of streams");
  app.add_flag("--json", json, "one line of JSON instead of a table");
  CLI11_PARSE(app, argc, argv);
  s.stream = !whole;
  raise_file_limit();
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(host, error);
  if (error) {
    std::fprintf(stderr, "nibble-load: --host %s: expected an address\n", host.c_str());
    return 2;
  }
  s.server.endpoint = {address, static_cast<std::uint16_t>(port)};
  if (s.server.pid == 0 && address.is_loopback()) s.server.pid = process_of_port(port);
  if (state_of(s.server).running < 0) {
    std::fprintf(stderr, "nibble-load: no server answers /metrics at %s port %d\n", host.c_str(), port);
    return 2;
  }
  const Report report = scenarios.at(app.get_subcommands().front()->get_name()).first(s);
  std::printf("%s\n", json ? report.json().c_str() : report.table().c_str());
  return report.ok() ? 0 : 1;
}
