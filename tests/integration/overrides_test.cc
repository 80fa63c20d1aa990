// --override: linears that get another scheme than the rest.
#include <gtest/gtest.h>

#include <functional>

#include "api/calibrated_methods.h"
#include "chat_model_test.h"
#include "model/model_files.h"
#include "nibble/quantize.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

class Overrides : public ChatModelTest {
 protected:
  QuantizeOptions wanted(const std::string& method, const std::string& scheme, const std::string& to,
                         std::vector<std::string> overrides) const {
    QuantizeOptions options;
    options.method = method;
    options.scheme = scheme;
    options.to = to;
    options.overrides = std::move(overrides);
    options.threads = 2;
    options.report = ReportLevel::kOff;
    if (method == "rtn" || method == "hqq") return options;
    options.calibration.texts = {at("text")};
    options.calibration.samples = 20;
    options.calibration.context = 32;
    return options;
  }
  std::string refusal(const QuantizeOptions& options) const {
    const auto report = quantize(at("m"), at("none"), options);
    EXPECT_FALSE(report.ok());
    EXPECT_FALSE(fs::exists(root_ / "none") || fs::exists(root_ / "none.nibble-journal"));
    return report.ok() ? "" : report.error().message;
  }
  /// Of every linear of the output that `options` ask for, the scheme that `expected` says for its name.
  void expect_schemes(const QuantizeOptions& options, const std::string& out,
                      const std::function<std::string(const std::string&)>& expected) const {
    const auto report = quantize(at("m"), at(out), options);
    ASSERT_TRUE(report.ok()) << report.error().message;
    const auto files = ModelFiles::open(at(out));
    ASSERT_TRUE(files.ok()) << files.error().message;
    const std::vector<LinearInfo>& linears = (*files)->layout().linears;
    for (std::size_t i = 0; i < linears.size(); ++i) {
      const auto matrix = (*files)->matrix(static_cast<LinearId>(i));
      ASSERT_TRUE(matrix.ok()) << matrix.error().message;
      EXPECT_EQ(to_string((*matrix)->scheme()), to_string(parse_scheme(expected(linears[i].name)).value()))
          << linears[i].name;
    }
  }
};

bool has(const std::string& name, const char* part) { return name.find(part) != std::string::npos; }

TEST_F(Overrides, TheLastThatIsFoundCounts) {
  expect_schemes(wanted("rtn", "int4-g16-sym", "nibble", {"down_proj=int8-g16-sym", "layers\\.0\\.mlp=nf4-g16"}), "out",
                 [](const std::string& name) {
                   if (has(name, "embed") || has(name, "lm_head")) return "f32";
                   if (has(name, "layers.0.mlp")) return "nf4-g16";
                   return has(name, "down_proj") ? "int8-g16-sym" : "int4-g16-sym";
                 });
}

TEST_F(Overrides, NameTheHeadToo) {
  expect_schemes(wanted("rtn", "int4-g16-sym", "", {"^lm_head$=int8-channel-sym"}), "out", [](const std::string& name) {
    if (has(name, "embed")) return "f32";
    return has(name, "lm_head") ? "int8-channel-sym" : "int4-g16-sym";
  });
}

/// Floats beside codes are read again from every family that is written.
TEST_F(Overrides, LeaveLinearsInFloats) {
  const std::pair<const char*, const char*> families[] = {{"compressed-tensors", "int4-g16-sym"},
                                                          {"gptq", "int4-g16-sym"},
                                                          {"auto-round", "int4-g16-sym"},
                                                          {"awq", "int4-g16-asym"},
                                                          {"fp8", "fp8-e4m3-tensor-scale:f32+dyn-token"},
                                                          {"nibble", "codebook4-row-g16"},
                                                          {"bitsandbytes", "nf4-flat64-scale:f32"}};
  for (const auto& [family, scheme] : families) {
    SCOPED_TRACE(family);
    expect_schemes(wanted("rtn", scheme, family, {"layers\\.1\\.=f16", "k_proj|v_proj|mlp=f32"}), family,
                   [scheme = scheme](const std::string& name) -> std::string {
                     if (has(name, "q_proj") || has(name, "o_proj")) return has(name, "layers.1.") ? "f16" : scheme;
                     return "f32";
                   });
  }
}

TEST_F(Overrides, AreMadeByCalibratedMethods) {
  for (const char* method : {"gptq", "best"}) {
    SCOPED_TRACE(method);
    expect_schemes(wanted(method, "int3-g16-sym", "nibble", {"q_proj=int8-g16-sym", "k_proj=f32", "down=iq4_nl"}),
                   method, [](const std::string& name) {
                     if (has(name, "embed") || has(name, "lm_head") || has(name, "k_proj")) return "f32";
                     if (has(name, "down")) return "iq4_nl";
                     return has(name, "q_proj") ? "int8-g16-sym" : "int3-g16-sym";
                   });
  }
  for (const char* method : {"awq", "awq+gptq", "hqq"}) {
    SCOPED_TRACE(method);
    expect_schemes(wanted(method, "int4-g16-asym", "compressed-tensors", {"down_proj=int8-g16-asym"}), method,
                   [](const std::string& name) {
                     if (has(name, "embed") || has(name, "lm_head")) return "f32";
                     return has(name, "down_proj") ? "int8-g16-asym" : "int4-g16-asym";
                   });
  }
}

