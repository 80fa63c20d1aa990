#!/usr/bin/env python3
"""bitsandbytes: what transformers saves with it is read by Nibble, what Nibble writes is loaded by both on a CPU."""
import bitsandbytes
import torch
import transformers
from bitsandbytes.functional import dequantize_4bit
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

import nibble_program as nibble
import scratch
from agreement import FROM_NIBBLE, TO_NIBBLE, Report, logits_agree, logits_distance, weights_agree
from models import make_tiny, smollm2, torch_logits

LIBRARY = f"bitsandbytes {bitsandbytes.__version__}, transformers {transformers.__version__}"
# case, arguments of transformers' configuration, the scheme that Nibble quantizes to, also on SmolLM2
CASES = [
    ("nf4", dict(load_in_4bit=True, bnb_4bit_quant_type="nf4"), "nf4-g64-scale:f32", True),
    ("nf4, double quantization", dict(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True),
     "nf4-g64-dq", True),
    ("fp4", dict(load_in_4bit=True, bnb_4bit_quant_type="fp4"), "fp4-g64-scale:f32", False),
    ("fp4, double quantization", dict(load_in_4bit=True, bnb_4bit_quant_type="fp4", bnb_4bit_use_double_quant=True),
     "fp4-g64-dq", False),
    ("nf4, stored as bfloat16", dict(load_in_4bit=True, bnb_4bit_quant_type="nf4",
                                     bnb_4bit_quant_storage=torch.bfloat16), None, False),
    ("LLM.int8()", dict(load_in_8bit=True), None, True),
]


def dequantized(model):
    """The weights of the quantized layers, as the library gives them."""
    weights = {}
    for name, module in model.named_modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            weights[name + ".weight"] = dequantize_4bit(module.weight.data, module.weight.quant_state)
        elif isinstance(module, bitsandbytes.nn.Linear8bitLt):
            weight = module.weight
            weights[name + ".weight"] = bitsandbytes.functional.int8_vectorwise_dequant(weight.CB, weight.SCB)
    return weights


def quantized_by_library(model, options, folder, dtype):
    """Quantized while it is loaded in `dtype`, and saved."""
    config = BitsAndBytesConfig(bnb_4bit_compute_dtype=dtype, **options)
    network = AutoModelForCausalLM.from_pretrained(model.folder, quantization_config=config, dtype=dtype)
    network.save_pretrained(folder)
    return network


def quantized_by_nibble(model, options, scheme, folder):
    """LLM.int8(), whose grid no other family has, goes through Nibble's own family and back."""
    if scheme is not None:
        nibble.quantize(model.folder, folder / "out", scheme, "bitsandbytes")
    else:
        quantized_by_library(model, options, folder / "theirs", model.dtype)
        nibble.convert(folder / "theirs", folder / "hub", "nibble")
        nibble.convert(folder / "hub", folder / "out", "bitsandbytes")


def load(folder, dtype):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()


def logits_in_float32(folder, model):
    """The library's own layers on float32. Two of its defaults on a CPU are turned off: the kernel for CPUs with
    AVX512-BF16, which rounds to BF16 whatever the input is, and LLM.int8()'s rounding of the inputs to int8, which the
    library leaves out in training."""
    network = load(folder, torch.float32)
    for weight in network.parameters():  # what is not quantized may be loaded as it is stored
        if weight.is_floating_point() and not isinstance(weight, bitsandbytes.nn.Params4bit):
            weight.data = weight.data.float()
    for module in network.modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            module.support_avx512bf16_for_cpu = False
            module.compute_dtype = torch.float32
        elif isinstance(module, bitsandbytes.nn.Linear8bitLt):
            module.train()
    return torch_logits(network, model.ids)


def agree(folder, model):
    weights = weights_agree(nibble.dequantized(folder), dequantized(load(folder, torch.float32)))
    return weights, logits_agree(nibble.logits(folder, model.ids), logits_in_float32(folder, model))


def library_wrote(model, options):
    with scratch.folder() as folder:
        written = dequantized(quantized_by_library(model, options, folder / "out", torch.float32))
        weights_agree(nibble.dequantized(folder / "out"), written)
        return agree(folder / "out", model)


def nibble_wrote(model, options, scheme):
    with scratch.folder() as folder:
        quantized_by_nibble(model, options, scheme, folder)
        return agree(folder / "out", model)


def with_defaults(model, options):
    """In BF16, with the library's own choice of kernels: how far Nibble is from it, and how far the library from itself."""
    with scratch.folder() as folder:
        quantized_by_library(model, options, folder / "out", torch.bfloat16)
        theirs = torch_logits(load(folder / "out", torch.bfloat16), model.ids)
        ours = logits_distance(nibble.logits(folder / "out", model.ids), theirs)
        itself = logits_distance(logits_in_float32(folder / "out", model), theirs)
        return f"the library in float32 is as far from it: {itself}", ours


def main():
    report = Report("bitsandbytes", __doc__)
    with scratch.folder() as folder:
        tiny = make_tiny(folder / "tiny")
        large = None if report.arguments.no_smollm2 else smollm2()
        for case, options, scheme, main_type in CASES:
            for model in [tiny] + [large] * (large is not None and main_type):
                report.check(case, TO_NIBBLE, model.name, LIBRARY, lambda: library_wrote(model, options))
                report.check(case, FROM_NIBBLE, model.name, LIBRARY, lambda: nibble_wrote(model, options, scheme))
        for case, options, _, main_type in CASES if large is not None else []:
            if main_type:
                report.check(case + ", in BF16 as transformers loads it", TO_NIBBLE, large.name, LIBRARY,
                             lambda: with_defaults(large, options), bound=False)
    report.finish()


if __name__ == "__main__":
    main()
