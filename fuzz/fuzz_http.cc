// Bytes of a client through the server: connection, parser, interface and the empty model, which answers at once, and
// the bytes that come back. Every request gets one answer that keeps the rules, and when the client goes nothing is
// left.
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.h"
#include "server/api.h"
#include "server/connection.h"
#include "server/empty_model.h"
#include "server/testing/response_reader.h"
#include "server/testing/stream_check.h"
#include "tokenizer_uses.h"

namespace {

using namespace nibble;
using namespace nibble::server;

/// The interface, with a count of what it is asked and what is answered.
class CountingHandler final : public Handler {
 public:
  explicit CountingHandler(Api& api) : api_(api) {}
  std::optional<HttpReply> refuse(const HttpRequest& head) override {
    auto reply = api_.refuse(head);
    if (reply) ++asked;
    return reply;
  }
  void handle(std::shared_ptr<Exchange> exchange) override {
    ++asked;
    api_.handle(std::move(exchange));
  }
  HttpReply protocol_error(int status, std::string_view message) override {
    ++asked;
    return api_.protocol_error(status, message);
  }
  void answered(const Exchange& exchange, int status, std::uint64_t bytes) override {
    ++answers;
    api_.answered(exchange, status, bytes);
  }

  int asked = 0;
  int answers = 0;

 private:
  Api& api_;
};

EmptyModelOptions model_options() {
  EmptyModelOptions options;
  options.synchronous = true;
  options.context = 48;
  return options;
}

ApiOptions api_options() {
  ApiOptions options;
  options.gate.allowed_hosts = {"localhost", "127.0.0.1", "::1"};
  options.workers = 0;
  options.access_log = [](const std::string& line) { require(Json::accept(line)); };
  return options;
}

struct World {
  World() {
    models.load([](const Status&) {});
    while (!models.is_loaded()) usleep(1000);
  }

  ServedModels models{{{"empty", "empty"}}, [](const ModelSource& source, const std::atomic<bool>&) {
                        return Result<ServedModel>(empty_model(source.id, model_options()));
                      }};
  Api api{models, api_options()};
  CountingHandler handler{api};
  ConnectionLimits limits;
  ConnectionSet connections;
  boost::asio::io_context context{1};
};

/// Everything that can be done without waiting; what is written is added to `out`.
void run(boost::asio::io_context& context, int client, std::string& out) {
  for (bool is_busy = true; is_busy;) {
    context.restart();
    is_busy = context.poll() > 0;
    char bytes[16 * 1024];
    for (ssize_t count = 0; (count = recv(client, bytes, sizeof bytes, MSG_DONTWAIT)) > 0; is_busy = true)
      out.append(bytes, static_cast<std::size_t>(count));
  }
}

void check_answer(const ResponseReader& answer) {
  require(answer.is_done() && answer.problem().empty());
  if (answer.status() >= 400) return require(is_error_object(answer.body()));
  if (answer.header("content-type") == "application/json") require(Json::accept(answer.body()));
  if (answer.header("content-type").substr(0, 17) != "text/event-stream") return;
  StreamCheck check(answer.body().find("\"text_completion\"") == std::string::npos);
  check.feed(answer.body());
  require(check.finish().empty());
}

/// How many answers there are; each must be whole.
int check_answers(std::string_view bytes) {
  int count = 0;
  for (; !bytes.empty(); ++count) {
    ResponseReader answer;
    bytes.remove_prefix(answer.feed(bytes));
    answer.end_of_connection();
    if (count == 0 && answer.status() == 0 && answer.problem().empty()) return 0;  // "100 Continue", and no more
    check_answer(answer);
  }
  return count;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static World world;
  int ends[2];
  require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
  boost::asio::ip::tcp::socket socket(world.context);
  socket.assign(boost::asio::ip::tcp::v4(), ends[0]);
  world.handler.asked = world.handler.answers = 0;
  std::make_shared<Connection>(std::move(socket), world.handler, world.limits, world.connections)->start();
  require(size == 0 || send(ends[1], data, size, MSG_NOSIGNAL) == static_cast<ssize_t>(size));
  std::string out;
  run(world.context, ends[1], out);
  const int asked = world.handler.asked;
  // Answers to HEAD cannot be told apart from the bytes alone.
  const bool has_head = std::string_view(reinterpret_cast<const char*>(data), size).find("HEAD") != std::string::npos;
  shutdown(ends[1], SHUT_WR);
  run(world.context, ends[1], out);
  close(ends[1]);
  world.context.restart();
  world.context.poll();
  require(world.connections.open.empty() && world.connections.body_bytes == 0);
  require(world.handler.asked == asked && world.handler.answers == asked);
  if (!has_head) require(check_answers(out) == asked);
  return 0;
}
