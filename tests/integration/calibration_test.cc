// Calibrated quantization through the public interface: families, any number of threads, odd texts.
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "chat_model_test.h"
#include "nibble/evaluate.h"
#include "nibble/quantize.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

class Calibration : public ChatModelTest {
 protected:
  void SetUp() override {
    ChatModelTest::SetUp();
    put("text", random_text(1500));
    put("empty", "");
    put("short", "Hello.");
    put("one", std::string(2000, 'a'));
    std::mt19937 random(4);
    std::string binary(2000, '\0');
    for (char& c : binary) c = static_cast<char>(random());
    put("binary", binary);
  }

  QuantizeOptions gptq(const std::string& text, const std::string& scheme = "int4-g16-sym") const {
    QuantizeOptions options;
    options.method = "gptq";
    options.scheme = scheme;
    options.to = "nibble";
    options.calibration.samples = 20;
    options.calibration.context = 32;
    if (!text.empty()) options.calibration.texts = {at(text)};
    options.threads = 1;
    options.report = ReportLevel::kOff;
    return options;
  }
  Result<ConversionReport> run(const QuantizeOptions& options, const std::string& out) const {
    return quantize(at("m"), at(out), options);
  }
  double divergence(const std::string& model) const {
    EvaluateOptions options;
    options.text_file = at("text");
    options.context = 32;
    options.model.threads = options.baseline.threads = 1;
    options.model.arithmetic = options.baseline.arithmetic = Arithmetic::kF32;
    const auto evaluation = evaluate(at(model), at("m"), options);
    EXPECT_TRUE(evaluation.ok()) << evaluation.error().message;
    return evaluation->comparison->kld_mean;
  }
};

TEST_F(Calibration, GptqIsNearerThanRounding) {
  for (const char* scheme : {"int4-g16-sym", "int3-g16-asym", "int2-g16-sym", "int3-channel-sym"}) {
    SCOPED_TRACE(scheme);
    QuantizeOptions options = gptq("text", scheme);
    const auto report = run(options, "gptq");
    ASSERT_TRUE(report.ok()) << report.error().message;
    int calibrated = 0;
    for (const TensorReport& tensor : report->tensors) {
      calibrated += tensor.output_error ? 1 : 0;
      EXPECT_LT(tensor.output_error.value_or(0), 0.5) << tensor.name;
    }
    EXPECT_EQ(calibrated, 14) << "two blocks of seven linears";
    options.method = "rtn";
    options.range = "mse";
    ASSERT_TRUE(run(options, "rtn").ok());
    EXPECT_LT(divergence("gptq"), 0.95 * divergence("rtn"));
    std::filesystem::remove_all(root_ / "gptq");
    std::filesystem::remove_all(root_ / "rtn");
  }
}

TEST_F(Calibration, FamiliesTakeIt) {
  const std::pair<const char*, const char*> cases[] = {{"compressed-tensors", "int4-g32-sym"},
                                                       {"compressed-tensors", "int4-g16-asym"},
                                                       {"nibble", "int5-g16-asym"},
                                                       {"nibble", "int8-channel-sym"}};
  for (const auto& [family, scheme] : cases) {
    QuantizeOptions options = gptq("text", scheme);
    options.to = family;
    const std::string out = "out";
    const auto report = run(options, out);
    ASSERT_TRUE(report.ok()) << family << ": " << report.error().message;
    EXPECT_LT(divergence(out), 0.4) << family << ", " << scheme;
    std::filesystem::remove_all(root_ / out);
  }
}

