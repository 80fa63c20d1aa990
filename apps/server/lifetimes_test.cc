// Clients that leave, and servers that stop, at any moment: for the sanitizers, and for what must be left.
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <new>
#include <random>
#include <thread>
#include <vector>

#include "testing/local_server.h"
#include "testing/stream_check.h"

namespace nibble::server {
namespace {

EmptyModelOptions paced_model() {
  EmptyModelOptions options;
  options.engine.max_running = 8;
  options.step_time = std::chrono::microseconds(500);
  return options;
}

/// Requests that take from no time to some 50 ms.
std::vector<std::string> requests() {
  return {
      post_of("/v1/chat/completions", R"({"messages": [{"role": "user", "content": "so it goes"}], "stream": true})"),
      post_of("/v1/chat/completions", R"({"messages": [{"role": "user", "content": "so it goes"}], "n": 3})"),
      post_of("/v1/completions",
              R"({"prompt": ["a", "b", "c"], "ignore_eos": true, "max_tokens": 99, "stream": true})"),
      post_of("/v1/embeddings", R"({"input": ["so", "it", "goes"]})"),
      post_of("/tokenize", R"({"content": "so it goes"})"),
      post_of("/v1/completions", R"({"prompt": 7})"),
      "GET /api/models HTTP/1.1\r\nHost: localhost\r\n\r\n",
  };
}

void wait_at_most(std::mt19937& random, int microseconds) {
  std::this_thread::sleep_for(std::chrono::microseconds(random() % static_cast<unsigned>(microseconds)));
}

/// The sum of what is under way, by the server's own metrics.
bool is_idle(int port) {
  LocalClient client(port);
  const std::string page = client.ask("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").body();
  return page.find("vllm:num_requests_running{model_name=\"empty\"} 0\n") != std::string::npos &&
         page.find("vllm:num_requests_waiting{model_name=\"empty\"} 0\n") != std::string::npos &&
         page.find("nibble:http_connections{} 1\n") != std::string::npos;
}

TEST(Lifetimes, ClientsMayLeaveAtAnyMoment) {
  const LocalServer server(paced_model());
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < 4; ++seed)
    threads.emplace_back([&server, seed] {
      std::mt19937 random(seed);
      const auto all = requests();
      for (int i = 0; i < 100; ++i) {
        LocalClient client(server.port());
        const std::string& bytes = all[random() % all.size()];
        client.say(bytes.substr(0, random() % 3 == 0 ? random() % bytes.size() : bytes.size()));
        if (random() % 4 == 0) client.say(bytes);  // a request behind it
        wait_at_most(random, 10'000);
      }
    });
  for (std::thread& thread : threads) thread.join();
  bool idle = false;
  for (int i = 0; i < 100 && !idle; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    idle = is_idle(server.port());
  }
  EXPECT_TRUE(idle);
}

TEST(Lifetimes, WhatIsThrownEndsOneTaskOnly) {
  ServedModels models({{"empty", "empty"}}, [](const ModelSource& source, const std::atomic<bool>&) {
    return Result<ServedModel>(empty_model(source.id, paced_model()));
  });
  Server server(models, local_options());
  ASSERT_TRUE(server.listen().ok());
  std::thread thread([&] { EXPECT_TRUE(server.run([] { throw std::bad_alloc(); }).ok()); });
  LocalClient client(server.port());
  EXPECT_EQ(client.ask("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").header("server"), "nibble");
  while (!models.is_loaded()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(client.ask("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").status(), 200);
  server.stop();
  thread.join();
}

TEST(Lifetimes, ServersMayStopWhileAModelLoads) {
  std::atomic<bool> is_loading = false;
  ServedModels models({{"empty", "empty"}}, [&](const ModelSource&, const std::atomic<bool>& stop) {
    is_loading = true;
    while (!stop) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return Result<ServedModel>(Error{ErrorCode::kCancelled, "the work was stopped"});
  });
  Server server(models, local_options());
  ASSERT_TRUE(server.listen().ok());
  std::thread thread([&] { EXPECT_TRUE(server.run([] {}).ok()); });
  while (!is_loading) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  server.stop();
  thread.join();
}

/// nohup, or a background job of a script: what the parent had ignored stays so.
TEST(Lifetimes, SignalsThatWereIgnoredStayIgnored) {
  const auto before = std::signal(SIGHUP, SIG_IGN);
  {
    const LocalServer server(paced_model());
    std::raise(SIGHUP);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    LocalClient client(server.port());
    EXPECT_EQ(client.ask("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").status(), 200);
  }
  std::signal(SIGHUP, before);
}

TEST(Lifetimes, ServersMayStopAtAnyMoment) {
  std::mt19937 random(1);
  for (int round = 0; round < 8; ++round) {
    ServerOptions options = local_options();
    options.drain_seconds = round % 2 == 0 ? 0 : 0.05;
    std::vector<std::thread> threads;
    std::atomic<int> torn = 0;
    {
      const LocalServer server(paced_model(), options);
      for (unsigned seed = 0; seed < 4; ++seed)
        threads.emplace_back([port = server.port(), seed, &torn] {
          std::mt19937 own(seed);
          const auto all = requests();
          for (bool is_open = true; is_open;) {
            LocalClient client(port);
            const ResponseReader answer = client.ask(all[own() % 3]);
            is_open = client.is_open();
            if (answer.header("content-type").substr(0, 17) != "text/event-stream") continue;
            StreamCheck check(answer.body().find("text_completion") == std::string::npos);
            check.feed(answer.body());
            torn += check.finish().empty() ? 0 : 1;
          }
        });
      wait_at_most(random, 60'000);
    }
    for (std::thread& thread : threads) thread.join();
    // Who was being answered has a whole stream, if with an error at its end.
    EXPECT_EQ(torn, 0) << "round " << round;
  }
}

}  // namespace
}  // namespace nibble::server
