// For every family that writes, walking the one list: what it says it can express it encodes, in ranges of any size,
// and opens again as the same matrix; a folder written with its configuration opens as a checkpoint of that family.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "io/checkpoint.h"
#include "io/family_test_support.h"
#include "io/safetensors.h"

namespace nibble {
namespace {

using testing::add_encoded;
using testing::decode_rows;
using testing::encode_all;
using testing::expect_same_matrix;
using testing::MemoryCheckpoint;
using testing::open_one;
using testing::random_matrix;

std::vector<QuantScheme> schemes() {
  std::vector<QuantScheme> out;
  for (const char* name : {"int1-g32-sym",
                           "int2-g32-sym",
                           "int2-g64-asym",
                           "int3-g32-asym",
                           "int3-channel-sym",
                           "int4-g32-sym",
                           "int4-g64-asym",
                           "int4-channel-asym-scale:f32",
                           "int4-tensor-asym",
                           "int5-g64-sym-scale:bf16",
                           "int6-g32-asym",
                           "int7-channel-asym",
                           "int8-channel-sym",
                           "int8-tensor-sym",
                           "int8-g32-asym-scale:bf16",
                           "int8-channel-sym+dyn-token",
                           "int8-tensor-asym+static",
                           "int4-g32-sym+int8-dyn-token",
                           "fp8-e4m3-tensor-scale:f32+dyn-token",
                           "fp8-e4m3-channel+dyn-token",
                           "fp8-e4m3-channel",
                           "fp8-e4m3-block32x48-scale:f32+dyn-g48",
                           "nf4-g64-scale:f32",
                           "nf4-flat128-scale:f32",
                           "fp4-flat64-dq",
                           "nf4-g32-dq",
                           "codebook4-row",
                           "codebook4-row-g64-keep8:2%",
                           "int3-g32-sym-keep16:1%-rank8",
                           "int2-g64-asym-rank3"})
    out.push_back(parse_scheme(name).value());
  QuantScheme s = parse_scheme("int4-g32-sym").value();
  s.scale->grouping = Grouping::indexed(6);
  out.push_back(s);
  s = parse_scheme("int8-g32-asym").value();
  s.scale->grouping = s.zero.grouping = Grouping::indexed(3);
  out.push_back(s);
  s = parse_scheme("int8-channel-sym-scale:f32+dyn-token").value();  // LLM.int8()
  s.post_scale = 7.874015718698502e-3f;
  s.activations.outlier_threshold = 6.0f;
  out.push_back(s);
  s = QuantScheme{};
  s.code = CodeFormat::floating(ElementType::kF4);  // MXFP4, NVFP4; MXFP8
  s.scale = PlaneFormat{Grouping::columns(32), ElementType::kE8m0, false, std::nullopt};
  out.push_back(s);
  s.scale = PlaneFormat{Grouping::columns(16), ElementType::kF16, false,
                        NestedFormat{CodeFormat::floating(ElementType::kE4m3), ElementType::kF32, 0, true, false}};
  out.push_back(s);
  s.code = CodeFormat::floating(ElementType::kE4m3);
  s.scale = PlaneFormat{Grouping::columns(32), ElementType::kE8m0, false, std::nullopt};
  out.push_back(s);
  return out;
}

bool writes_safetensors(const Family& family) { return family.encode != nullptr && family.name != "gguf"; }

/// Bias and zero points may move by 2^(bits-1) together: families keep one convention. Compares what they mean.
void expect_same_meaning(const QuantizedMatrix& a, const QuantizedMatrix& b) {
  EXPECT_TRUE(a.scale == b.scale);
  EXPECT_TRUE(a.codes == b.codes);
  const std::vector<float> left = testing::values_of(a);
  const std::vector<float> right = testing::values_of(b);
  EXPECT_EQ(std::memcmp(left.data(), right.data(), left.size() * sizeof(float)), 0);
}

TEST(FamilyRoundTrip, WhatIsExpressibleReadsBackTheSame) {
  constexpr std::int64_t kRows = 96;
  constexpr std::int64_t kCols = 192;
  std::map<std::string_view, int> expressed;
  for (const Family* family : all_families()) {
    if (!writes_safetensors(*family)) continue;
    unsigned seed = 100;
    for (const QuantScheme& scheme : schemes()) {
      SCOPED_TRACE(fmt::format("{} {}", family->name, to_string(scheme)));
      if (!family->expresses(scheme, kRows, kCols).ok()) {
        EXPECT_FALSE(scheme.supplement.empty() && family->plan(scheme, kRows, kCols, "m").ok());
        continue;
      }
      ++expressed[family->name];
      const QuantizedMatrix matrix = random_matrix(scheme, kRows, kCols, ++seed);
      for (const std::int64_t at_once : {0, 1, 32}) {
        MemoryCheckpoint checkpoint;
        add_encoded(checkpoint, encode_all(*family, *make_source(matrix), "model.layers.0.mlp.up_proj", at_once));
        const WrittenModule written{"model.layers.0.mlp.up_proj", scheme, true, kRows, kCols};
        checkpoint.quantization_config = family->quantization_config({&written, 1}, {});
        for (const Family* other : all_families())
          EXPECT_EQ(checkpoint.detected_by(*other), other == family) << other->name;
        const MatrixPtr back = open_one(checkpoint, *family);
        ASSERT_NE(back, nullptr);
        const QuantizedMatrix read = decode_rows(*back, 0, kRows);
        expect_same_meaning(read, matrix);
        EXPECT_TRUE(back->scheme().activations == scheme.activations || family->name == "fp8");
        if (family->name == "nibble" || family->name == "compressed-tensors") expect_same_matrix(read, matrix);
      }
    }
  }
  // A family that refuses everything would pass above.
  EXPECT_EQ(expressed["nibble"], static_cast<int>(schemes().size()));
  EXPECT_GE(expressed["compressed-tensors"], 25);
  EXPECT_GE(expressed["gptq"], 8);
  EXPECT_GE(expressed["awq"], 2);
  EXPECT_EQ(expressed["auto-round"], expressed["gptq"] - 2);  // all but act-order
  EXPECT_EQ(expressed["bitsandbytes"], 5);
  EXPECT_EQ(expressed["fp8"], 2);
}

TEST(FamilyRoundTrip, AFolderOpensAsACheckpointOfItsFamily) {
  const std::filesystem::path root = std::filesystem::path(::testing::TempDir()) / "family_roundtrip";
  for (const Family* family : all_families()) {
    if (!writes_safetensors(*family)) continue;
    SCOPED_TRACE(family->name);
    const std::vector<QuantScheme> known = schemes();
    const auto scheme = std::find_if(known.begin(), known.end(),
                                     [&](const QuantScheme& s) { return family->expresses(s, 64, 192).ok(); });
    ASSERT_NE(scheme, known.end());
    const QuantizedMatrix matrix = random_matrix(*scheme, 64, 192, 5);
    const std::string module = "model.layers.0.self_attn.q_proj";
    const std::filesystem::path folder = root / std::string(family->name);
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
    const auto encoded = encode_all(*family, *make_source(matrix), module);
    std::vector<SafetensorsPlan> plan;
    for (const auto& [name, tensor] : encoded) plan.push_back({name, tensor.plan.shape, tensor.plan.element});
    auto writer = SafetensorsWriter::create(folder, plan);
    ASSERT_TRUE(writer.ok()) << writer.error().message;
    for (std::size_t i = 0; i < plan.size(); ++i)
      ASSERT_TRUE((*writer)->write(i, 0, encoded.at(plan[i].name).bytes).ok());
    ASSERT_TRUE((*writer)->finish().ok());
    const WrittenModule written{module, *scheme, true, 64, 192};
    const Json config = {{"model_type", "llama"},
                         {"quantization_config", family->quantization_config({&written, 1}, {})}};
    std::ofstream(folder / "config.json") << config.dump(2);
    const auto checkpoint = Checkpoint::open(folder);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
    EXPECT_EQ((*checkpoint)->family_name(), family->name);
    EXPECT_EQ((*checkpoint)->modules(), std::vector<std::string>{module});
    EXPECT_TRUE((*checkpoint)->plain_tensors().empty());
    const auto opened = (*checkpoint)->matrix(module);
    ASSERT_TRUE(opened.ok());
    expect_same_meaning(decode_rows(**opened, 0, 64), matrix);
    (*opened)->release(0, 64);
    expect_same_meaning(decode_rows(**opened, 0, 64), matrix);
  }
  std::filesystem::remove_all(root);
}

/// Cutting a tensor, or changing its type or shape, is an error that names the module; never a crash.
TEST(FamilyRoundTrip, BrokenTensorsAreNamed) {
  for (const Family* family : all_families()) {
    if (!writes_safetensors(*family)) continue;
    for (const QuantScheme& scheme : schemes()) {
      if (!family->expresses(scheme, 64, 192).ok()) continue;
      SCOPED_TRACE(fmt::format("{} {}", family->name, to_string(scheme)));
      const auto encoded = encode_all(*family, *make_source(random_matrix(scheme, 64, 192, 5)), "mod");
      const WrittenModule written{"mod", scheme, true, 64, 192};
      for (const auto& [broken, tensor] : encoded) {
        for (const int change : {0, 1, 2}) {
          MemoryCheckpoint checkpoint;
          checkpoint.quantization_config = family->quantization_config({&written, 1}, {});
          for (const auto& [name, part] : encoded) {
            std::vector<std::byte> bytes = part.bytes;
            std::vector<std::int64_t> shape = part.plan.shape;
            ElementType element = part.plan.element;
            if (name == broken && change == 0 && !bytes.empty()) bytes.pop_back();
            if (name == broken && change == 1) element = ElementType::kBool;
            if (name == broken && change == 2) {
              if (shape.empty()) shape = {1};
              shape[0] += 7;
              bytes.resize(bytes.size() + 7 * bytes.size() / static_cast<std::size_t>(shape[0] - 7));
            }
            checkpoint.add(name, element, shape, bytes);
          }
          const auto opened = checkpoint.open(*family);
          if (opened.ok()) {  // the tensor was not looked at, or does not matter
            for (const FamilyModule& module : *opened) testing::check_ranges(*module.weight);
          } else {
            EXPECT_THAT(opened.error().message, ::testing::HasSubstr("mod"));
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace nibble