TEST_F(Calibration, ActOrderIsStoredWithItsGroups) {
  for (const char* family : {"nibble", "compressed-tensors"}) {
    for (const char* method : {"gptq", "best"}) {
      SCOPED_TRACE(std::string(family) + ", " + method);
      QuantizeOptions options = gptq("text");
      options.method = method;
      options.act_order = ActOrder::kFull;
      options.to = family;
      const auto report = run(options, "out");
      ASSERT_TRUE(report.ok()) << report.error().message;
      EXPECT_NE(
          contents("out/model.safetensors").find(family == std::string("nibble") ? "group_index" : "weight_g_idx"),
          std::string::npos);
      EXPECT_LT(divergence("out"), 0.4);
      std::filesystem::remove_all(root_ / "out");
    }
  }
  QuantizeOptions options = gptq("text");
  options.act_order = ActOrder::kStatic;
  ASSERT_TRUE(run(options, "static").ok());
  EXPECT_LT(divergence("static"), 0.4);
  options.method = "best";
  EXPECT_EQ(run(options, "none").error().code, ErrorCode::kInvalidArgument);
  options.method = "gptq";
  options.act_order = ActOrder::kFull;
  options.to = "awq";
  EXPECT_FALSE(run(options, "none").ok()) << "AWQ has no g_idx";
  options.to = "nibble";
  options.scheme = "int4-channel-sym";
  EXPECT_EQ(run(options, "none").error().code, ErrorCode::kUnsupported);
  options.scheme = "int4-g16-sym";
  options.method = "awq";
  EXPECT_EQ(run(options, "none").error().code, ErrorCode::kInvalidArgument);
}

/// Kept columns and products of low rank: nearer than the codes alone, converted with their values, refused elsewhere.
TEST_F(Calibration, WhatStandsBesideTheCodes) {
  for (const auto& [method, codes] : {std::pair("gptq", "int2-g16-sym"), std::pair("best", "int2-g16-asym"),
                                      std::pair("wnam", "codebook2-row-g16")}) {
    SCOPED_TRACE(method);
    QuantizeOptions options = gptq("text", codes);
    options.method = method;
    ASSERT_TRUE(run(options, "codes").ok());
    double before = divergence("codes");
    for (const char* supplement : {"-keep8:5%", "-keep16:5%-rank8"}) {
      options.scheme = std::string(codes) + supplement;
      const auto report = run(options, "beside");
      ASSERT_TRUE(report.ok()) << report.error().message;
      EXPECT_EQ(std::ranges::count(report->tensors, options.scheme, &TensorReport::scheme), 14);
      const double divergence_beside = divergence("beside");
      EXPECT_LT(divergence_beside, before) << supplement;
      before = divergence_beside;
      std::filesystem::remove_all(root_ / "last");
      std::filesystem::rename(root_ / "beside", root_ / "last");
    }
    ConvertOptions convert_to;
    convert_to.to = "hf:f32";
    ASSERT_TRUE(convert(at("last"), at("floats"), convert_to).ok());
    EXPECT_NEAR(divergence("floats"), before, 1e-5);
    convert_to.to = "gptq";
    const auto refused = convert(at("last"), at("none"), convert_to);
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message.find("low rank"), std::string::npos) << refused.error().message;
    for (const char* name : {"codes", "last", "floats"}) std::filesystem::remove_all(root_ / name);
  }
  QuantizeOptions options = gptq("text", "int4-g16-asym-rank4");
  options.quantize_head = true;
  ASSERT_TRUE(run(options, "head").ok());
  options.quantize_head = false;
  for (const char* method : {"rtn", "hqq", "awq", "autoround"}) {
    options.method = method;
    const auto report = run(options, "none");
    ASSERT_FALSE(report.ok()) << method;
    EXPECT_NE(report.error().message.find("gptq, best and wnam"), std::string::npos) << report.error().message;
  }
  options.method = "gptq";
  options.to = "compressed-tensors";
  EXPECT_FALSE(run(options, "none").ok());
}