/// Columns in another order than their groups are for every linear that is quantized, whatever gave it its scheme.
TEST_F(Overrides, AreOrderedByActivationsToo) {
  for (const ActOrder order : {ActOrder::kFull, ActOrder::kStatic}) {
    for (const char* one : {"down_proj=int4-channel-sym", "down_proj=nf4-g16"}) {
      QuantizeOptions options = wanted("gptq", "int4-g16-sym", "nibble", {one});
      options.act_order = order;
      EXPECT_NE(refusal(options).find("down_proj: act-order"), std::string::npos) << one;
    }
    QuantizeOptions floats = wanted("gptq", "int4-g16-sym", "nibble", {"q_proj=f32", "down_proj=int8-g16-sym"});
    floats.act_order = order;
    EXPECT_TRUE(quantize(at("m"), at("ordered"), floats).ok());
    fs::remove_all(root_ / "ordered");
  }
}

TEST_F(Overrides, CountInThePlanOfMemory) {
  const ModelFiles::Ptr files = ModelFiles::open(at("m")).value();
  const ModelLayout& layout = files->layout();
  std::vector<QuantScheme> schemes(layout.linears.size(), parse_scheme("int4-g16-sym").value());
  EXPECT_EQ(beside_codes_bytes(layout, LinearSchemes(schemes)), 0u);
  schemes[static_cast<std::size_t>(layout.blocks[1].down_proj)] = parse_scheme("int4-g16-sym-rank4").value();
  EXPECT_GT(beside_codes_bytes(layout, LinearSchemes(schemes)), 0u);
}

/// By the names of GGUF files, with their types and llama-quantize's fallback for rows that are no whole blocks.
TEST_F(Overrides, OfGgufTypes) {
  const auto expected = [](const std::string& name) {
    if (has(name, "down_proj")) return "f16";  // its rows are no whole blocks of q4_k or q5_0
    if (has(name, "o_proj")) return "q5_0";
    return has(name, "v_proj") ? "f32" : "q8_0";
  };
  expect_schemes(wanted("rtn", "q8_0", "", {"ffn_down|attn_output=q4_k", "attn_v=f32"}), "rtn.gguf", expected);
  expect_schemes(
      wanted("gptq", "q8_0", "", {"ffn_down|attn_output=q4_k", "attn_v=f32"}), "gptq.gguf",
      [&](const std::string& name) { return has(name, "embed") || has(name, "lm_head") ? "f32" : expected(name); });
}

TEST_F(Overrides, WhatCannotBeIsRefused) {
  const auto of = [&](const char* one) { return refusal(wanted("rtn", "int4-g16-sym", "nibble", {one})); };
  EXPECT_NE(of("down_proj").find("PATTERN=SCHEME"), std::string::npos);
  EXPECT_NE(of("=int8-g16-sym").find("PATTERN=SCHEME"), std::string::npos);
  EXPECT_NE(of("down_proj=int9").find("known codes"), std::string::npos);
  EXPECT_NE(of("ffn_dwon=int8-g16-sym").find("in no linear's name"), std::string::npos);
  EXPECT_NE(of("(down=int8-g16-sym").find("parenthesis"), std::string::npos);
  EXPECT_NE(of("(a+)+$=int8-g16-sym").find("--override"), std::string::npos);
  EXPECT_NE(of("down_proj=int4-g16-sym-keep8:1%").find("fitted to inputs"), std::string::npos);
  EXPECT_NE(refusal(wanted("rtn", "int4-g16-asym", "awq", {"down_proj=int8-g16-asym"})).find("one scheme for all"),
            std::string::npos);
  EXPECT_NE(refusal(wanted("rtn", "int4-g16-sym", "hf:bf16", {"down_proj=int8-g16-sym"})).find("quantized output"),
            std::string::npos);
  EXPECT_NE(refusal(wanted("awq", "int4-g16-asym", "nibble", {"q_proj=int8-g16-asym"})).find("share an input"),
            std::string::npos);
  EXPECT_NE(refusal(wanted("autoround", "int4-g16-asym", "nibble", {"down_proj=bf16"})).find("in floats"),
            std::string::npos);
  QuantizeOptions budget = wanted("gptq", "", "nibble", {"down_proj=int8-g16-sym"});
  budget.target_bpw = 5;
  EXPECT_NE(refusal(budget).find("--candidates"), std::string::npos);
  QuantizeOptions gguf = wanted("rtn", "q8_0", "gguf", {"ffn_down=nf4-g16"});
  EXPECT_NE(refusal(gguf).find("no type of GGUF"), std::string::npos);
}

}  // namespace
}  // namespace nibble
