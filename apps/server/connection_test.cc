// A connection and a handler that does what handlers should not.
#include "connection.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <stdexcept>

namespace nibble::server {
namespace {

class BadHandler final : public Handler {
 public:
  enum class Does { kLetsGo, kLetsGoInTheMiddle, kThrows, kHoldsOn };
  explicit BadHandler(Does does) : does_(does) {}
  std::optional<HttpReply> refuse(const HttpRequest&) override { return {}; }
  void handle(std::shared_ptr<Exchange> exchange) override {
    if (does_ == Does::kThrows) throw std::runtime_error("no memory");
    if (does_ == Does::kLetsGoInTheMiddle) {
      exchange->begin_stream({});
      exchange->write("a piece");
    }
    if (does_ == Does::kHoldsOn) held = std::move(exchange);
  }
  HttpReply protocol_error(int status, std::string_view) override {
    HttpReply reply;
    reply.status = status;
    return reply;
  }
  void answered(const Exchange& exchange, int status, std::uint64_t) override {
    EXPECT_EQ(exchange.request.path, "/x");
    last_status = status;
  }

  std::shared_ptr<Exchange> held;
  int last_status = 0;

 private:
  Does does_;
};

/// What the client gets of one request until its connection ends.
std::string answer_of(BadHandler& handler, bool client_leaves = false) {
  boost::asio::io_context context{1};
  const ConnectionLimits limits;
  ConnectionSet all;
  int ends[2];
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
  boost::asio::ip::tcp::socket socket(context);
  socket.assign(boost::asio::ip::tcp::v4(), ends[0]);
  std::make_shared<Connection>(std::move(socket), handler, limits, all)->start();
  const std::string_view request = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}";
  EXPECT_EQ(send(ends[1], request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
  const auto poll = [&] {
    for (int i = 0; i < 20; ++i) {
      context.restart();
      try {
        context.poll();
      } catch (const std::runtime_error&) {
        continue;  // as the server does
      }
    }
  };
  poll();
  if (client_leaves) {
    handler.held->on_gone([] {});
    close(ends[1]);
    poll();
    handler.held->reply({});  // to nobody
    handler.held.reset();
    poll();
    EXPECT_TRUE(all.open.empty());
    return "";
  }
  std::string answer(4096, '\0');
  const ssize_t count = recv(ends[1], answer.data(), answer.size(), 0);
  answer.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  char rest = 0;
  EXPECT_EQ(recv(ends[1], &rest, 1, 0), 0) << "the connection has ended";
  close(ends[1]);
  EXPECT_TRUE(all.open.empty());
  EXPECT_EQ(all.body_bytes, 0u);
  return answer;
}

TEST(Connection, IsCutWhenAHandlerLetsGo) {
  for (const auto does : {BadHandler::Does::kLetsGo, BadHandler::Does::kThrows}) {
    BadHandler handler(does);
    EXPECT_EQ(answer_of(handler), "");
  }
}

TEST(Connection, IsCutWhenAHandlerLetsGoInTheMiddle) {
  BadHandler handler(BadHandler::Does::kLetsGoInTheMiddle);
  const std::string answer = answer_of(handler);
  EXPECT_NE(answer.find("a piece"), std::string::npos);
  EXPECT_EQ(answer.find("0\r\n\r\n"), std::string::npos) << "not as if it were whole";
}

TEST(Connection, SaysThatAClientHasGone) {
  BadHandler handler(BadHandler::Does::kHoldsOn);
  answer_of(handler, true);
  EXPECT_EQ(handler.last_status, 499);
}

TEST(Connection, ClientsAreAddressesOrNetworksOfOne) {
  const auto client = [](const char* address) { return client_of(boost::asio::ip::make_address(address)); };
  EXPECT_EQ(client("192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(client("::ffff:192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(client("::1"), "::1");
  EXPECT_EQ(client("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
  EXPECT_EQ(client("2001:db8:1:2::9"), client("2001:db8:1:2:ffff::"));
  EXPECT_NE(client("2001:db8:1:2::9"), client("2001:db8:1:3::9"));
}

}  // namespace
}  // namespace nibble::server