/// llama.cpp's mixtures, and its fallback for rows that are not whole blocks of 256.
TEST_F(Calibration, MixturesOfGguf) {
  QuantizeOptions options = gptq("text", "q4_k_m");
  options.to = "gguf";
  for (const auto& [scheme, expected] :
       {std::pair("q4_k_m", std::set<std::string>{"q5_0", "q8_0", "f16"}), {"q3_k_s", {"q4_0", "q8_0", "f16"}}}) {
    SCOPED_TRACE(scheme);
    options.scheme = scheme;
    const auto report = run(options, "out.gguf");
    ASSERT_TRUE(report.ok()) << report.error().message;
    for (const TensorReport& tensor : report->tensors) {
      EXPECT_TRUE(expected.contains(tensor.scheme)) << tensor.name << ": " << tensor.scheme;
      EXPECT_LT(tensor.output_error.value_or(0), 0.05) << tensor.name;
    }
    EXPECT_GT(std::count_if(report->tensors.begin(), report->tensors.end(),
                            [](const TensorReport& tensor) { return tensor.output_error.has_value(); }),
              8);
    std::filesystem::remove_all(root_ / "out.gguf");
  }
  options.method = "awq";
  options.scheme = "q4_k_m";
  const auto refused = run(options, "none.gguf");
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("would stay in floats"), std::string::npos) << refused.error().message;
  options.method = "gptq";
  options.to = "nibble";
  EXPECT_FALSE(run(options, "none").ok());
}

/// Rounding to nearest makes no offsets, so that its error is not known; and rtn's outputs in GGUF have reports too.
TEST_F(Calibration, ReportsOfGguf) {
  QuantizeOptions options = gptq("text", "q4_1");
  options.to = "gguf";
  options.overrides = {"down_proj=f32"};
  const auto made = run(options, "gptq.gguf");
  ASSERT_TRUE(made.ok()) << made.error().message;
  for (const TensorReport& tensor : made->tensors) EXPECT_FALSE(tensor.rtn_output_error.has_value()) << tensor.name;
  EXPECT_NE(to_json(*made).find("\"rtn_output_error\": null"), std::string::npos);
  options.method = "rtn";
  options.scheme = "q4_0";
  options.calibration.texts.clear();
  options.report = ReportLevel::kQuick;
  options.report_text = at("long");
  put("long", random_text(9000));
  const auto rounded = run(options, "rtn.gguf");
  ASSERT_TRUE(rounded.ok()) << rounded.error().message;
  EXPECT_TRUE(rounded->held_out.has_value());
  EXPECT_TRUE(std::filesystem::exists(root_ / "rtn.gguf.report.json"));
}

TEST_F(Calibration, ThreadsChangeNoByte) {
  for (const char* method : {"gptq", "best", "awq", "awq+gptq", "autoround", "hqq", "wnam"}) {
    SCOPED_TRACE(method);
    std::vector<std::string> made;
    for (const int threads : {1, 2, 3}) {
      QuantizeOptions options = gptq("text", method == std::string("wnam") ? "codebook4-row-g16" : "int4-g16-asym");
      options.method = method;
      options.iterations = 5;
      options.threads = threads;
      const auto report = run(options, "out");
      ASSERT_TRUE(report.ok()) << report.error().message;
      made.push_back(contents("out/model.safetensors"));
    }
    EXPECT_EQ(made[0], made[1]);
    EXPECT_EQ(made[0], made[2]);
  }
}

TEST_F(Calibration, WnamByGradients) {
  QuantizeOptions options = gptq("text", "codebook3-row-g16");
  options.method = "rtn";
  ASSERT_TRUE(run(options, "rtn").ok());
  options.method = "wnam";
  ASSERT_TRUE(run(options, "by_columns").ok());
  options.importance = ImportanceSource::kGradients;
  std::vector<std::string> made;
  for (const int threads : {1, 3}) {
    options.threads = threads;
    const auto report = run(options, "out");
    ASSERT_TRUE(report.ok()) << report.error().message;
    made.push_back(contents("out/model.safetensors"));
  }
  EXPECT_EQ(made[0], made[1]);
  EXPECT_NE(made[0], contents("by_columns/model.safetensors"));
  EXPECT_LT(divergence("out"), 0.9 * divergence("rtn"));
  options.max_memory = 1'000'000;
  EXPECT_NE(run(options, "none").error().message.find("needs at least"), std::string::npos);
  options = gptq("text");
  options.importance = ImportanceSource::kGradients;
  EXPECT_EQ(run(options, "none").error().code, ErrorCode::kInvalidArgument) << "gptq has no such weights";
}

