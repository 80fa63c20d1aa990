#include "server_state.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

#include "requests.h"

namespace nibble::load {
namespace fs = std::filesystem;

namespace {

/// The sum of a metric's values over its labels.
double metric(const std::string& page, const std::string& name) {
  double sum = -1;
  for (std::size_t at = 0; at < page.size();) {
    const std::size_t end = std::min(page.find('\n', at), page.size());
    const std::string line = page.substr(at, end - at);
    at = end + 1;
    if (line.rfind(name, 0) != 0 || (line[name.size()] != ' ' && line[name.size()] != '{')) continue;
    sum = std::max(sum, 0.0) + std::strtod(line.c_str() + line.rfind(' '), nullptr);
  }
  return sum;
}

}  // namespace

ServerState state_of(const Server& server) {
  ServerState state;
  auto ask = std::make_shared<Ask>();
  ask->bytes = get("/metrics");
  const Answer answer = ask_once(server, ask);
  if (answer.status == 200) {
    state.running = metric(answer.body, "vllm:num_requests_running");
    state.waiting = metric(answer.body, "vllm:num_requests_waiting");
    state.connections = metric(answer.body, "nibble:http_connections");
    state.generated_tokens = metric(answer.body, "vllm:generation_tokens_total");
  }
  if (server.pid == 0) return state;
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // for the end of the connection just used
  const fs::path process = "/proc/" + std::to_string(server.pid);
  std::ifstream pages(process / "statm");
  double total = 0;
  if (pages >> total >> state.rss_mb) state.rss_mb *= static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
  std::error_code error;
  const fs::directory_iterator files(process / "fd", error);
  if (!error) state.files = static_cast<int>(std::distance(begin(files), end(files)));
  return state;
}

ServerState idle_state_of(const Server& server, double patience) {
  const auto end = Clock::now() + std::chrono::duration<double>(patience);
  for (;;) {
    const ServerState state = state_of(server);
    const bool is_idle = state.running == 0 && state.waiting == 0 && state.connections <= 1;
    if (is_idle || Clock::now() > end) return state;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

int process_of_port(int port) {
  // Columns of /proc/net/tcp: number, local address:port in hex, remote, state (0A: listening), ..., inode.
  std::ifstream table("/proc/net/tcp");
  std::string line, inode;
  char wanted[8];
  std::snprintf(wanted, sizeof wanted, ":%04X", port);
  while (std::getline(table, line)) {
    std::istringstream words(line);
    std::string word[10];
    for (std::string& w : word) words >> w;
    if (word[3] == "0A" && word[1].size() > 5 && word[1].substr(word[1].size() - 5) == wanted) inode = word[9];
  }
  if (inode.empty()) return 0;
  std::error_code error;
  for (const auto& process : fs::directory_iterator("/proc", error)) {
    const int pid = std::atoi(process.path().filename().c_str());
    if (pid == 0) continue;
    for (const auto& file : fs::directory_iterator(process.path() / "fd", error))
      if (fs::read_symlink(file, error) == "socket:[" + inode + "]") return pid;
  }
  return 0;
}

}  // namespace nibble::load
