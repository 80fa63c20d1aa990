#!/usr/bin/env python3
"""compressed-tensors: what the library compresses is read by Nibble, what Nibble writes is loaded by transformers and
decompressed by the library, in every format that it has."""
import json

import compressed_tensors
import torch
import transformers
from compressed_tensors.compressors import BaseCompressor, ModelCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationConfig, QuantizationScheme
from compressed_tensors.quantization import apply_quantization_config
from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam
from transformers import AutoConfig, AutoModelForCausalLM

import nibble_program as nibble
import scratch
from agreement import FROM_NIBBLE, TO_NIBBLE, Report, logits_agree, weights_agree
from models import linear_names, make_tiny, smollm2, torch_logits

LIBRARY = f"compressed-tensors {compressed_tensors.__version__}"
BOTH = f"{LIBRARY}, transformers {transformers.__version__}"


def integer(bits, **rest):
    return dict(num_bits=bits, type="int", **rest)


def floating(bits, **rest):
    return dict(num_bits=bits, type="float", **rest)


PER_TOKEN = dict(strategy="token", dynamic=True)
NVFP4 = floating(4, strategy="tensor_group", group_size=16, scale_dtype="torch.float8_e4m3fn")
MX = dict(strategy="group", group_size=32, scale_dtype="torch.uint8", zp_dtype="torch.uint8")
# case: arguments of the weights, of the activations, the scheme that Nibble quantizes to (None: their checkpoint goes
# through Nibble's own family and back), also on SmolLM2. Every row of what is not listed again is compared as well.
CASES = {
    **{f"pack-quantized, {b} bits, group 32": (integer(b, group_size=32), None, f"int{b}-g32-sym", b in (4, 8))
       for b in (2, 3, 4, 5, 6, 7, 8)},
    **{f"pack-quantized, {b} bits, group 64, asymmetric":
       (integer(b, group_size=64, symmetric=False), None, f"int{b}-g64-asym", b == 4) for b in (3, 4, 5, 8)},
    "pack-quantized, 4 bits, channel": (integer(4, strategy="channel"), None, "int4-channel-sym", False),
    "pack-quantized, 4 bits, channel, asymmetric": (integer(4, strategy="channel", symmetric=False), None,
                                                    "int4-channel-asym", False),
    "pack-quantized, 4 bits, tensor": (integer(4, strategy="tensor"), None, "int4-tensor-sym", False),
    "pack-quantized, 4 bits, actorder weight": (integer(4, group_size=32, actorder="weight"), None, None, False),
    "int-quantized, W8A8": (integer(8, strategy="channel"), integer(8, **PER_TOKEN), "int8-channel-sym+dyn-token", True),
    "int-quantized, W8A8, asymmetric": (integer(8, strategy="channel", symmetric=False), integer(8, **PER_TOKEN), None,
                                        False),
    "int-quantized, W8A8 static": (integer(8, strategy="tensor"), integer(8, strategy="tensor"), None, False),
    "int-quantized, W4A8": (integer(4, group_size=32), integer(8, **PER_TOKEN), "int4-g32-sym+dyn-token", False),
    "float-quantized, channel": (floating(8, strategy="channel"), floating(8, **PER_TOKEN), None, True),
    "float-quantized, tensor, static": (floating(8, strategy="tensor"), floating(8, strategy="tensor"), None, False),
    "float-quantized, block 128x128": (floating(8, strategy="block", block_structure=[128, 128]),
                                       floating(8, strategy="group", group_size=128, dynamic=True), None, False),
    "naive-quantized, FP8 channel": (floating(8, strategy="channel"), None, "fp8-e4m3-channel", False),
    "naive-quantized, FP8 tensor": (floating(8, strategy="tensor"), None, "fp8-e4m3-tensor", False),
    "naive-quantized, FP8 group 64": (floating(8, group_size=64), None, "fp8-e4m3-g64", False),
    "naive-quantized, FP8 block 64x64": (floating(8, strategy="block", block_structure=[64, 64]), None,
                                         "fp8-e4m3-block64x64", False),
    "nvfp4-pack-quantized": (NVFP4, None, None, True),
    "nvfp4-pack-quantized, activations": (NVFP4, {**NVFP4, "dynamic": "local"}, None, False),
    "mxfp4-pack-quantized": (floating(4, **MX), None, None, True),
    "mxfp8-quantized": (floating(8, **MX), None, None, False),
}
MIXED = "two groups: int8 channel and int4 group 32 asymmetric"
MXFP6 = "mxfp6-pack-quantized"


