#!/usr/bin/env python3
"""FP8 with blocks (weight_scale_inv): what transformers' quantizer makes is read by Nibble, what Nibble writes is
dequantized by transformers while it loads. (compressed-tensors' FP8 is in check_compressed_tensors.py.)"""
import json
import shutil
import types

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, FineGrainedFP8Config
from transformers.integrations.finegrained_fp8 import Fp8Dequantize, Fp8Quantize

import nibble_program as nibble
import scratch
from agreement import FROM_NIBBLE, TO_NIBBLE, Report, logits_agree, weights_agree
from models import linear_names, make_tiny, smollm2, torch_logits

LIBRARY = f"transformers {transformers.__version__}"
# case: transformers' configuration, the scheme that Nibble quantizes to (None: through its own family and back)
CASES = {
    "block 64x64": (dict(weight_block_size=(64, 64)), "fp8-e4m3-block64x64-scale:f32", True),
    "block 128x128": (dict(weight_block_size=(128, 128)), "fp8-e4m3-block128x128-scale:f32", False),
    "block 32x128": (dict(weight_block_size=(32, 128)), None, False),
    "per tensor": (dict(weight_block_size=None), "fp8-e4m3-tensor-scale:f32", True),
    "block 128x128, scales of powers of two": (dict(weight_block_size=(128, 128), scale_fmt="ue8m0"), None, False),
}


def write(model, options, folder):
    """transformers quantizes on a GPU only; its operation runs anywhere. Gives the weights as it dequantizes them."""
    config = FineGrainedFP8Config(modules_to_not_convert=["lm_head"], **options)
    operation = Fp8Quantize(types.SimpleNamespace(quantization_config=config))
    network = model.load()
    tensors = dict(network.state_dict())
    if network.config.tie_word_embeddings:
        del tensors["lm_head.weight"]
    weights = {}
    for name in linear_names(network):
        name += ".weight"
        made = operation.convert({name: tensors[name]})
        tensors.update(made)
        back = Fp8Dequantize(None)._dequantize_one(made[name], made[name + "_scale_inv"], torch.float32)
        weights[name] = back
    shutil.copytree(model.folder, folder, ignore=shutil.ignore_patterns("*.safetensors*"))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors",
              metadata={"format": "pt"})
    settings = json.loads((folder / "config.json").read_text())
    settings["quantization_config"] = config.to_dict()
    (folder / "config.json").write_text(json.dumps(settings))
    return weights


def library_wrote(model, options):
    with scratch.folder() as folder:
        weights = write(model, options, folder / "out")
        return weights_agree(nibble.dequantized(folder / "out"), weights), load(folder / "out", model)[1]


def load(folder, model):
    config = FineGrainedFP8Config(dequantize=True)
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, quantization_config=config).eval()
    weights = {name + ".weight": network.get_submodule(name).weight.data for name in linear_names(network)}
    return weights, logits_agree(nibble.logits(folder, model.ids), torch_logits(network, model.ids))


def nibble_wrote(model, options, scheme):
    with scratch.folder() as folder:
        if scheme is not None:
            nibble.quantize(model.folder, folder / "out", scheme, "fp8")
        else:
            write(model, options, folder / "theirs")
            nibble.convert(folder / "theirs", folder / "hub", "nibble")
            nibble.convert(folder / "hub", folder / "out", "fp8")
        weights, logits = load(folder / "out", model)
        return weights_agree(nibble.dequantized(folder / "out"), weights), logits


def main():
    report = Report("FP8", __doc__)
    with scratch.folder() as folder:
        tiny = make_tiny(folder / "tiny")
        large = None if report.arguments.no_smollm2 else smollm2()
        for case, (options, scheme, main_type) in CASES.items():
            for model in [tiny] + [large] * (large is not None and main_type):
                report.check(case, TO_NIBBLE, model.name, LIBRARY, lambda: library_wrote(model, options))
                report.check(case, FROM_NIBBLE, model.name, LIBRARY, lambda: nibble_wrote(model, options, scheme))
    for direction in (TO_NIBBLE, FROM_NIBBLE):
        report.empty("blocks at the edge that are not whole", direction, LIBRARY,
                     "transformers takes the block size from the grid and refuses sizes that it does not divide")
        report.empty("per channel (fbgemm)", direction, LIBRARY, "transformers ends with 'Using fbgemm fp8 quantization "
                     "requires a GPU or XPU'; the same numbers are checked as compressed-tensors'")
    report.finish()


if __name__ == "__main__":
    main()