/// A small Qwen 2, whose q, k and v have biases.
TEST_F(Calibration, BiasesTakeMeanErrorsBack) {
  const fs::path golden = fs::path(NIBBLE_SOURCE_DIR) / "tests/golden/models/qwen2";
  fs::create_directories(root_ / "q");
  for (const char* file : {"config.json", "model.safetensors"}) fs::copy_file(golden / file, root_ / "q" / file);
  put("q/tokenizer.json", contents("m/tokenizer.json"));
  put("q/tokenizer_config.json", contents("m/tokenizer_config.json"));
  const auto bytes_of_bias = [&](const std::string& model) {
    TensorSet tensors;
    EXPECT_TRUE(open_safetensors(root_ / model / "model.safetensors", tensors).ok());
    const StoredTensor* bias = tensors.find("model.layers.1.self_attn.v_proj.bias");
    EXPECT_NE(bias, nullptr);
    return read_floats(*bias).value();
  };
  EvaluateOptions evaluation;
  evaluation.text_file = at("text");
  evaluation.context = 32;
  for (const char* method : {"gptq", "best", "awq", "awq+gptq", "wnam"}) {
    SCOPED_TRACE(method);
    const bool codebook = method == std::string("wnam");
    QuantizeOptions options = gptq("text", codebook ? "codebook2-row-g16" : "int2-g16-asym");
    options.method = method;
    ASSERT_TRUE(quantize(at("q"), at("plain"), options).ok());
    options.bias_correction = true;
    std::vector<std::string> made;
    for (const int threads : {1, 3}) {
      options.threads = threads;
      const auto report = quantize(at("q"), at("out"), options);
      ASSERT_TRUE(report.ok()) << report.error().message;
      made.push_back(contents("out/model.safetensors"));
    }
    EXPECT_EQ(made[0], made[1]);
    EXPECT_NE(bytes_of_bias("out"), bytes_of_bias("q"));
    if (!std::string(method).starts_with("awq")) {
      EXPECT_EQ(bytes_of_bias("plain"), bytes_of_bias("q"));
    }
    const auto corrected = evaluate(at("out"), at("q"), evaluation);
    const auto plain = evaluate(at("plain"), at("q"), evaluation);
    ASSERT_TRUE(corrected.ok() && plain.ok());
    EXPECT_LT(corrected->comparison->kld_mean, 1.05 * plain->comparison->kld_mean) << "little is left to correct";
  }
  QuantizeOptions options = gptq("text", "q4_k_m");
  options.to = "gguf";
  options.bias_correction = true;
  const auto in_gguf = quantize(at("q"), at("out.gguf"), options);
  ASSERT_TRUE(in_gguf.ok()) << in_gguf.error().message;
  evaluation.text_file.clear();
  for (int i = 0; i < 4 * 32; ++i) evaluation.tokens.push_back(i * 37 % 96);
  const auto of_gguf = evaluate(at("out.gguf"), at("q"), evaluation);
  ASSERT_TRUE(of_gguf.ok()) << of_gguf.error().message;
  EXPECT_LT(of_gguf->comparison->kld_mean, 0.1);
  options = gptq("text");
  options.bias_correction = true;
  EXPECT_NE(run(options, "none").error().message.find("none of its linears has a bias"), std::string::npos);
  options.method = "autoround";
  EXPECT_NE(quantize(at("q"), at("none"), options).error().message.find("awq+gptq"), std::string::npos);
}

TEST_F(Calibration, ThreadsChangeNoChoiceOfBits) {
  std::vector<std::string> made;
  for (const int threads : {1, 2, 3}) {
    QuantizeOptions options = gptq("text", "");
    options.candidates = {"int2-g16-sym", "int3-g16-sym", "int4-g16-sym", "int8-g16-sym"};
    options.target_bpw = 4.6;
    options.threads = threads;
    const auto report = run(options, "out");
    ASSERT_TRUE(report.ok()) << report.error().message;
    made.push_back(contents("out/model.safetensors") + contents("out/config.json"));
  }
  EXPECT_EQ(made[0], made[1]);
  EXPECT_EQ(made[0], made[2]);
}

