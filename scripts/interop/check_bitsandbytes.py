#!/usr/bin/env python3
"""bitsandbytes: what transformers saves with it is read by Nibble, what Nibble writes is loaded by both on a CPU."""
import bitsandbytes
import torch
import transformers
from bitsandbytes.functional import dequantize_4bit
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

import nibble_program as nibble
import scratch
from agreement import FROM_NIBBLE, TO_NIBBLE, Report, logits_agree, weights_agree
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


def library_wrote(model, options):
    with scratch.folder() as folder:
        config = BitsAndBytesConfig(bnb_4bit_compute_dtype=torch.float32, **options)
        quantized = AutoModelForCausalLM.from_pretrained(model.folder, quantization_config=config, dtype=model.dtype)
        quantized.save_pretrained(folder / "out")
        agreed = weights_agree(nibble.dequantized(folder / "out"), dequantized(quantized))
        loaded = AutoModelForCausalLM.from_pretrained(folder / "out", dtype=torch.float32)
        return agreed, compare_logits(folder / "out", loaded, model)


def nibble_wrote(model, options, scheme):
    """Quantized by Nibble; LLM.int8(), whose grid no other family has, goes through Nibble's own family and back."""
    with scratch.folder() as folder:
        if scheme is not None:
            nibble.quantize(model.folder, folder / "out", scheme, "bitsandbytes")
        else:
            config = BitsAndBytesConfig(**options)
            quantized = AutoModelForCausalLM.from_pretrained(model.folder, quantization_config=config, dtype=model.dtype)
            quantized.save_pretrained(folder / "theirs")
            nibble.convert(folder / "theirs", folder / "hub", "nibble")
            nibble.convert(folder / "hub", folder / "out", "bitsandbytes")
        loaded = AutoModelForCausalLM.from_pretrained(folder / "out", dtype=torch.float32)
        agreed = weights_agree(nibble.dequantized(folder / "out"), dequantized(loaded))
        return agreed, compare_logits(folder / "out", loaded, model)


def compare_logits(folder, loaded, model):
    """In float32: the 4-bit layers are told not to round to the type that they were quantized from, and their kernels for
    AVX512-BF16 are left out; LLM.int8(), which quantizes its inputs, is replaced by the weights that it stands for."""
    values = dequantized(loaded)
    for name, module in list(loaded.named_modules()):
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            module.support_avx512bf16_for_cpu = False
            module.compute_dtype = module.weight.quant_state.dtype = torch.float32
        elif isinstance(module, bitsandbytes.nn.Linear8bitLt):
            plain = torch.nn.Linear(module.in_features, module.out_features, bias=False)
            plain.weight.data = values[name + ".weight"].float()
            loaded.set_submodule(name, plain)
    for weight in loaded.parameters():  # what is not quantized stays BF16 while it is loaded
        if weight.is_floating_point() and not isinstance(weight, bitsandbytes.nn.Params4bit):
            weight.data = weight.data.float()
    return logits_agree(nibble.logits(folder, model.ids), torch_logits(loaded.eval(), model.ids))


def main():
    report = Report("bitsandbytes", __doc__)
    with scratch.folder() as folder:
        tiny = make_tiny(folder / "tiny")
        large = None if report.arguments.no_smollm2 else smollm2()
        for case, options, scheme, main_type in CASES:
            for model in [tiny] + [large] * (large is not None and main_type):
                report.check(case, TO_NIBBLE, model.name, LIBRARY, lambda: library_wrote(model, options))
                report.check(case, FROM_NIBBLE, model.name, LIBRARY, lambda: nibble_wrote(model, options, scheme))
    report.finish()


if __name__ == "__main__":
    main()