def configuration(weights, activations):
    scheme = dict(targets=["Linear"], weights=QuantizationArgs(**weights),
                  input_activations=activations and QuantizationArgs(**activations))
    return QuantizationConfig(config_groups={"group_0": QuantizationScheme(**scheme)}, ignore=["lm_head"])


def mixed_configuration():
    groups = {"group_0": QuantizationScheme(targets=["re:.*self_attn.*"],
                                            weights=QuantizationArgs(**integer(8, strategy="channel"))),
              "group_1": QuantizationScheme(targets=["re:.*mlp.*"],
                                            weights=QuantizationArgs(**integer(4, group_size=32, symmetric=False)))}
    return QuantizationConfig(config_groups=groups, ignore=["lm_head"])


def limits(weight, args):
    """Smallest and largest weight under each scale."""
    if args.strategy in ("group", "tensor_group"):
        groups = weight.unflatten(-1, (-1, args.group_size))
        return groups.amin(-1), groups.amax(-1)
    if args.strategy == "block":
        height, width = args.block_structure
        padded = torch.nn.functional.pad(weight, (0, -weight.shape[1] % width, 0, -weight.shape[0] % height))
        blocks = padded.unflatten(0, (-1, height)).unflatten(2, (-1, width))
        return blocks.amin((1, 3)), blocks.amax((1, 3))
    if args.strategy == "channel":
        return weight.amin(1, keepdim=True), weight.amax(1, keepdim=True)
    return weight.amin().reshape(1), weight.amax().reshape(1)


@torch.no_grad()
def calibrate(module):
    """Round-to-nearest: scales from the extremes, activations from a made-up range."""
    args = module.quantization_scheme.weights
    low, high = limits(module.weight, args)
    shared = None
    if args.strategy == "tensor_group":
        shared = generate_gparam(low.amin(), high.amax())
        module.weight_global_scale.copy_(shared)
    scale, zero = calculate_qparams(low, high, args, global_scale=shared)
    module.weight_scale.copy_(scale)
    module.weight_zero_point.copy_(zero)
    for name in ("input_scale", "input_global_scale"):
        if hasattr(module, name):
            getattr(module, name).fill_(0.0625)


def compress(model, config, folder):
    """Quantizes the model's weights, saves it, and gives the weights as the library decompresses them."""
    network = model.load()
    apply_quantization_config(network, config)
    names = linear_names(network)
    for name in names:
        calibrate(network.get_submodule(name))
    compressor = ModelCompressor.from_pretrained_model(network)
    compressor.compress_model(network)
    network.save_pretrained(folder)
    compressor.update_config(folder)
    compressor.decompress_model(network)
    return {name + ".weight": network.get_submodule(name).weight.data for name in names}


def load_with_transformers(folder):
    """The network with its weights as the library decompresses them on the first forward pass; and the reader's name."""
    format_name = json.loads((folder / "config.json").read_text())["quantization_config"]["format"]
    dtype = torch.bfloat16 if "fp" in format_name else torch.float32  # what FP4 and MX are decompressed to
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    torch_logits(network, [1])
    return network


def load_with_library(folder):
    """The same by the library alone, tensor by tensor: for what transformers does not load."""
    config = AutoConfig.from_pretrained(folder)
    quantization = {key: value for key, value in config.quantization_config.items()
                    if key in QuantizationConfig.model_fields}
    del config.quantization_config
    network = AutoModelForCausalLM.from_config(config).eval()
    apply_quantization_config(network, QuantizationConfig.model_validate(quantization))
    schemes = {name: network.get_submodule(name).quantization_scheme for name in linear_names(network)}
    tensors = nibble.tensors_of(folder)
    values = {name: tensor for name, tensor in tensors.items() if name.rsplit(".", 1)[0] not in schemes}
    for name, scheme in schemes.items():
        own = {key[len(name) + 1:]: tensor for key, tensor in tensors.items() if key.startswith(name + ".")}
        compressor = BaseCompressor.get_value_from_registry(scheme.format)
        values[name + ".weight"] = compressor.decompress(own, scheme)["weight"]
    network = AutoModelForCausalLM.from_config(config).eval()
    missing = network.load_state_dict({name: value.float() for name, value in values.items()}, strict=False).missing_keys
    assert all("lm_head" in name and config.tie_word_embeddings for name in missing), missing
    for name in schemes:
        network.get_submodule(name).weight.data = values[name + ".weight"]
    return network