/// Every method is nearer to the model than rounding, measured on what it wrote.
TEST_F(Calibration, MethodsAreNearerThanRounding) {
  QuantizeOptions rtn = gptq("text", "int3-g16-asym");
  rtn.method = "rtn";
  ASSERT_TRUE(run(rtn, "rtn").ok());
  const double rounded = divergence("rtn");
  for (const char* method : {"gptq", "awq", "awq+gptq", "autoround", "wnam"}) {
    QuantizeOptions options = gptq("text", method == std::string("wnam") ? "codebook3-row-g16" : "int3-g16-asym");
    options.method = method;
    options.iterations = 50;
    const auto report = run(options, method);
    ASSERT_TRUE(report.ok()) << report.error().message;
    EXPECT_LT(divergence(method), rounded) << method;
  }
}

/// A budget in bits or bytes, in every family that mixes schemes: kept, and nearly used up.
TEST_F(Calibration, BudgetsAreKept) {
  struct Case {
    const char* method;
    const char* to;
    std::vector<std::string> candidates;
    double bits = 5.0;
  };
  const std::vector<std::string> integers{"int2-g16-sym", "int3-g16-sym", "int4-g16-sym", "int8-g16-sym"};
  const Case cases[] = {{"rtn", "nibble", integers},
                        {"gptq", "compressed-tensors", integers},
                        {"best", "nibble", {"int2-g16-sym", "codebook3-row-g16", "int4-g16-sym", "nf4-g16"}},
                        {"awq", "nibble", {"int2-g16-asym", "int4-g16-asym", "int8-g16-asym"}},
                        {"awq+gptq", "nibble", {"int2-g16-sym", "int4-g16-asym", "int8-g16-sym"}},
                        {"autoround", "nibble", integers},
                        {"hqq", "nibble", {"int2-g16-asym", "int4-g16-asym", "int8-g16-asym"}},
                        {"wnam", "nibble", {"codebook2-row-g16", "codebook3-row-g16", "codebook4-row-g16"}, 8.0}};
  for (const Case& c : cases) {
    SCOPED_TRACE(std::string(c.method) + " to " + c.to);
    QuantizeOptions options = gptq("text", "");
    options.method = c.method;
    options.to = c.to;
    options.candidates = c.candidates;
    options.iterations = 2;
    options.target_bpw = c.bits;
    const auto in_bits = run(options, "out");
    ASSERT_TRUE(in_bits.ok()) << in_bits.error().message;
    EXPECT_LE(in_bits->bits_per_weight, c.bits);
    EXPECT_GT(in_bits->bits_per_weight, 0.9 * c.bits);
    ASSERT_TRUE(in_bits->bit_choice);
    EXPECT_GT(in_bits->bit_choice->predicted_kld, 0);
    EXPECT_LE(in_bits->bit_choice->substitutions.size(), 20u);
    EXPECT_LT(divergence("out"), 1.0);
    options.target_bpw = 0;
    options.target_size = std::filesystem::file_size(root_ / "out/model.safetensors");
    const auto in_bytes = run(options, "same");
    ASSERT_TRUE(in_bytes.ok()) << in_bytes.error().message;
    EXPECT_LE(std::filesystem::file_size(root_ / "same/model.safetensors"), options.target_size);
    EXPECT_GT(std::filesystem::file_size(root_ / "same/model.safetensors"), options.target_size * 98 / 100);
    std::filesystem::remove_all(root_ / "out");
    std::filesystem::remove_all(root_ / "same");
  }
}

