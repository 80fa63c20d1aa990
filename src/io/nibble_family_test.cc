// The nibble family holds every scheme: what is written reads back as the same matrix, whole and in ranges; broken
// configurations and tensors are refused with the field's name.
#include "io/nibble_family.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/family_test_support.h"
#include "io/scheme_json.h"

namespace nibble {
namespace {

using testing::add_encoded;
using testing::check_ranges;
using testing::decode_rows;
using testing::encode_all;
using testing::expect_same_matrix;
using ::testing::HasSubstr;
using testing::MemoryCheckpoint;
using testing::open_one;
using testing::random_matrix;

QuantScheme named(const char* name) {
  auto scheme = parse_scheme(name);
  EXPECT_TRUE(scheme.ok()) << name;
  return scheme.value();
}

/// Schemes with every kind of code, plane, grouping and table, for matrices of 24 columns.
std::vector<QuantScheme> all_kinds() {
  std::vector<QuantScheme> schemes;
  for (const char* name : {"int1-g8",
                           "int2-g8-asym",
                           "int3-channel",
                           "int4-g5-sym",
                           "int5-tensor",
                           "int6-g24-asym",
                           "int7-flat10",
                           "int8-block3x5",
                           "ternary-g8",
                           "binary-channel",
                           "nf4-g8",
                           "nf4-flat16-dq",
                           "fp4-g7-scale:f32",
                           "fp8-e4m3-channel",
                           "fp8-e5m2-block2x8-scale:f32",
                           "codebook4-row",
                           "codebook3-g8",
                           "codebook2-tensor-g4",
                           "codebook8-row-g6-scale:bf16",
                           "int8-channel-sym+dyn-token",
                           "int8-tensor-asym-scale:bf16+static"})
    schemes.push_back(named(name));
  QuantScheme s = named("int4-g8-sym");  // offsets and scales of a k-quant: 6-bit codes under one f16 per 3 entries
  s.scale->nested = NestedFormat{CodeFormat::integer(6, 0), ElementType::kF16, 3, false, false};
  s.offset = PlaneFormat{Grouping::columns(8), ElementType::kF16, false,
                         NestedFormat{CodeFormat::integer(4, 0), ElementType::kF16, 3, false, true}};
  schemes.push_back(s);
  s = named("int4-g8-sym");  // HQQ: real zeros, in strided groups
  s.code.bias = 0;
  s.zero_kind = ZeroKind::kReal;
  s.scale->grouping = {Grouping::Kind::kStrided, 6, 1};
  s.zero = PlaneFormat{{Grouping::Kind::kStrided, 6, 1}, ElementType::kF32, false, std::nullopt};
  schemes.push_back(s);
  s = named("int3-g8-asym");  // act-order
  s.scale->grouping = s.zero.grouping = Grouping::indexed(3);
  schemes.push_back(s);
  s = named("nf4-g8");  // NVFP4's scales under another code, a post scale
  s.scale->nested = NestedFormat{CodeFormat::floating(ElementType::kE4m3), ElementType::kF32, 0, true, false};
  s.post_scale = 7.874015718698502e-3f;
  schemes.push_back(s);
  s = named("codebook3-g8");  // a bank of tables
  s.table.bank_size = 5;
  schemes.push_back(s);
  s = QuantScheme{};  // IQ2's values, half-step scales; a table that is not full
  s.code = CodeFormat::indexed(TableKind::kIq2, 3);
  s.scale = PlaneFormat{Grouping::flat(7), ElementType::kF16, false,
                        NestedFormat{CodeFormat::indexed(TableKind::kHalfStep, 4), ElementType::kF16, 2, false, false}};
  schemes.push_back(s);
  s = QuantScheme{};  // MXFP4, and a nested plane with a table of its own
  s.code = CodeFormat::floating(ElementType::kF4);
  s.scale = PlaneFormat{Grouping::columns(8), ElementType::kE8m0, true, std::nullopt};
  schemes.push_back(s);
  s.scale->element = ElementType::kF16;  // of plain planes only
  s.scale->nested = NestedFormat{CodeFormat::indexed(TableKind::kStored, 5), ElementType::kBf16, 4, false, true};
  schemes.push_back(s);
  s = QuantScheme::of_float(ElementType::kF16);  // half-precision codes under row scales
  s.scale = PlaneFormat{Grouping::row(), ElementType::kF32, false, std::nullopt};
  schemes.push_back(s);
  return schemes;
}

TEST(NibbleFamily, EverySchemeReadsBackTheSame) {
  unsigned seed = 1;
  for (const QuantScheme& scheme : all_kinds()) {
    for (const std::int64_t rows : {1, 11, 18}) {
      SCOPED_TRACE(to_string(scheme) + " rows " + std::to_string(rows));
      const QuantizedMatrix matrix = random_matrix(scheme, rows, 24, ++seed);
      ASSERT_TRUE(matrix.validate().ok());
      const MatrixPtr source = make_source(matrix);
      ASSERT_TRUE(kNibbleFamily.can_express(scheme, rows, 24).ok())
          << kNibbleFamily.can_express(scheme, rows, 24).error().message;
      for (const std::int64_t at_once : {0, 1}) {
        MemoryCheckpoint checkpoint;
        add_encoded(checkpoint, encode_all(kNibbleFamily, *source, "a.b", at_once));
        const WrittenModule written{"a.b", scheme, true, rows, 24};
        const Json config = kNibbleFamily.quantization_config({&written, 1}, {});
        auto reparsed = parse_untrusted(config.dump(2), "config");
        ASSERT_TRUE(reparsed.ok());
        checkpoint.quantization_config = *reparsed;
        EXPECT_TRUE(checkpoint.detected_by(kNibbleFamily));
        const MatrixPtr back = open_one(checkpoint, kNibbleFamily);
        ASSERT_NE(back, nullptr);
        expect_same_matrix(decode_rows(*back, 0, rows), matrix);
        check_ranges(*back);
      }
    }
  }
}

TEST(NibbleFamily, ColumnsThatDoNotFillBytes) {
  for (const char* name : {"int3-channel", "int1-tensor", "int7-g4", "codebook5-row"}) {
    const QuantizedMatrix matrix = random_matrix(named(name), 5, 13, 3);
    MemoryCheckpoint checkpoint;
    add_encoded(checkpoint, encode_all(kNibbleFamily, *make_source(matrix), "m", 1));
    const WrittenModule written{"m", matrix.scheme, true, 5, 13};
    checkpoint.quantization_config = kNibbleFamily.quantization_config({&written, 1}, {});
    expect_same_matrix(decode_rows(*open_one(checkpoint, kNibbleFamily), 0, 5), matrix);
  }
}

TEST(NibbleFamily, SchemesSurviveJson) {
  for (const QuantScheme& scheme : all_kinds()) {
    const auto back = scheme_from_json(scheme_to_json(scheme), "s");
    ASSERT_TRUE(back.ok()) << back.error().message;
    EXPECT_TRUE(*back == scheme) << scheme_to_json(scheme).dump();
  }
}

TEST(NibbleFamily, SchemesThatPrintAlikeStayApart) {
  QuantScheme a = named("int4-g8-sym");
  QuantScheme b = a;
  b.post_scale = 0.5f;
  const std::vector<WrittenModule> modules = {{"m", a, true, 8, 8}, {"n", b, true, 8, 8}, {"o", b, true, 8, 8}};
  const Json config = kNibbleFamily.quantization_config(modules, {});
  EXPECT_EQ(config["schemes"].size(), 2u);
  EXPECT_NE(config["modules"]["m"], config["modules"]["n"]);
  EXPECT_EQ(config["modules"]["o"], config["modules"]["n"]);
}

/// A valid checkpoint of one module, for breaking.
struct Valid {
  std::map<std::string, testing::EncodedTensor> tensors;
  Json config;
};
Valid valid_module(const QuantScheme& scheme) {
  const QuantizedMatrix matrix = random_matrix(scheme, 6, 24, 9);
  const WrittenModule written{"m", scheme, true, 6, 24};
  return {encode_all(kNibbleFamily, *make_source(matrix), "m"), kNibbleFamily.quantization_config({&written, 1}, {})};
}

std::string error_of(const Valid& broken) {
  MemoryCheckpoint checkpoint;
  add_encoded(checkpoint, broken.tensors);
  checkpoint.quantization_config = broken.config;
  const auto opened = checkpoint.open(kNibbleFamily);
  return opened.ok() ? "" : opened.error().message;
}

TEST(NibbleFamily, EveryTensorIsNeededAndOfItsSize) {
  for (const QuantScheme& scheme : all_kinds()) {
    const Valid valid = valid_module(scheme);
    EXPECT_EQ(error_of(valid), "");
    for (const auto& [name, tensor] : valid.tensors) {
      Valid broken = valid;
      broken.tensors.erase(name);
      EXPECT_THAT(error_of(broken), HasSubstr(name));
      broken = valid;
      testing::EncodedTensor& larger = broken.tensors.at(name);
      ++larger.plan.shape[0];
      larger.bytes.resize(larger.bytes.size() / static_cast<std::size_t>(tensor.plan.shape[0]) *
                          static_cast<std::size_t>(larger.plan.shape[0]));
      EXPECT_THAT(error_of(broken), HasSubstr(name)) << to_string(scheme);
      broken = valid;
      broken.tensors.at(name).plan.element = ElementType::kBool;
      EXPECT_NE(error_of(broken), "") << name;
    }
  }
}

TEST(NibbleFamily, BrokenValuesAreNamed) {
  QuantScheme indexed = named("int3-g8-asym");
  indexed.scale->grouping = indexed.zero.grouping = Grouping::indexed(3);
  Valid broken = valid_module(indexed);
  broken.tensors.at("m.group_index").bytes[4] = std::byte{3};
  EXPECT_THAT(error_of(broken), HasSubstr("group_index"));
  QuantScheme bank = named("codebook3-g8");
  bank.table.bank_size = 5;
  broken = valid_module(bank);
  broken.tensors.at("m.selector").bytes[2] = std::byte{5};
  EXPECT_THAT(error_of(broken), HasSubstr("selector"));
  broken = valid_module(bank);
  std::memset(broken.tensors.at("m.shape").bytes.data(), 0xFF, 8);
  EXPECT_THAT(error_of(broken), HasSubstr("shape"));
}

TEST(NibbleFamily, BrokenSchemesAreNamed) {
  const Valid valid = valid_module(named("nf4-flat16-dq"));
  const std::string name = valid.config["schemes"].begin().key();
  const auto with = [&](const std::function<void(Json&)>& edit) {
    Valid broken = valid;
    edit(broken.config["schemes"][name]);
    return error_of(broken);
  };
  EXPECT_THAT(with([](Json& s) { s.erase("code"); }), HasSubstr("code"));
  EXPECT_THAT(with([](Json& s) { s["code"]["bits"] = 9; }), HasSubstr("bits"));
  EXPECT_THAT(with([](Json& s) { s["code"]["bits"] = 8; }), HasSubstr("table of 16"));
  EXPECT_THAT(with([](Json& s) { s["code"]["table"] = "nf5"; }), HasSubstr("nf5"));
  EXPECT_THAT(with([](Json& s) { s["scale"]["grouping"] = "g0"; }), HasSubstr("grouping"));
  EXPECT_THAT(with([](Json& s) { s["scale"]["grouping"] = "flat9223372036854775807"; }), HasSubstr("groups of"));
  EXPECT_THAT(with([](Json& s) { s["scale"]["nested"]["outer"] = "i64"; }), HasSubstr("i64"));
  EXPECT_THAT(with([](Json& s) { s["scale"]["nested"]["entries_per_outer"] = -1; }), HasSubstr("outer"));
  EXPECT_THAT(with([](Json& s) { s["scale"]["nested"]["code"]["bits"] = 4; }), HasSubstr("table of 256"));
  EXPECT_THAT(with([](Json& s) {
                s["zero"] = {{"grouping", "tensor"}, {"type", "f16"}, {"kind", "integer"}};
              }),
              HasSubstr("i16"));
  EXPECT_THAT(with([](Json& s) { s["post_scale"] = "x"; }), HasSubstr("post_scale"));
  EXPECT_THAT(with([](Json& s) { s = 3; }), HasSubstr("code"));
  Valid broken = valid;
  broken.config["version"] = 3;
  EXPECT_THAT(error_of(broken), HasSubstr("versions 1 to 2"));
  broken = valid;
  broken.config["modules"]["m"] = "other";
  EXPECT_THAT(error_of(broken), HasSubstr("schemes"));
}

TEST(NibbleFamily, BrokenSupplementsAreNamed) {
  const Valid valid = valid_module(named("int3-g8-sym-keep8:20%-rank2"));
  EXPECT_EQ(valid.config["version"], 2);
  const std::string name = valid.config["schemes"].begin().key();
  const auto with = [&](const std::function<void(Json&)>& edit) {
    Valid broken = valid;
    edit(broken.config["schemes"][name]["supplement"]);
    return error_of(broken);
  };
  EXPECT_THAT(with([](Json& s) { s["rank"] = -1; }), HasSubstr("rank"));
  EXPECT_THAT(with([](Json& s) { s["rank"] = INT64_MAX; }), HasSubstr("rank"));
  EXPECT_THAT(with([](Json& s) { s["rank"] = 3; }), HasSubstr("left"));
  EXPECT_THAT(with([](Json& s) { s["kept"]["of_10000"] = 10001; }), HasSubstr("10001"));
  EXPECT_THAT(with([](Json& s) { s["kept"]["type"] = "f32"; }), HasSubstr("f32"));
  EXPECT_THAT(with([](Json& s) { s = Json::object(); }), HasSubstr("supplement"));
  Valid broken = valid;
  std::memset(broken.tensors.at("m.kept.columns").bytes.data(), 0, broken.tensors.at("m.kept.columns").bytes.size());
  EXPECT_THAT(error_of(broken), HasSubstr("kept.columns"));
  broken = valid;
  broken.tensors.at("m.kept.columns").bytes[3] = std::byte{0xFF};
  EXPECT_THAT(error_of(broken), HasSubstr("kept.columns"));
  Valid scalar = valid_module(named("int3-g8-sym-keep8:1%"));
  scalar.tensors.at("m.kept.columns").plan.shape.clear();
  EXPECT_EQ(error_of(scalar), "");
}

TEST(NibbleFamily, TablesMustFitTheirType) {
  QuantizedMatrix matrix = random_matrix(named("codebook4-row"), 2, 16, 1);
  matrix.tables[3] = 1.0f / 3.0f;
  const Status status = kNibbleFamily.encode(matrix, "m", [](auto, auto, auto) { return Status(); });
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message, HasSubstr("f16"));
}

}  // namespace
}  // namespace nibble
