#include "tensor/ggml_schemes.h"

#include <vector>

#include "format/ggml_blocks.h"

namespace nibble {
namespace {

/// One stored scale per `size` columns.
PlaneFormat plain(int size, ElementType element = ElementType::kF16) {
  return {Grouping::columns(size), element, false, std::nullopt};
}

/// One code per `size` columns, `per_outer` of them under one f16.
PlaneFormat nested(int size, CodeFormat code, int per_outer) {
  return {Grouping::columns(size), ElementType::kF16, false,
          NestedFormat{code, ElementType::kF16, per_outer, false, false}};
}

QuantScheme with_scale(CodeFormat code, PlaneFormat scale) {
  QuantScheme scheme;
  scheme.code = code;
  scheme.scale = scale;
  return scheme;
}

QuantScheme with_offset(CodeFormat code, PlaneFormat scale, PlaneFormat offset) {
  QuantScheme scheme = with_scale(code, scale);
  scheme.offset = offset;
  return scheme;
}

/// Scales of the form scale * (0.5 + code) * factor: IQ2 and IQ3_XXS.
QuantScheme with_half_steps(CodeFormat code, int size, float factor) {
  QuantScheme scheme = with_scale(code, nested(size, CodeFormat::indexed(TableKind::kHalfStep, 4), 256 / size));
  scheme.post_scale = factor;
  return scheme;
}

QuantScheme nvfp4() {
  PlaneFormat scale = plain(16);
  scale.nested = NestedFormat{CodeFormat::floating(ElementType::kE4m3), ElementType::kF32, 0, false, false};
  return with_scale(CodeFormat::floating(ElementType::kF4), scale);
}

/// The rule for k-quants: 256 weights share one f16 scale (and one f16 min, kept negated as the offset's outer scale).
QuantScheme k_quant(int bits, int size, int scale_bits) {
  const PlaneFormat plane = nested(size, CodeFormat::integer(scale_bits, 0), 256 / size);
  return with_offset(CodeFormat::integer(bits, 0), plane, plane);
}

std::vector<GgmlScheme> make_schemes() {
  using Code = CodeFormat;
  const auto odd = [](int bits, int size) { return nested(size, Code::indexed(TableKind::kOdd, bits), 256 / size); };
  const Code iq1 = Code::indexed(TableKind::kIq1, 3);
  const Code iq2 = Code::indexed(TableKind::kIq2, 3);
  const Code iq4 = Code::indexed(TableKind::kIq4, 4);
  std::vector<GgmlScheme> out;
  const auto add = [&out](int type, QuantScheme scheme) {
    out.push_back({type, find_ggml_block_format(type)->name, std::move(scheme)});
  };
  add(GgmlF32::kId, QuantScheme::of_float(ElementType::kF32));
  add(GgmlF16::kId, QuantScheme::of_float(ElementType::kF16));
  add(GgmlQ4_0::kId, with_scale(Code::integer(4, 8), plain(32)));
  add(GgmlQ4_1::kId, with_offset(Code::integer(4, 0), plain(32), plain(32)));
  add(GgmlQ5_0::kId, with_scale(Code::integer(5, 16), plain(32)));
  add(GgmlQ5_1::kId, with_offset(Code::integer(5, 0), plain(32), plain(32)));
  add(GgmlQ8_0::kId, with_scale(Code::integer(8, 128), plain(32)));
  add(GgmlQ2_K::kId, k_quant(2, 16, 4));
  add(GgmlQ3_K::kId, with_scale(Code::integer(3, 4), nested(16, Code::integer(6, 32), 16)));
  add(GgmlQ4_K::kId, k_quant(4, 32, 6));
  add(GgmlQ5_K::kId, k_quant(5, 32, 6));
  add(GgmlQ6_K::kId, with_scale(Code::integer(6, 32), nested(16, Code::integer(8, 128), 16)));
  add(GgmlIq2Xxs::kId, with_half_steps(iq2, 32, 0.25f));
  add(GgmlIq2Xs::kId, with_half_steps(iq2, 16, 0.25f));
  add(GgmlIq3Xxs::kId, with_half_steps(Code::indexed(TableKind::kIq3Xxs, 4), 32, 0.5f));
  add(GgmlIq1S::kId, with_scale(iq1, odd(3, 32)));
  add(GgmlIq4Nl::kId, with_scale(iq4, plain(32)));
  add(GgmlIq3S::kId, with_scale(Code::indexed(TableKind::kIq3S, 4), odd(4, 32)));
  add(GgmlIq2S::kId, with_half_steps(Code::indexed(TableKind::kIq2S, 3), 16, 0.25f));
  add(GgmlIq4Xs::kId, with_scale(iq4, nested(32, Code::integer(6, 32), 8)));
  add(GgmlIq1M::kId, with_scale(iq1, odd(3, 16)));
  add(GgmlBf16::kId, QuantScheme::of_float(ElementType::kBf16));
  add(GgmlTq1_0::kId, with_scale(Code::indexed(TableKind::kTernary, 2), plain(256)));
  add(GgmlTq2_0::kId, with_scale(Code::integer(2, 1), plain(256)));
  add(GgmlMxfp4::kId, with_scale(Code::floating(ElementType::kF4), plain(32, ElementType::kE8m0)));
  add(GgmlNvfp4::kId, nvfp4());
  add(GgmlQ1_0::kId, with_scale(Code::indexed(TableKind::kBinary, 1), plain(128)));
  add(GgmlQ2_0::kId, with_scale(Code::integer(2, 1), plain(64)));
  return out;
}

}  // namespace

std::span<const GgmlScheme> ggml_schemes() {
  static const std::vector<GgmlScheme> schemes = make_schemes();
  return schemes;
}

Result<QuantScheme> ggml_scheme(int type) {
  for (const GgmlScheme& known : ggml_schemes()) {
    if (known.type == type) return known.scheme;
  }
  return fail(ErrorCode::kUnsupported, "ggml type {} holds no matrix that Nibble can read", type);
}

std::optional<int> ggml_type_of(const QuantScheme& scheme) {
  for (const GgmlScheme& known : ggml_schemes()) {
    if (known.scheme == scheme) return known.type;
  }
  return std::nullopt;
}

}  // namespace nibble