/// Families that want rows in multiples of 32, on a model that has them.
TEST_F(Calibration, BudgetsOfLargerMatrices) {
  write_large_model(root_ / "large");
  for (const char* file : {"tokenizer.json", "tokenizer_config.json"})
    std::filesystem::copy_file(root_ / "m" / file, root_ / "large" / file);
  EvaluateOptions evaluation;
  evaluation.context = 64;
  std::string lines;
  for (int i = 0; i < 4 * 64; ++i) {
    evaluation.tokens.push_back(i * 37 % 512);
    lines += std::to_string(i * 37 % 512) + (i % 64 == 63 ? "\n" : " ");
  }
  put("text.tokens", lines);
  struct Case {
    const char* method;
    const char* out;
    const char* to;
    std::vector<std::string> candidates;
  };
  const Case cases[] = {{"best", "out.gguf", "", {"q4_0", "q5_0", "q8_0"}},
                        {"rtn", "out", "auto-round", {"int2-g32-sym", "int4-g32-sym", "int8-g32-sym"}},
                        {"rtn", "out", "gptq", {"int2-g32-sym", "int4-g32-asym", "int8-g32-sym"}}};
  for (const Case& c : cases) {
    SCOPED_TRACE(std::string(c.method) + " to " + c.out + c.to);
    QuantizeOptions options = gptq("text.tokens", "");
    options.method = c.method;
    options.to = c.to;
    options.candidates = c.candidates;
    options.calibration.context = 64;
    options.threads = 2;
    options.target_size = 18'000'000;
    const auto report = quantize(at("large"), at(c.out), options);
    ASSERT_TRUE(report.ok()) << report.error().message;
    std::filesystem::path file = root_ / c.out;
    if (std::filesystem::is_directory(file)) file /= "model.safetensors";
    EXPECT_LE(std::filesystem::file_size(file), options.target_size);
    EXPECT_GT(std::filesystem::file_size(file), options.target_size * 98 / 100);
    EXPECT_TRUE(evaluate(at(c.out), at("large"), evaluation).ok()) << "it can be read again";
    std::filesystem::remove_all(root_ / c.out);
  }
}

TEST_F(Calibration, BudgetsThatCannotBe) {
  QuantizeOptions options = gptq("text", "");
  options.candidates = {"int2-g16-sym", "int4-g16-sym"};
  const auto error = [&] {
    const auto report = run(options, "out");
    EXPECT_FALSE(report.ok());
    EXPECT_FALSE(std::filesystem::exists(root_ / "out"));
    return report.ok() ? std::string() : report.error().message;
  };
  options.target_bpw = 2.9;
  EXPECT_NE(error().find("2.9 bits per weight is less than the candidates int2-g16-sym, int4-g16-sym need, 3.000"),
            std::string::npos)
      << error();
  options.target_bpw = 5.1;
  EXPECT_NE(error().find("more than the candidates int2-g16-sym, int4-g16-sym need, 5.000"), std::string::npos)
      << error();
  options.target_bpw = 0;
  options.target_size = 3000;
  EXPECT_NE(error().find("3000 bytes is less"), std::string::npos) << error();
  options.scheme = "int4-g16-sym";
  EXPECT_NE(error().find("--target-size"), std::string::npos) << error();
  options.scheme = "";
  options.target_size = 0;
  EXPECT_NE(error().find("--scheme"), std::string::npos) << error();
  options.scheme = "int4-g16-sym";
  EXPECT_NE(error().find("--candidates"), std::string::npos) << error();
  options.scheme = "";
  options.target_bpw = 4;
  options.to = "awq";
  EXPECT_NE(error().find("one scheme for all"), std::string::npos) << error();
  options.to = "hf:f16";
  EXPECT_NE(error().find("hf:f16"), std::string::npos) << error();
  options.to = "nibble";
  options.max_memory = 1'000'000;
  EXPECT_NE(error().find("needs at least"), std::string::npos) << error();
}

TEST_F(Calibration, WithoutATextTheModelWritesOne) {
  QuantizeOptions options = gptq("");
  options.calibration.samples = 4;
  ASSERT_TRUE(run(options, "a").ok());
  ASSERT_TRUE(run(options, "b").ok());
  EXPECT_EQ(contents("a/model.safetensors"), contents("b/model.safetensors"));
  options.calibration.seed = 1;
  ASSERT_TRUE(run(options, "c").ok());
  EXPECT_NE(contents("a/model.safetensors"), contents("c/model.safetensors"));
}