def agree(folder, model, network, compare_logits):
    """What the library holds after loading a folder, and what Nibble reads from it."""
    ours = nibble.dequantized(folder)
    theirs = {name + ".weight": network.get_submodule(name).weight.data for name in linear_names(network)}
    agreed = weights_agree(ours, theirs)
    if not compare_logits:
        return agreed, None
    values = torch.nn.Module.float(network).state_dict()  # the network's own float() refuses
    exact = all(torch.equal(weight, values[name]) for name, weight in ours.items())
    return agreed, logits_agree(nibble.logits(folder, model.ids), torch_logits(network, model.ids), exact)


def library_wrote(model, config, load, compare_logits):
    with scratch.folder() as folder:
        weights = compress(model, config, folder / "out")
        agreed = weights_agree(nibble.dequantized(folder / "out"), weights)
        return agreed, agree(folder / "out", model, load(folder / "out"), True)[1] if compare_logits else None


def nibble_wrote(model, config, scheme, load, compare_logits):
    with scratch.folder() as folder:
        if scheme is not None:
            nibble.quantize(model.folder, folder / "out", scheme, "compressed-tensors")
        else:
            compress(model, config, folder / "theirs")
            nibble.convert(folder / "theirs", folder / "hub", "nibble")
            nibble.convert(folder / "hub", folder / "out", "compressed-tensors")
        return agree(folder / "out", model, load(folder / "out"), compare_logits)


def loads(model, config):
    """Does transformers load what the library itself wrote?"""
    with scratch.folder() as folder:
        compress(model, config, folder / "out")
        load_with_transformers(folder / "out")


def refused(model, config, word):
    """Nibble says by name what it does not read."""
    with scratch.folder() as folder:
        compress(model, config, folder / "out")
        try:
            nibble.dequantized(folder / "out")
        except nibble.NibbleError as error:
            if word in str(error):
                return f"refused by name ({word})", None
            raise
        raise AssertionError("it was read")


def main():
    report = Report("compressed-tensors", __doc__)
    with scratch.folder() as folder:
        tiny = make_tiny(folder / "tiny")
        large = None if report.arguments.no_smollm2 else smollm2()
        cases = {**{case: (configuration(*c[:2]), *c[1:]) for case, c in CASES.items()},
                 MIXED: (mixed_configuration(), None, None, False)}
        for case, (config, activations, scheme, main_type) in cases.items():
            weight_only = activations is None
            packed_zeros = "pack" in case and "asymmetric" in case or case == MIXED
            load, reader = (load_with_library, LIBRARY) if packed_zeros else (load_with_transformers, BOTH)
            for model in [tiny] + [large] * (large is not None and main_type):
                report.check(case, TO_NIBBLE, model.name, reader, lambda: library_wrote(model, config, load, weight_only))
                report.check(case, FROM_NIBBLE, model.name, reader,
                             lambda: nibble_wrote(model, config, scheme, load, weight_only))
        report.check(MXFP6, TO_NIBBLE, tiny.name, LIBRARY,
                     lambda: refused(tiny, configuration(floating(6, **MX), None), "mxfp6"))
        try:
            loads(tiny, cases["pack-quantized, 4 bits, group 64, asymmetric"][0])
        except RuntimeError as error:
            report.empty("pack-quantized, asymmetric, loaded by transformers", FROM_NIBBLE, BOTH,
                         "transformers refuses the library's own files too: without data, the library does not pack the "
                         "zero points, and their shapes differ")
    for direction in (TO_NIBBLE, FROM_NIBBLE):
        report.empty("pack-quantized, actorder group", direction, LIBRARY,
                     "the library has refused actorder group since August 2026; older files are in tests/golden/families")
    report.finish()


if __name__ == "__main__":
    main()
