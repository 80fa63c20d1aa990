// The C interface: the same results as the C++ one, statuses and messages, structs of other versions, and the example.
#include "nibble/nibble.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "chat_model_test.h"
#include "nibble/evaluate.h"
#include "nibble/model.h"
#include "nibble_process.h"

namespace nibble {
namespace {

constexpr int kContext = 600;

class CInterfaceTest : public ChatModelTest {
 protected:
  void TearDown() override {
    nibble_model_free(model_);
    ChatModelTest::TearDown();
  }

  nibble_model* load() {
    nibble_load_options options;
    nibble_load_options_init(&options, sizeof(options));
    options.threads = 2;
    options.context = kContext;
    EXPECT_EQ(nibble_model_load(at("m").c_str(), &options, &model_), NIBBLE_OK) << nibble_last_error();
    return model_;
  }

  std::vector<std::int32_t> tokens_of(std::string_view text) {
    std::int32_t* ids = nullptr;
    std::size_t count = 0;
    EXPECT_EQ(nibble_tokenize(model_, text.data(), text.size(), 1, 0, &ids, &count), NIBBLE_OK);
    std::vector<std::int32_t> out(ids, ids + count);
    nibble_free(ids);
    return out;
  }

  static nibble_generate_options greedy(std::int64_t tokens) {
    nibble_generate_options options;
    nibble_generate_options_init(&options, sizeof(options));
    options.temperature = 0;
    options.max_tokens = tokens;
    options.ignore_eos = 1;
    return options;
  }