TEST_F(Calibration, OddTexts) {
  for (const char* text : {"one", "binary"}) {
    const auto report = run(gptq(text), std::string("of_") + text);
    ASSERT_TRUE(report.ok()) << report.error().message;
    EXPECT_LT(divergence(std::string("of_") + text), 1.0);
  }
  for (const char* text : {"empty", "short", "missing"}) {
    const auto report = run(gptq(text), "none");
    ASSERT_FALSE(report.ok());
    EXPECT_NE(report.error().message.find(at(text)), std::string::npos) << report.error().message;
    EXPECT_FALSE(std::filesystem::exists(root_ / "none"));
  }
}

/// Every form of a line, documents by themselves, texts through the chat template.
TEST_F(Calibration, DocumentsAndConversations) {
  const std::string words = contents("text").substr(0, 100);
  const auto quoted = [](const std::string& text) { return Json(text).dump(); };
  const std::string turn = R"({"role": "user", "content": )" + quoted(words) + "}";
  put("all.jsonl", R"({"text": )" + quoted(words) + "}\n\n" + R"({"messages": [)" + turn + "]}\n" +
                       R"({"conversations": [{"from": "human", "value": )" + quoted(words) +
                       R"(}, {"from": "gpt", "value": "Yes."}]})" + "\n" + R"({"prompt": )" + quoted(words) +
                       R"(, "response": "No."})" + "\n");
  QuantizeOptions options = gptq("all.jsonl");
  ASSERT_TRUE(run(options, "back_to_back").ok());
  options.calibration.per_document = true;
  ASSERT_TRUE(run(options, "documents").ok());
  EXPECT_NE(contents("back_to_back/model.safetensors"), contents("documents/model.safetensors"));

  put("same.txt", words + "\n\n\n" + words + "\n\nshort");
  put("same.jsonl",
      std::string(2, ' ') + R"({"text": )" + quoted(words) + "}\n" + R"({"text": )" + quoted(words) + "}");
  for (const bool chat : {false, true}) {
    std::vector<std::string> made;
    for (const char* text : {"same.txt", "same.jsonl"}) {
      options = gptq(text);
      options.calibration.per_document = true;
      options.calibration.chat_template = chat;
      const auto report = run(options, "out");
      ASSERT_TRUE(report.ok()) << report.error().message;
      made.push_back(contents("out/model.safetensors"));
    }
    EXPECT_EQ(made[0], made[1]) << "paragraphs are documents";
  }
}

TEST_F(Calibration, LinesThatAreNoDocuments) {
  const std::pair<const char*, const char*> cases[] = {{"[1]", ":2: a line of calibration"},
                                                       {"{\"text\": 3}", ":2: a line of calibration"},
                                                       {"{\"conversations\": [1]}", ":2: a line of calibration"},
                                                       {"{\"text\": ", ":2: not valid JSON"},
                                                       {"{\"messages\": [7]}", ":2: "}};
  for (const char* line : {"1 2 x", "1 -2", "1 999999"}) {
    put("bad.tokens", line);
    EXPECT_NE(run(gptq("bad.tokens"), "none").error().message.find(":1: not a line of token ids"), std::string::npos);
  }
  for (const auto& [line, message] : cases) {
    put("bad.jsonl", std::string("{\"text\": \"Hello\"}\n") + line);
    const auto report = run(gptq("bad.jsonl"), "none");
    ASSERT_FALSE(report.ok()) << line;
    EXPECT_NE(report.error().message.find(message), std::string::npos) << report.error().message;
  }
  QuantizeOptions options = gptq("short");
  options.calibration.per_document = true;
  EXPECT_NE(run(options, "none").error().message.find("no document is longer"), std::string::npos);
  std::filesystem::remove(root_ / "m/chat_template.jinja");
  options = gptq("text");
  options.calibration.chat_template = true;
  EXPECT_NE(run(options, "none").error().message.find("no chat template"), std::string::npos);
}

