// `nibble serve` as its clients see it: a tiny model behind a real port.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <thread>

#include "chat_model_test.h"
#include "http_client.h"
#include "nibble/chat.h"
#include "nibble_process.h"

namespace nibble {
namespace {

using ::testing::HasSubstr;

/// The characters that JSON and tags of tool calls need, a token each.
Json json_tokenizer() {
  Json tokenizer = ascii_tokenizer();
  Json& vocab = tokenizer["model"]["vocab"];
  for (const auto& [unused, wanted] : {std::pair("`", "}"), std::pair("^", "\xC4\x8A")}) {
    const Json id = vocab[unused];
    vocab.erase(unused);
    vocab[wanted] = id;
  }
  return tokenizer;
}

constexpr std::string_view kToolTemplate =
    "{% if tools %}Answer with <tool_call>\n{\"name\": NAME, \"arguments\": {...}}\n</tool_call> of {{ tools | tojson "
    "}}"
    "{% endif %}{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}";

class ServerTest : public ChatModelTest {
 protected:
  void SetUp() override {
    ChatModelTest::SetUp();
    std::ofstream(root_ / "m/tokenizer.json") << json_tokenizer().dump();
    std::ofstream(root_ / "m/chat_template.jinja") << kToolTemplate;
  }
  void TearDown() override {
    if (server_ != nullptr) stop();
    ChatModelTest::TearDown();
  }

