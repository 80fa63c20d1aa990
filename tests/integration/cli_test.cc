// What the program says and returns when it is used wrongly, and where its output goes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <map>
#include <set>

#include "io/container_test_support.h"
#include "nibble_process.h"
#include "small_models.h"

namespace nibble {
namespace {

using testing::HasSubstr;

/// A folder with a model that can chat (m) and what is no model.
class CommandLine : public FolderTest {
 protected:
  void SetUp() override {
    FolderTest::SetUp();
    write_chat_model(root_ / "m");
    put("empty", "");
    put("text", "Hello there.");
    put("no_config/model.safetensors", contents("m/model.safetensors"));
    put("bert/config.json", R"({"model_type": "bert", "architectures": ["BertForMaskedLM"], "hidden_size": 32})");
    put("bert/model.safetensors", contents("m/model.safetensors"));
    put("vision/config.json", R"({"architectures": ["ViTForImageClassification"], "image_size": 224})");
    put("vision/model.safetensors", contents("m/model.safetensors"));
    put("config_only/config.json", "{}");
    put("empty.gguf", "");
    put("notes/thesis.tex", "x");
  }

  /// Runs it and expects a status, words in the message, nothing on stdout, and no output or litter.
  void expect_error(const std::vector<std::string>& args, int status, const std::vector<std::string>& words) const {
    const std::vector<std::string> before = listing(root_);
    const Finished finished = run_nibble(args);
    std::string command = "nibble";
    for (const std::string& arg : args) command += " " + arg;
    EXPECT_EQ(finished.status, status) << command << "\n" << finished.err;
    EXPECT_EQ(finished.out, "") << command;
    EXPECT_TRUE(finished.err.starts_with("nibble: ") || finished.err.find("\nnibble: ") != std::string::npos)
        << command << "\n"
        << finished.err;
    for (const std::string& word : words) EXPECT_THAT(finished.err, HasSubstr(word)) << command;
    EXPECT_THAT(finished.err, testing::Not(HasSubstr("defect"))) << command;
    EXPECT_EQ(listing(root_), before) << command;
  }
};

TEST_F(CommandLine, WrongFlagsAreUsageErrorsThatNameThem) {
  expect_error({}, 2, {"subcommand", "nibble --help"});
  expect_error({"quantise"}, 2, {"quantise", "quantize"});
  expect_error({"run"}, 2, {"MODEL", "nibble run --help"});
  expect_error({"run", at("m"), "--frobnicate"}, 2, {"--frobnicate", "nibble run --help"});
  expect_error({"run", at("m"), "-p", "x", "-t", "-1"}, 2, {"--threads", "-1"});
  expect_error({"run", at("m"), "-p", "x", "-n", "-5"}, 2, {"--predict", "-5"});
  expect_error({"run", at("m"), "-p", "x", "-n", "many"}, 2, {"--predict", "many"});
  expect_error({"run", at("m"), "-p", "x", "-c", "99999999999"}, 2, {"--ctx"});
  expect_error({"run", at("m"), "-p", "x", "--top-p", "2"}, 2, {"--top-p"});
  expect_error({"eval", at("m"), "--text", at("text"), "--ctx", "1"}, 2, {"--ctx", "1"});
  expect_error({"eval", at("m"), "--text", at("text"), "--chunks", "0"}, 2, {"--chunks", "0"});
  expect_error({"eval", at("m")}, 2, {"--text"});
  expect_error({"bench", at("m"), "-r", "0"}, 2, {"--repetitions"});
  expect_error({"bench"}, 2, {"MODEL", "--shape"});
  expect_error({"bench", at("m"), "--engine", "--profile"}, 2, {"--profile", "--engine"});
  expect_error({"bench", "--shape", "llama-tiny", "--memory", "1G"}, 2, {"--shape", "--memory"});
  expect_error({"run", at("m"), "-p", "x", "--raw", "--system", "y"}, 2, {"--system", "--raw"});
  expect_error({"bench", "--shape", "llama-9t"}, 2, {"llama-9t", "llama-1.1b"});
  expect_error({"tokenize", at("m")}, 2, {"--text", "--file"});
  expect_error({"completion", "tcsh"}, 2, {"tcsh", "bash"});
}

TEST_F(CommandLine, ManualAndCompletionsKnowAllCommands) {
  const std::string manual = run_nibble({"manual"}).out;
  EXPECT_EQ(manual.rfind(".TH NIBBLE 1 ", 0), 0u);
  const std::string help = run_nibble({"--help"}).out;
  for (const char* command : {"run", "serve", "quantize", "convert", "eval", "bench", "inspect", "pull", "info"}) {
    EXPECT_NE(manual.find(std::string("\n.SS nibble ") + command + "\n"), std::string::npos) << command;
    EXPECT_NE(help.find(command), std::string::npos) << command;
    for (const char* shell : {"bash", "zsh", "fish"})
      EXPECT_NE(run_nibble({"completion", shell}).out.find(command), std::string::npos) << command << " " << shell;
  }
  EXPECT_NE(manual.find("\n.B \\-c, \\-\\-ctx, \\-\\-ctx\\-size"), std::string::npos);
  // Every quote of the fish script is closed on its line.
  std::istringstream fish(run_nibble({"completion", "fish"}).out);
  for (std::string line; std::getline(fish, line);) {
    bool open = false;
    for (std::size_t i = 0; i < line.size(); ++i) {
      if (line[i] == '\\')
        ++i;
      else if (line[i] == '\'')
        open = !open;
    }
    EXPECT_FALSE(open) << line;
  }
}

TEST_F(CommandLine, UnknownNamesAreErrorsThatListTheKnown) {
  const std::string out = at("out");
  expect_error({"quantize", at("m"), "-o", out, "--scheme", "int9-g32"}, 2, {"int9-g32", "int4"});
  expect_error({"quantize", at("m"), "-o", out, "--scheme", "int4-g32-sym", "--method", "magic"}, 2, {"magic", "rtn"});
  expect_error({"quantize", at("m"), "-o", out, "--scheme", "int4-g32-sym", "--to", "zip"}, 2, {"zip", "gguf"});
  expect_error({"quantize", at("m"), "-o", out}, 2, {"--scheme", "--target-bpw", "--target-size"});
  expect_error({"quantize", at("m"), "-o", out, "--scheme", "int4-g32-sym", "--target-bpw", "4"}, 2,
               {"--scheme", "--target-bpw"});
  expect_error({"quantize", at("m"), "-o", out, "--target-size", "large"}, 2, {"large"});
  expect_error({"quantize", at("m"), "-o", out, "--target-bpw", "-3"}, 2, {"-3"});
  expect_error({"quantize", at("m"), "-o", out, "--target-bpw", "4", "--candidates", "int4-g32,q9"}, 2, {"q9", "int4"});
  expect_error({"quantize", at("m"), "-o", out, "--target-bpw", "4", "--imatrix", at("text")}, 2, {"--imatrix"});
  expect_error({"quantize", at("m"), "-o", out, "--scheme", "int4-g32-sym", "--range", "wide"}, 2, {"wide", "mse"});
  expect_error({"convert", at("m"), "-o", out, "--to", "hf:f64"}, 2, {"hf:f64", "hf:bf16"});
  expect_error({"convert", at("m"), "-o", out, "--to", "gguf:q9"}, 2, {"q9", "q4_0"});
  expect_error({"convert", at("m"), "-o", out}, 2, {"--to", "gguf"});
  expect_error({"run", at("m"), "-p", "x", "--scheme", "q4"}, 2, {"q4"});
}

TEST_F(CommandLine, WhatIsNoModelIsSaidToBeNone) {
  for (const char* command : {"run", "eval", "inspect", "bench", "tokenize"}) {
    std::vector<std::string> rest;
    if (std::string(command) == "run") rest = {"-p", "x"};
    if (std::string(command) == "eval") rest = {"--text", at("text")};
    if (std::string(command) == "tokenize") rest = {"--text", "x"};
    const auto with = [&](const std::string& model) {
      std::vector<std::string> args{command, at(model)};
      args.insert(args.end(), rest.begin(), rest.end());
      return args;
    };
    expect_error(with("nowhere"), 1, {at("nowhere"), "does not exist"});
    expect_error(with("empty"), 1, {at("empty")});
    expect_error(with("empty.gguf"), 1, {at("empty.gguf")});
    expect_error(with("notes"), 1, {at("notes"), "config.json"});
    expect_error(with("config_only"), 1, {at("config_only"), "safetensors"});
  }
  for (const char* command : {"run", "bench"}) {
    expect_error({command, at("no_config"), "-p", "3"}, 1, {at("no_config"), "config.json"});
    expect_error({command, at("bert"), "-p", "3"}, 1, {"config.json", "bert", "not a language model", "llama"});
    expect_error({command, at("vision"), "-p", "3"}, 1, {"config.json", "ViTForImageClassification", "llama"});
  }
  expect_error({"quantize", at("bert"), "-o", at("out"), "--scheme", "int4-g16-sym"}, 1, {"bert"});
}

TEST_F(CommandLine, UnreadableFilesAreErrors) {
  if (geteuid() == 0) GTEST_SKIP() << "root reads everything";
  chmod(at("m/model.safetensors").c_str(), 0);
  expect_error({"run", at("m"), "-p", "x"}, 1, {at("m/model.safetensors"), "Permission denied"});
}

TEST_F(CommandLine, TextsAreHeldToTheirUse) {
  expect_error({"eval", at("m"), "--text", at("text")}, 2, {at("text"), "less than one window of 512", "--ctx"});
  expect_error({"eval", at("m"), "--text", at("nowhere")}, 1, {at("nowhere")});
  expect_error({"eval", at("m"), "--text", at("empty"), "--ctx", "8"}, 2, {at("empty"), "0 tokens"});
  put("ids", "1 2 3 x");
  expect_error({"eval", at("m"), "--tokens", at("ids"), "--ctx", "2"}, 1, {at("ids"), "not a number"});
  put("ids", "1 2 3 400");
  expect_error({"eval", at("m"), "--tokens", at("ids"), "--ctx", "2"}, 2, {"400", "vocabulary"});
  expect_error({"eval", at("m"), "--text", at("text"), "--ctx", "16777216"}, 2, {"--ctx"});
  put("ids", "1 2 3 4 5");
  expect_error({"eval", at("m"), "--tokens", at("ids"), "--ctx", "8"}, 2, {"5 tokens", "8"});
  expect_error({"tokenize", at("m"), "--file", at("nowhere")}, 1, {at("nowhere")});
}

TEST_F(CommandLine, OutputsThatCannotBeAreRefused) {
  const auto quantize = [&](const std::string& out) {
    return std::vector<std::string>{"quantize", at("m"), "-o", out, "--scheme", "int4-g16-sym"};
  };
  expect_error(quantize(at("missing/out")), 1, {at("missing"), "does not exist"});
  expect_error(quantize(at("m")), 2, {at("m"), "replace the model"});
  expect_error(quantize(at("m/")), 2, {"replace the model"});
  expect_error(quantize(at("notes")), 2, {at("notes"), "thesis.tex"});
  expect_error(quantize(at("text")), 2, {at("text"), "not a folder"});
  expect_error({"convert", at("m"), "-o", at("m"), "--to", "gguf:f32"}, 2, {at("m")});
  expect_error({"quantize", at("m"), "-o", "", "--scheme", "int4-g16-sym"}, 2, {"output"});
  if (geteuid() != 0) {
    std::filesystem::create_directory(root_ / "locked");
    chmod(at("locked").c_str(), 0555);
    expect_error(quantize(at("locked/out")), 1, {at("locked/out"), "Permission denied"});
  }
  expect_error(quantize("/proc/out"), 1, {"/proc/out"});  // where even root may not write
}

TEST_F(CommandLine, AQuantizedModelIsNotQuantizedOnLoad) {
  ASSERT_EQ(run_nibble({"quantize", at("m"), "-o", at("q"), "--scheme", "int4-g16-sym"}).status, 0);
  expect_error({"run", at("q"), "-p", "x", "--scheme", "int8-g16-sym"}, 2, {"already int4", "--scheme"});
  // The same output again replaces the first.
  EXPECT_EQ(run_nibble({"quantize", at("m"), "-o", at("q"), "--scheme", "int8-g16-sym"}).status, 0);
  EXPECT_THAT(contents("q/config.json"), HasSubstr("\"num_bits\": 8"));
}

TEST_F(CommandLine, JsonIsAloneOnStandardOutput) {
  const std::string text = at("text");
  for (const std::vector<std::string>& args :
       {std::vector<std::string>{"inspect", at("m")},
        {"tokenize", at("m"), "--text", "Hello"},
        {"tokenize", at("m"), "--file", text, "--lines"},
        {"eval", at("m"), "--text", text, "--ctx", "8", "--baseline", at("m")},
        {"quantize", at("m"), "-o", at("q"), "--scheme", "int4-g16-sym", "--tensors"},
        {"convert", at("m"), "-o", at("m.gguf"), "--to", "gguf:f32"},
        {"info"}}) {
    std::vector<std::string> with_json = args;
    with_json.emplace_back("--json");
    const Finished finished = run_nibble(with_json);
    EXPECT_EQ(finished.status, 0) << args[0] << finished.err;
    const auto json = parse_untrusted(finished.out, args[0]);
    EXPECT_TRUE(json.ok()) << finished.out;
  }
}

TEST_F(CommandLine, EvaluatesAndAnswers) {
  const Finished eval = run_nibble({"eval", at("m"), "--text", at("text"), "--ctx", "8", "-t", "0"});
  EXPECT_EQ(eval.status, 0) << eval.err;
  EXPECT_THAT(eval.out, HasSubstr("perplexity"));
  std::string words;
  for (int i = 0; i < 300; ++i) words += contents("text").substr(static_cast<std::size_t>(i) % 5) + " ";
  put("long", words);
  const Finished packed = run_nibble({"eval", at("m"), "--text", at("long"), "--ctx", "200", "--chunks", "1",
                                      "--baseline", at("m"), "--kv-cache", "int4", "--json"});
  ASSERT_EQ(packed.status, 0) << packed.err;
  const double kld = parse_untrusted(packed.out, "eval")->at("kld_mean").get<double>();
  EXPECT_GT(kld, 0.0) << "the baseline keeps floats";
  EXPECT_LT(kld, 0.1);
  expect_error({"run", at("m"), "-p", "x", "--kv-cache", "int3"}, 2, {"--kv-cache", "int3"});
  const Finished answer = run_nibble({"run", at("m"), "-p", "Hello", "-n", "5", "--ignore-eos"});
  EXPECT_EQ(answer.status, 0) << answer.err;
  EXPECT_FALSE(answer.out.empty());
  const Finished stop_first = run_nibble({"run", "--stop", "never", at("m"), "-p", "Hello", "-n", "5", "--ignore-eos"});
  EXPECT_EQ(stop_first.status, 0) << stop_first.err;
  put("ids", "5 6 7 8 9 10 11 12\n13 14 15 16 17 18 19 20\n");
  EXPECT_THAT(run_nibble({"eval", at("m"), "--tokens", at("ids"), "--ctx", "4"}).err, HasSubstr("--ctx 8"));
  EXPECT_EQ(run_nibble({"eval", at("m"), "--tokens", at("ids"), "--ctx", "8"}).err, "");
}

TEST_F(CommandLine, APromptBeyondTheContextIsRefusedAtOnce) {
  std::string words;
  for (int i = 0; i < 700; ++i) words += "word ";
  const Finished refused = run_nibble({"run", at("m"), "--raw", "-p", words, "-c", "600"});
  EXPECT_EQ(refused.status, 2);
  EXPECT_THAT(refused.err, HasSubstr("a prompt of 3"));  // a token for each letter
  EXPECT_THAT(refused.err, HasSubstr("the context of 600"));
}

TEST_F(CommandLine, BenchSaysWhereTheTimeGoes) {
  const std::vector<std::string> args{"bench", "--shape", "llama-tiny", "-p",        "32", "-n",        "4",  "-d",
                                      "70",    "-r",      "2",          "--streams", "3",  "--profile", "-t", "2"};
  std::vector<std::string> with_json = args;
  with_json.emplace_back("--json");
  const Finished finished = run_nibble(with_json);
  ASSERT_EQ(finished.status, 0) << finished.err;
  const Json json = parse_untrusted(finished.out, "bench").value();
  EXPECT_EQ(json["decode_tps_runs"].size(), 2u);
  EXPECT_EQ(json["read_gb_per_s_by_threads"].size(), 2u);
  EXPECT_TRUE(json["int8"].get<bool>());
  std::map<std::string, std::set<int>> blocks;
  for (const Json& entry : json["profile"]) {
    blocks[entry["operation"].get<std::string>()].insert(entry["block"].get<int>());
    EXPECT_GE(entry["prompt_ms"].get<double>() + entry["decode_ms_per_token"].get<double>(), 0.0);
  }
  const std::set<int> both{0, 1};
  for (const char* operation : {"q_proj k_proj v_proj", "attention", "o_proj", "gate_proj up_proj", "gated_activation",
                                "down_proj", "rope", "add"})
    EXPECT_EQ(blocks[operation], both) << operation;
  EXPECT_EQ(blocks["rms_norm"], (std::set<int>{-1, 0, 1}));
  EXPECT_EQ(blocks["head"], std::set<int>{-1});
  EXPECT_EQ(blocks["other"], std::set<int>{-1});
  const Finished table = run_nibble(args);
  EXPECT_THAT(table.out, HasSubstr("gate_proj up_proj"));
  EXPECT_THAT(table.out, HasSubstr("after 70 positions, 3 streams at once"));
}

TEST_F(CommandLine, AReaderThatGoesAwayEndsItQuietly) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  close(ends[0]);
  const Finished finished =
      run_nibble({"tokenize", at("m"), "--text", std::string(100'000, 'a')}, [&] { dup2(ends[1], STDOUT_FILENO); });
  close(ends[1]);
  EXPECT_EQ(finished.status, 1);
  EXPECT_EQ(finished.err, "");
}

TEST_F(CommandLine, AFullStandardOutputIsAnError) {
  const Finished finished = run_nibble({"inspect", at("m"), "--json"}, [] {
    const int full = open("/dev/full", O_WRONLY);
    dup2(full, STDOUT_FILENO);
  });
  EXPECT_EQ(finished.status, 1);
  EXPECT_THAT(finished.err, HasSubstr("No space left"));
}

}  // namespace
}  // namespace nibble