TEST_F(Calibration, ReportsBesideTheOutput) {
  for (const auto& [out, scheme] : {std::pair("a", "int4-g16-sym"), std::pair("b", "int3-g16-asym")}) {
    QuantizeOptions options = gptq("text", scheme);
    options.calibration.samples = 10;  // of 46: the rest is held out
    options.report = std::nullopt;
    const auto report = run(options, out);
    ASSERT_TRUE(report.ok()) << report.error().message;
    ASSERT_TRUE(report->held_out && report->held_out->comparison);
    EXPECT_EQ(report->held_out_text, "the calibration texts, where calibration ended");
    EXPECT_GT(report->held_out->comparison->kld_mean, 0);
    for (const TensorReport& tensor : report->tensors) {
      if (!tensor.output_error) continue;
      EXPECT_GT(*tensor.output_error, 0) << tensor.name;
      EXPECT_LT(*tensor.output_error, *tensor.rtn_output_error) << tensor.name;
    }
    const Json json = parse_untrusted(contents(std::string(out) + ".report.json"), "report").value();
    EXPECT_EQ(json.at("method"), "gptq");
    EXPECT_EQ(json.at("held_out").at("kld_mean"), report->held_out->comparison->kld_mean);
    EXPECT_EQ(json.at("tensors").size(), report->tensors.size());
  }
  QuantizeOptions elsewhere = gptq("text", "int2-g16-asym");
  elsewhere.calibration.samples = 11;  // another part is held out
  elsewhere.report = ReportLevel::kQuick;
  ASSERT_TRUE(run(elsewhere, "c").ok());
  EXPECT_EQ(contents("c.report.html").find("<title>a: "), std::string::npos) << "measured on other tokens";
  const std::string page = contents("b.report.html");
  EXPECT_NE(page.find("model.layers.1.mlp.down_proj"), std::string::npos);
  EXPECT_NE(page.find("<title>a: "), std::string::npos) << "the other output is a point of the chart";
  EXPECT_EQ(page.find("http"), std::string::npos) << "nothing is fetched";
}

/// A text that calibration used up, and none at all: the model writes what is measured.
TEST_F(Calibration, ReportsOnWhatTheModelWritesWhereNothingIsLeft) {
  for (const char* text : {"text", ""}) {
    QuantizeOptions options = gptq(text);
    options.calibration.samples = *text != '\0' ? 1000 : 3;
    options.report = ReportLevel::kQuick;
    const auto report = run(options, "out");
    ASSERT_TRUE(report.ok()) << report.error().message;
    EXPECT_EQ(report->held_out_text, "what the model writes");
    EXPECT_TRUE(report->held_out.has_value());
  }
}

TEST_F(Calibration, RefusesWhatItCannotMake) {
  QuantizeOptions options = gptq("text");
  options.method = "awq";
  for (const char* scheme : {"nf4-g64", "codebook4-row", "int4-tensor", "fp8-e4m3-channel", "int8-block128x128"}) {
    options.scheme = scheme;
    const auto report = run(options, "none");
    ASSERT_FALSE(report.ok()) << scheme;
    EXPECT_EQ(report.error().code, ErrorCode::kUnsupported) << report.error().message;
    EXPECT_NE(report.error().message.find("awq cannot make"), std::string::npos) << report.error().message;
  }
  for (const char* scheme : {"bf16", "iq3_s"}) {
    const auto report = run(gptq("text", scheme), "none");
    ASSERT_FALSE(report.ok()) << scheme;
    EXPECT_EQ(report.error().code, ErrorCode::kUnsupported) << report.error().message;
    EXPECT_NE(report.error().message.find("gptq cannot make"), std::string::npos) << report.error().message;
  }
  options = gptq("text");
  options.calibration.samples = 0;
  EXPECT_EQ(run(options, "none").error().code, ErrorCode::kInvalidArgument);
  options = gptq("text");
  options.calibration.context = 1;
  EXPECT_EQ(run(options, "none").error().code, ErrorCode::kInvalidArgument);
  options = gptq("text");
  options.method = "magic";
  EXPECT_EQ(run(options, "none").error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace nibble