  void serve(std::vector<std::string> args = {}) {
    port_ = free_port();
    std::vector<std::string> all = {
        "serve", (root_ / "m").string(), "--port", std::to_string(port_), "-t", "1", "--ctx", "2000"};
    all.insert(all.end(), args.begin(), args.end());
    server_ = std::make_unique<NibbleProcess>(all);
    for (int i = 0; i < 600 && client().get("/health").status != 200; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    ASSERT_EQ(client().get("/health").status, 200);
  }
  Finished stop() {
    kill(server_->id(), SIGTERM);
    const Finished finished = server_->finish();
    server_.reset();
    return finished;
  }
  HttpClient client() const { return HttpClient(port_); }

  Json ask(const std::string& path, const Json& body) const {
    const HttpAnswer answer = client().post(path, body.dump());
    EXPECT_EQ(answer.status, 200) << answer.body;
    return parse_untrusted(answer.body, "answer").value();
  }
  /// The chunks of a stream, whose last event is checked.
  std::vector<Json> ask_stream(const std::string& path, Json body) const {
    body["stream"] = true;
    const HttpAnswer answer = client().post(path, body.dump());
    EXPECT_EQ(answer.status, 200) << answer.body;
    EXPECT_TRUE(answer.whole);
    std::vector<Json> chunks;
    std::vector<std::string> events = answer.events();
    EXPECT_FALSE(events.empty());
    if (events.empty()) return chunks;
    EXPECT_EQ(events.back(), "[DONE]");
    events.pop_back();
    for (const std::string& event : events) chunks.push_back(parse_untrusted(event, "event").value());
    return chunks;
  }
  static Json conversation(int max_tokens = 24) {
    return {{"messages", {{{"role", "user"}, {"content", "Hello"}}}}, {"max_tokens", max_tokens}, {"seed", 7}};
  }

  int port_ = 0;
  std::unique_ptr<NibbleProcess> server_;
};

/// The message that the chunks of one answer make together.
Json message_of(const std::vector<Json>& chunks, int index = 0) {
  Json message = {{"content", ""}};
  for (const Json& chunk : chunks) {
    for (const Json& choice : chunk["choices"]) {
      if (choice["index"] != index) continue;
      const Json& delta = choice["delta"];
      if (delta.contains("role")) message["role"] = delta["role"];
      if (delta.contains("content"))
        message["content"] = message["content"].get<std::string>() + delta["content"].get<std::string>();
      if (delta.contains("tool_calls")) {
        for (const Json& piece : delta["tool_calls"]) {
          const auto call = piece["index"].get<std::size_t>();
          if (piece.contains("id")) {
            message["tool_calls"].push_back(piece);
            message["tool_calls"].back().erase("index");
          } else {
            Json& arguments = message["tool_calls"][call]["function"]["arguments"];
            arguments = arguments.get<std::string>() + piece["function"]["arguments"].get<std::string>();
          }
        }
      }
      if (!choice["finish_reason"].is_null()) message["finish_reason"] = choice["finish_reason"];
    }
  }
  return message;
}

TEST_F(ServerTest, StreamedEqualsWhole) {
  serve();
  for (const bool logprobs : {false, true}) {
    Json body = conversation();
    body["n"] = 2;
    if (logprobs) body.update({{"logprobs", true}, {"top_logprobs", 3}});
    const Json whole = ask("/v1/chat/completions", body);
    ASSERT_EQ(whole["choices"].size(), 2u);
    EXPECT_EQ(whole["object"], "chat.completion");
    EXPECT_EQ(whole["model"], "m");
    EXPECT_NE(whole["choices"][0]["message"]["content"], whole["choices"][1]["message"]["content"]);
    EXPECT_EQ(whole["usage"]["completion_tokens"], 48);
    body["stream_options"] = {{"include_usage", true}};
    const auto chunks = ask_stream("/v1/chat/completions", body);
    EXPECT_EQ(chunks.front()["choices"][0]["delta"]["role"], "assistant");
    EXPECT_TRUE(chunks.front()["usage"].is_null());
    EXPECT_EQ(chunks.back()["choices"], Json::array());
    EXPECT_EQ(chunks.back()["usage"]["total_tokens"], whole["usage"]["total_tokens"]);
    for (int i = 0; i < 2; ++i) {
      const Json& choice = whole["choices"][static_cast<std::size_t>(i)];
      const Json message = message_of(chunks, i);
      EXPECT_EQ(message["content"], choice["message"]["content"]);
      EXPECT_EQ(message["finish_reason"], "length");
      EXPECT_EQ(choice["finish_reason"], "length");
      if (!logprobs) continue;
      Json joined = Json::array();
      for (const Json& chunk : chunks)
        for (const Json& part : chunk["choices"])
          if (part["index"] == i && !part["logprobs"].is_null())
            for (const Json& token : part["logprobs"]["content"]) joined.push_back(token);
      EXPECT_EQ(joined, choice["logprobs"]["content"]);
      EXPECT_EQ(joined.size(), 24u);
      EXPECT_EQ(joined[0]["top_logprobs"].size(), 3u);
    }
  }
}

TEST_F(ServerTest, Completions) {
  serve();
  const Json body = {{"prompt", {"Hello", "world"}}, {"max_tokens", 8}, {"seed", 1}, {"logprobs", 2}};
  const Json whole = ask("/v1/completions", body);
  ASSERT_EQ(whole["choices"].size(), 2u);
  const Json& logprobs = whole["choices"][1]["logprobs"];
  EXPECT_EQ(logprobs["tokens"].size(), 8u);
  EXPECT_EQ(logprobs["text_offset"][3], 3);
  std::string text;
  for (const Json& chunk : ask_stream("/v1/completions", body))
    for (const Json& choice : chunk["choices"])
      if (choice["index"] == 1) text += choice["text"].get<std::string>();
  EXPECT_EQ(text, whole["choices"][1]["text"]);

  const Json echo =
      ask("/v1/completions", {{"prompt", "Hello"}, {"echo", true}, {"temperature", 0}, {"max_tokens", 3}});
  EXPECT_EQ(echo["choices"][0]["text"].get<std::string>().substr(0, 5), "Hello");
  const Json tokens = ask("/tokenize", {{"content", "Hello"}})["tokens"];
  EXPECT_EQ(tokens.size(), 5u);
  EXPECT_EQ(ask("/detokenize", {{"tokens", tokens}})["content"], "Hello");
  const Json again =
      ask("/v1/completions", {{"prompt", tokens}, {"echo", true}, {"temperature", 0}, {"max_tokens", 3}});
  EXPECT_EQ(again["choices"][0]["text"], echo["choices"][0]["text"]);
}

TEST_F(ServerTest, SchemasAndJson) {
  serve();
  Json body = conversation(200);
  body["response_format"] = {
      {"type", "json_schema"},
      {"json_schema",
       {{"name", "x"},
        {"schema",
         {{"type", "object"},
          {"properties",
           {{"a", {{"type", "integer"}, {"minimum", 1}, {"maximum", 99}}}, {"b", {{"enum", {"x", "y"}}}}}},
          {"required", {"a", "b"}}}}}}};
  const Json whole = ask("/v1/chat/completions", body);
  const std::string text = whole["choices"][0]["message"]["content"];
  const auto document = parse_untrusted(text, "content");
  ASSERT_TRUE(document.ok()) << text;
  EXPECT_TRUE((*document)["a"].is_number_integer()) << text;
  EXPECT_EQ(message_of(ask_stream("/v1/chat/completions", body))["content"], text);

  // The names of llama-server and vLLM, for the same.
  const Json schema = body["response_format"]["json_schema"]["schema"];
  for (const Json& same : {Json{{"json_schema", schema}}, Json{{"guided_json", schema}},
                           Json{{"guided_json", schema.dump()}}, Json{{"structured_outputs", {{"json", schema}}}},
                           Json{{"response_format", {{"type", "json_object"}, {"schema", schema}}}}}) {
    Json other = conversation(200);
    other.update(same);
    EXPECT_EQ(ask("/v1/chat/completions", other)["choices"][0]["message"]["content"], text) << same;
  }

  body["response_format"]["json_schema"]["schema"]["not"] = Json::object();
  const HttpAnswer refused = client().post("/v1/chat/completions", body.dump());
  EXPECT_EQ(refused.status, 400);
  EXPECT_THAT(refused.body, HasSubstr("\"not\\\" is not supported"));
  EXPECT_THAT(refused.body, HasSubstr("\"param\":\"response_format\""));
}

TEST_F(ServerTest, ToolCalls) {
  serve();
  Json body = conversation(400);
  body["tools"] = {{{"type", "function"},
                    {"function",
                     {{"name", "get_weather"},
                      {"parameters",
                       {{"type", "object"},
                        {"properties", {{"city", {{"enum", {"Paris", "Rome"}}}}, {"days", {{"enum", {1, 2, 3}}}}}},
                        {"required", {"city", "days"}}}}}}}};
  for (const Json& choice : {Json("required"), Json{{"type", "function"}, {"function", {{"name", "get_weather"}}}}}) {
    body["tool_choice"] = choice;
    body["parallel_tool_calls"] = false;
    const Json whole = ask("/v1/chat/completions", body);
    const Json& message = whole["choices"][0]["message"];
    EXPECT_EQ(whole["choices"][0]["finish_reason"], "tool_calls");
    EXPECT_TRUE(message["content"].is_null());
    ASSERT_EQ(message["tool_calls"].size(), 1u) << whole.dump();
    const Json& call = message["tool_calls"][0]["function"];
    EXPECT_EQ(call["name"], "get_weather");
    const auto arguments = parse_untrusted(call["arguments"].get<std::string>(), "arguments");
    ASSERT_TRUE(arguments.ok());
    EXPECT_TRUE((*arguments)["city"] == "Paris" || (*arguments)["city"] == "Rome");
    Json streamed = message_of(ask_stream("/v1/chat/completions", body));
    EXPECT_EQ(streamed["finish_reason"], "tool_calls");
    EXPECT_EQ(streamed["tool_calls"][0]["function"], call);
  }
  body["tool_choice"] = {{"type", "function"}, {"function", {{"name", "other"}}}};
  EXPECT_EQ(client().post("/v1/chat/completions", body.dump()).status, 400);
}

TEST_F(ServerTest, OneCallWhereSeveralAreNotWanted) {
  const auto model = Model::load((root_ / "m").string(), {});
  ASSERT_TRUE(model.ok()) << model.error().message;
  const auto chat = nibble::Chat::of(*model);
  ASSERT_TRUE(chat.ok());
  ChatRequest request;
  request.tools = R"([{"type": "function", "function": {"name": "f"}}])";
  for (const bool parallel : {false, true}) {
    request.parallel_tool_calls = parallel;
    const auto reader = (*chat)->answer_reader(request, "call_");
    ASSERT_TRUE(reader.ok()) << reader.error().message;
    int calls = 0;
    for (int i = 0; i < 3; ++i)
      for (const AnswerPiece& piece : (*reader)->feed("<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>\n"))
        calls += piece.kind == AnswerPiece::Kind::kCallBegin ? 1 : 0;
    EXPECT_EQ(calls, parallel ? 3 : 1);
  }
}

/// What OpenAI's client writes back into a conversation, and what a template refuses.
TEST_F(ServerTest, MessagesAsClientsWriteThem) {
  std::ofstream(root_ / "m/chat_template.jinja")
      << "{% for m in messages %}{% if m.role not in ['system', 'user', 'assistant'] or 'tool_calls' in m %}"
         "{{ raise_exception('not for a ' ~ m.role) }}{% endif %}{{ m.role }}: {{ m.content }} {% endfor %}";
  serve();
  Json body = conversation(2);
  body["messages"] = parse_untrusted(R"([{"role": "developer", "content": "short"}, {"role": "user", "content": "x"},
    {"role": "assistant", "content": "y", "refusal": null, "function_call": null, "tool_calls": null},
    {"role": "user", "content": "z"}])",
                                     "test")
                         .value();
  const Json asked = {{"prompt", "system: short user: x assistant: y user: z "}, {"max_tokens", 2}, {"seed", 7}};
  EXPECT_EQ(ask("/v1/chat/completions", body)["choices"][0]["message"]["content"],
            ask("/v1/completions", asked)["choices"][0]["text"]);
  body["messages"][1]["role"] = "tool";
  const HttpAnswer refused = client().post("/v1/chat/completions", body.dump());
  EXPECT_EQ(refused.status, 400);
  EXPECT_THAT(refused.body, HasSubstr("not for a tool"));
  EXPECT_EQ(refused.body.find(root_.string()), std::string::npos) << refused.body;
}

TEST_F(ServerTest, Embeddings) {
  serve();
  const Json floats = ask("/v1/embeddings", {{"input", {"Hello", "world"}}});
  ASSERT_EQ(floats["data"].size(), 2u);
  const auto vector = floats["data"][1]["embedding"].get<std::vector<float>>();
  double norm = 0;
  for (const float v : vector) norm += static_cast<double>(v) * v;
  EXPECT_NEAR(std::sqrt(norm), 1, 1e-5);
  const Json packed = ask("/v1/embeddings", {{"input", "world"}, {"encoding_format", "base64"}});
  EXPECT_EQ(packed["data"][0]["embedding"].get<std::string>().size(), (vector.size() * 4 + 2) / 3 * 4);
  EXPECT_EQ(packed["usage"]["prompt_tokens"], 5);
}

TEST_F(ServerTest, KeysHostsAndOrigins) {
  serve({"--api-key", "secret", "--cors-origin", "https://app.example"});
  EXPECT_EQ(client().get("/v1/models").status, 401);
  EXPECT_EQ(client().get("/v1/models", "Authorization: Bearer wrong\r\n").status, 401);
  EXPECT_EQ(client().get("/v1/models", "Authorization: Bearer secret\r\n").status, 200);
  EXPECT_EQ(client().get("/v1/models", "Authorization: Bearer secret\r\nOrigin: https://evil.example\r\n").status, 403);
  EXPECT_THAT(client().get("/v1/models", "Authorization: Bearer secret\r\nOrigin: https://app.example\r\n").head,
              HasSubstr("Access-Control-Allow-Origin: https://app.example\r\n"));
  EXPECT_THAT(client().get("/v1/completions", "Authorization: Bearer secret\r\n").head,
              HasSubstr("\r\nAllow: POST\r\n"));
  stop();
  serve();
  EXPECT_EQ(client().exchange("GET /v1/models HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").status,
            403);
  EXPECT_EQ(client().exchange("GET /v1/models HTTP/1.1\r\nConnection: close\r\n\r\n").status, 400);
}

TEST_F(ServerTest, EndsAfterWhatIsUnderWay) {
  serve();
  HttpAnswer answer;
  Json body = conversation(1500);
  body["stream"] = true;
  body["ignore_eos"] = true;
  std::thread asking([&] { answer = client().post("/v1/chat/completions", body.dump()); });
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const Finished finished = stop();
  asking.join();
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.whole);
  EXPECT_EQ(answer.events().back(), "[DONE]");
  EXPECT_THAT(finished.err, HasSubstr("\"path\":\"/v1/chat/completions\""));
  EXPECT_EQ(finished.err.find("Hello"), std::string::npos) << "prompts are not logged";
}