  nibble_model* model_ = nullptr;
};

int append(void* user, const char* text, size_t length) {
  static_cast<std::string*>(user)->append(text, length);
  return 0;
}

TEST_F(CInterfaceTest, TextIsThatOfASession) {
  load();
  EXPECT_STREQ(nibble_model_architecture(model_), "llama");
  EXPECT_EQ(nibble_model_context(model_), kContext);
  EXPECT_EQ(nibble_model_vocab_size(model_), 96);
  EXPECT_EQ(nibble_model_has_chat_template(model_), 1);
  const std::vector<std::int32_t> prompt = tokens_of("Hello");
  const nibble_generate_options options = greedy(20);
  std::string text;
  nibble_report report{};
  report.size = sizeof(report);
  ASSERT_EQ(nibble_generate(model_, prompt.data(), prompt.size(), &options, append, &text, &report), NIBBLE_OK);
  EXPECT_EQ(report.reason, NIBBLE_STOP_MAX_TOKENS);
  EXPECT_EQ(report.generated_tokens, 20);

  LoadOptions load;
  load.context = kContext;
  const auto model = Model::load(at("m"), load).value();
  GenerateOptions same;
  same.max_tokens = 20;
  same.ignore_eos = true;
  same.sampling.temperature = 0;
  std::string alone;
  ASSERT_TRUE(model->new_session()
                  ->generate(prompt, same,
                             [&](std::string_view piece) {
                               alone += piece;
                               return true;
                             })
                  .ok());
  EXPECT_EQ(text, alone);
}

TEST_F(CInterfaceTest, StreamsGiveTokensAndAReport) {
  load();
  const std::vector<std::int32_t> prompt = tokens_of("Hello");
  nibble_generate_options options = greedy(8);
  options.logprobs = 2;
  nibble_stream* stream = nullptr;
  ASSERT_EQ(nibble_stream_start(model_, prompt.data(), prompt.size(), &options, &stream), NIBBLE_OK);
  nibble_report report{};
  report.size = sizeof(report);
  nibble_event event{};
  event.size = sizeof(event);
  std::size_t tokens = 0;
  while (event.done == 0) {
    ASSERT_EQ(nibble_stream_next(stream, -1, &event), NIBBLE_OK);
    for (std::size_t i = 0; i < event.token_count; ++i, ++tokens) {
      ASSERT_EQ(event.tokens[i].top_count, 2u);
      EXPECT_EQ(event.tokens[i].top[0].id, event.tokens[i].id);
      EXPECT_LT(event.tokens[i].chosen.logprob, 0.0f);
    }
  }
  EXPECT_EQ(tokens, 8u);
  EXPECT_EQ(nibble_stream_next(stream, 0, &event), NIBBLE_OK);  // the end, again
  EXPECT_EQ(event.done, 1);
  EXPECT_EQ(event.length, 0u);
  EXPECT_EQ(nibble_stream_get_report(stream, &report), NIBBLE_OK);
  EXPECT_EQ(report.generated_tokens, 8);
  nibble_stream_free(stream);
}

TEST_F(CInterfaceTest, StreamsEndWhenFreedAndOutliveTheModel) {
  load();
  const std::vector<std::int32_t> prompt = tokens_of("Hello");
  const nibble_generate_options options = greedy(0);
  nibble_stream* dropped = nullptr;
  ASSERT_EQ(nibble_stream_start(model_, prompt.data(), prompt.size(), &options, &dropped), NIBBLE_OK);
  nibble_stream_free(dropped);
  nibble_model_stats stats{};
  stats.size = sizeof(stats);
  for (int i = 0; i < 1000 && stats.cancelled == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    ASSERT_EQ(nibble_model_get_stats(model_, &stats), NIBBLE_OK);
  }
  EXPECT_EQ(stats.cancelled, 1);
  EXPECT_EQ(stats.running, 0);

  nibble_stream* stream = nullptr;
  const nibble_generate_options some = greedy(30);
  ASSERT_EQ(nibble_stream_start(model_, prompt.data(), prompt.size(), &some, &stream), NIBBLE_OK);
  nibble_model_free(std::exchange(model_, nullptr));
  nibble_event event{};
  event.size = sizeof(event);
  while (event.done == 0) ASSERT_EQ(nibble_stream_next(stream, -1, &event), NIBBLE_OK);
  nibble_stream_free(stream);
}

TEST_F(CInterfaceTest, CallbacksStop) {
  load();
  const std::vector<std::int32_t> prompt = tokens_of("Hello");
  const nibble_generate_options options = greedy(0);
  nibble_report report{};
  report.size = sizeof(report);
  const auto stop = [](void*, const char*, size_t length) -> int { return length > 0; };
  ASSERT_EQ(nibble_generate(model_, prompt.data(), prompt.size(), &options, stop, nullptr, &report), NIBBLE_OK);
  EXPECT_EQ(report.reason, NIBBLE_STOP_CANCELLED);

  nibble_quantize_options quantize;
  nibble_quantize_options_init(&quantize, sizeof(quantize));
  quantize.scheme = "int4-g32-sym";
  quantize.progress = [](void*, const char*, uint64_t, uint64_t, const char*) -> int { return 1; };
  EXPECT_EQ(nibble_quantize(at("m").c_str(), at("q").c_str(), &quantize, nullptr), NIBBLE_CANCELLED);
  EXPECT_EQ(names(), (std::vector<std::string>{"m", "text"}));
}

/// What a progress function is told, and where; stops after so many calls that only say again what was said.
struct Watcher {
  std::thread::id thread = std::this_thread::get_id();
  bool on_other_thread = false;
  int again_until = 1 << 30;
  int again = 0;
  std::uint64_t last_done = ~std::uint64_t{0};
  static int look(void* user, const char*, uint64_t done, uint64_t, const char*) {
    auto& w = *static_cast<Watcher*>(user);
    if (std::this_thread::get_id() != w.thread) w.on_other_thread = true;
    if (done == w.last_done) ++w.again;
    w.last_done = done;
    return w.again >= w.again_until;
  }
};

TEST_F(CInterfaceTest, ProgressComesOnTheCallersThreadAndWithinWindows) {
  write_large_model(root_ / "large");
  nibble_quantize_options quantize;
  nibble_quantize_options_init(&quantize, sizeof(quantize));
  quantize.scheme = "int4-g32-sym";
  quantize.threads = 3;
  Watcher watcher;
  quantize.progress = Watcher::look;
  quantize.user = &watcher;
  ASSERT_EQ(nibble_quantize(at("large").c_str(), at("q").c_str(), &quantize, nullptr), NIBBLE_OK);
  EXPECT_FALSE(watcher.on_other_thread);

  load();
  nibble_evaluate_options options;
  nibble_evaluate_options_init(&options, sizeof(options));
  put("long", random_text(100000));
  const std::string file = at("long");
  options.text_file = file.c_str();
  options.context = kContext;
  Watcher impatient;
  impatient.again_until = 1;  // not at the end of a window, for there `done` has grown
  options.progress = Watcher::look;
  options.user = &impatient;
  char* json = nullptr;
  EXPECT_EQ(nibble_evaluate(model_, &options, &json), NIBBLE_CANCELLED) << nibble_last_error();
  EXPECT_EQ(json, nullptr);
  // The model is none the worse.
  const std::vector<std::int32_t> prompt = tokens_of("Hello");
  const nibble_generate_options some = greedy(3);
  EXPECT_EQ(nibble_generate(model_, prompt.data(), prompt.size(), &some, nullptr, nullptr, nullptr), NIBBLE_OK);
}

TEST_F(CInterfaceTest, FailuresHaveAStatusAndAMessage) {
  nibble_model* none = nullptr;
  EXPECT_EQ(nibble_model_load(at("absent").c_str(), nullptr, &none), NIBBLE_NOT_FOUND);
  EXPECT_NE(std::string(nibble_last_error()).find("absent"), std::string::npos);
  EXPECT_EQ(none, nullptr);
  EXPECT_EQ(nibble_model_load(nullptr, nullptr, &none), NIBBLE_INVALID_ARGUMENT);
  EXPECT_STREQ(nibble_status_name(NIBBLE_NOT_FOUND), "not_found");
  EXPECT_STREQ(nibble_status_name(77), "unknown");
  load();
  nibble_stream* stream = nullptr;
  const std::int32_t wrong[] = {1, 96};
  EXPECT_EQ(nibble_stream_start(model_, wrong, 2, nullptr, &stream), NIBBLE_INVALID_ARGUMENT);
  EXPECT_EQ(nibble_stream_start(model_, nullptr, 0, nullptr, &stream), NIBBLE_INVALID_ARGUMENT);
  nibble_generate_options options = greedy(1);
  options.temperature = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(nibble_stream_start(model_, wrong, 1, &options, &stream), NIBBLE_INVALID_ARGUMENT);
  EXPECT_NE(std::string(nibble_last_error()).find("temperature"), std::string::npos);
  std::int32_t* ids = nullptr;
  std::size_t count = 0;
  for (const char* const bad : {"[", "{}", "[]", "[1]", R"([{"role":"user"}])", R"([{"role":"user","content":1}])"}) {
    EXPECT_NE(nibble_chat_prompt(model_, bad, &ids, &count), NIBBLE_OK) << bad;
    EXPECT_EQ(ids, nullptr);
  }
  ASSERT_EQ(nibble_chat_prompt(model_, R"([{"role":"user","content":"abc"}])", &ids, &count), NIBBLE_OK);
  EXPECT_EQ(count, 3u);
  nibble_free(ids);
}

TEST_F(CInterfaceTest, StructsOfOtherVersions) {
  struct Newer {
    nibble_generate_options known;
    std::int64_t further;
  } newer{};
  nibble_generate_options_init(&newer.known, sizeof(newer));
  EXPECT_EQ(newer.known.size, sizeof(newer));
  EXPECT_EQ(newer.further, 0);
  load();
  const std::vector<std::int32_t> prompt = tokens_of("Hello");
  newer.known.max_tokens = 1;
  EXPECT_EQ(nibble_generate(model_, prompt.data(), prompt.size(), &newer.known, nullptr, nullptr, nullptr), NIBBLE_OK);
  newer.further = 1;
  EXPECT_EQ(nibble_generate(model_, prompt.data(), prompt.size(), &newer.known, nullptr, nullptr, nullptr),
            NIBBLE_UNSUPPORTED);

  nibble_generate_options older{};  // ends before temperature: the rest has its defaults, and is not touched
  older.temperature = -7;
  nibble_generate_options_init(&older, offsetof(nibble_generate_options, temperature));
  EXPECT_EQ(older.temperature, -7);
  older.max_tokens = 2;
  older.repetition_penalty = -1;
  EXPECT_EQ(nibble_generate(model_, prompt.data(), prompt.size(), &older, nullptr, nullptr, nullptr), NIBBLE_OK)
      << nibble_last_error();
  older.size = 0;
  EXPECT_EQ(nibble_generate(model_, prompt.data(), prompt.size(), &older, nullptr, nullptr, nullptr),
            NIBBLE_INVALID_ARGUMENT);
}

TEST_F(CInterfaceTest, EmbeddingsOfManyTexts) {
  load();
  std::vector<std::int32_t> ids;
  std::vector<std::size_t> lengths;
  for (int i = 0; i < 100; ++i) {
    const auto one = tokens_of(std::to_string(i % 50) + " tokens");
    ids.insert(ids.end(), one.begin(), one.end());
    lengths.push_back(one.size());
  }
  float* values = nullptr;
  std::size_t width = 0;
  ASSERT_EQ(nibble_embed(model_, ids.data(), lengths.data(), lengths.size(), 1, nullptr, nullptr, &values, &width),
            NIBBLE_OK)
      << nibble_last_error();
  for (std::size_t i = 0; i < 50; ++i) {
    double square = 0;
    for (std::size_t w = 0; w < width; ++w) {
      square += values[i * width + w] * values[i * width + w];
      EXPECT_EQ(values[i * width + w], values[(i + 50) * width + w]);
    }
    EXPECT_NEAR(square, 1.0, 1e-5);
  }
  nibble_free(values);
}

TEST_F(CInterfaceTest, PerplexityIsThatOfTheFile) {
  load();
  nibble_evaluate_options options;
  nibble_evaluate_options_init(&options, sizeof(options));
  const std::string file = at("text");
  options.text_file = file.c_str();
  options.context = 128;
  char* loaded = nullptr;
  ASSERT_EQ(nibble_evaluate(model_, &options, &loaded), NIBBLE_OK) << nibble_last_error();
  EvaluateOptions evaluate;
  evaluate.text_file = file;
  evaluate.context = 128;
  const Evaluation is = nibble::evaluate(at("m"), "", evaluate).value();
  const auto json = parse_untrusted(loaded, "evaluation").value();
  EXPECT_EQ(json["ppl"].get<double>(), is.perplexity);
  nibble_free(loaded);
  options.context = kContext + 1;
  EXPECT_EQ(nibble_evaluate(model_, &options, &loaded), NIBBLE_INVALID_ARGUMENT);
}

TEST_F(CInterfaceTest, ABaselineKeepsItsKeysAndValuesInFloats) {
  nibble_load_options load;
  nibble_load_options_init(&load, sizeof(load));
  load.kv_bits = 4;
  nibble_evaluate_options options;
  nibble_evaluate_options_init(&options, sizeof(options));
  std::string words;
  for (int i = 0; i < 300; ++i) words += contents("text").substr(static_cast<std::size_t>(i) % 5) + " ";
  put("long", words);
  const std::string file = at("long");
  options.text_file = file.c_str();
  options.context = 200;
  options.chunks = 1;
  char* json = nullptr;
  ASSERT_EQ(nibble_evaluate_files(at("m").c_str(), at("m").c_str(), &options, &load, &json), NIBBLE_OK)
      << nibble_last_error();
  EXPECT_GT(parse_untrusted(json, "evaluation").value()["kld_mean"].get<double>(), 0.0);
  nibble_free(json);
}

TEST_F(CInterfaceTest, ModelsAreCopiedWhole) {
  ASSERT_EQ(nibble_copy_model(at("m").c_str(), at("copy").c_str(), nullptr, nullptr), NIBBLE_OK) << nibble_last_error();
  EXPECT_EQ(contents("copy/model.safetensors"), contents("m/model.safetensors"));
  EXPECT_EQ(listing(root_ / "copy"), listing(root_ / "m"));
  EXPECT_EQ(nibble_copy_model(at("m").c_str(), at("m").c_str(), nullptr, nullptr), NIBBLE_INVALID_ARGUMENT);
  EXPECT_EQ(nibble_copy_model(at("absent").c_str(), at("b").c_str(), nullptr, nullptr), NIBBLE_NOT_FOUND);
  put("own/diary", "mine");
  EXPECT_EQ(nibble_copy_model(at("m").c_str(), at("own").c_str(), nullptr, nullptr), NIBBLE_INVALID_ARGUMENT);
  put("x-00001-of-00002.gguf", "");
  EXPECT_EQ(nibble_copy_model(at("x-00001-of-00002.gguf").c_str(), at("y.gguf").c_str(), nullptr, nullptr),
            NIBBLE_UNSUPPORTED);
}

TEST_F(CInterfaceTest, TheExampleRuns) {
  const std::string command = std::string(NIBBLE_C_EXAMPLE) + " " + at("m") + " int4-g32-sym " + at("q") +
                              " 'Why is the sky blue?' 12 2>" + at("err");
  FILE* const pipe = popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  char buffer[4096];
  const std::size_t size = fread(buffer, 1, sizeof(buffer), pipe);
  EXPECT_EQ(pclose(pipe), 0) << contents("err");
  const Finished same =
      run_nibble({"run", at("q"), "--raw", "-p", "Why is the sky blue?", "-n", "12", "--temp", "0", "-c", "512"});
  EXPECT_EQ(std::string(buffer, size) + "\n", same.out);
}

}  // namespace
}  // namespace nibble
