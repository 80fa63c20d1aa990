#include "requests.h"

#include "base/json.h"

namespace nibble::load {

std::string get(std::string_view path) { return "GET " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n\r\n"; }

std::string post(std::string_view path, std::string_view body) {
  return "POST " + std::string(path) +
         " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

std::string text_of(std::size_t bytes, std::uint64_t number) {
  std::string text = std::to_string(number) + " ";
  while (text.size() < bytes) text += "the rain in spain stays mainly in the plain, ";
  text.resize(bytes);
  return text;
}

namespace {

Json text_request(int tokens, bool stream) {
  return {{"model", "any"}, {"max_tokens", tokens}, {"temperature", 0}, {"ignore_eos", true}, {"stream", stream}};
}

}  // namespace

std::shared_ptr<Ask> chat(const std::string& prompt, int tokens, bool stream) {
  Json body = text_request(tokens, stream);
  body["messages"] = Json::array({{{"role", "user"}, {"content", prompt}}});
  auto ask = std::make_shared<Ask>();
  ask->bytes = post("/v1/chat/completions", body.dump());
  ask->is_stream = stream;
  ask->is_chat = true;
  return ask;
}

std::shared_ptr<Ask> completion(const std::string& prompt, int tokens, bool stream) {
  Json body = text_request(tokens, stream);
  body["prompt"] = prompt;
  auto ask = std::make_shared<Ask>();
  ask->bytes = post("/v1/completions", body.dump());
  ask->is_stream = stream;
  return ask;
}

std::shared_ptr<Ask> mixed(std::mt19937_64& random) {
  const auto tokens = static_cast<int>(1 + random() % 40);
  const std::string text = text_of(1 + random() % 400, random() % 1000);
  const auto of = [](std::string bytes) {
    auto ask = std::make_shared<Ask>();
    ask->bytes = std::move(bytes);
    return ask;
  };
  switch (random() % 16) {
    case 0:
    case 1:
    case 2:
    case 3:
      return chat(text, tokens, true);
    case 4:
    case 5:
      return chat(text, tokens, false);
    case 6:
    case 7:
      return completion(text, tokens, true);
    case 8:
      return completion(text, tokens, false);
    case 9:
      return of(post("/v1/embeddings", Json{{"input", Json::array({text, "short"})}}.dump()));
    case 10:
      return of(post("/tokenize", Json{{"content", text}, {"with_pieces", true}}.dump()));
    case 11:
      return of(post("/v1/chat/completions", R"({"messages": 7})"));
    case 12:
      return of(post("/v1/completions", text.substr(0, 20)));
    case 13:
      return of(get("/nothing/here"));
    case 14:
      return of("GET /hea lth HTTP/1.1\r\n\r\n");
    default:
      return of(get(random() % 2 == 0 ? "/metrics" : "/v1/models"));
  }
}

void let_die(Ask& ask, std::mt19937_64& random, double longest) {
  std::uniform_real_distribution<double> part(0, 1);
  ask.dies_after = longest * part(random) * part(random);
  ask.resets = random() % 2 == 0;
  if (random() % 3 == 0) ask.sends_part = part(random);
}

}  // namespace nibble::load