TEST_F(ServerTest, FlagsAndEnvironment) {
  const std::string model = (root_ / "m").string();
  Finished f = run_nibble({"serve", model, "--host", "0.0.0.0"});
  EXPECT_EQ(f.status, 2);
  EXPECT_THAT(f.err, HasSubstr("--api-key"));
  f = run_nibble({"serve", model, "--host", "nonsense", "--api-key", "x"});
  EXPECT_EQ(f.status, 2);
  f = run_nibble({"serve"});
  EXPECT_EQ(f.status, 2);
  EXPECT_THAT(f.err, HasSubstr("MODEL"));
  f = run_nibble({"serve", (root_ / "none").string(), "--port", "0"});
  EXPECT_EQ(f.status, 1);
  EXPECT_THAT(f.err, HasSubstr("none"));
  f = run_nibble({"serve", model, model});
  EXPECT_EQ(f.status, 2);
  EXPECT_THAT(f.err, HasSubstr("--alias"));
  f = run_nibble({"serve", model, "--alias", "a", "--alias", "b"});
  EXPECT_EQ(f.status, 2);
  EXPECT_THAT(f.err, HasSubstr("2 names for 1 models"));
  f = run_nibble({"serve", model}, [] { setenv("LLAMA_ARG_PORT", "70000", 1); });
  EXPECT_EQ(f.status, 2);
  EXPECT_THAT(f.err, HasSubstr("LLAMA_ARG_PORT"));
  serve();
  f = run_nibble({"serve", model, "--port", std::to_string(port_)});
  EXPECT_EQ(f.status, 1);
  EXPECT_THAT(f.err, HasSubstr("--port takes another"));
}

}  // namespace
}  // namespace nibble
