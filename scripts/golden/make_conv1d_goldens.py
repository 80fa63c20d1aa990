#!/usr/bin/env python3
"""Writes tests/golden/families/conv1d.json: one GPT-2 layer as transformers saves it after quantizing with bitsandbytes.

Needs torch, transformers and bitsandbytes (a CPU is enough). GPT-2's Conv1D keeps weights as [inputs, outputs]; the
quantized tensors lie the other way around, like those of any other layer. Rows are a whole block of 64: shorter ones
bitsandbytes 0.50.2 dequantizes wrongly on a CPU, all with the scale of the first block.
"""
import json
import pathlib
import tempfile

import bitsandbytes
import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, GPT2Config, GPT2LMHeadModel

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/families/conv1d.json"
MODULE = "transformer.h.0.mlp.c_fc"
DTYPES = {torch.float32: "F32", torch.uint8: "U8", torch.int8: "I8"}
METHODS = {"nf4": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "int8": {"load_in_8bit": True}}


def stored(tensor):
    return {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "hex": tensor.numpy().tobytes().hex()}


def dequantized(weight):
    if isinstance(weight, bitsandbytes.nn.Params4bit):
        return bitsandbytes.functional.dequantize_4bit(weight.data, weight.quant_state)
    return bitsandbytes.functional.int8_vectorwise_dequant(weight.data, weight.SCB)


def quantize(source, folder, method):
    model = AutoModelForCausalLM.from_pretrained(source, quantization_config=BitsAndBytesConfig(**METHODS[method]),
                                                 dtype=torch.float32, device_map="cpu")
    model.save_pretrained(folder)
    tensors = {name: stored(tensor) for name, tensor in load_file(folder / "model.safetensors").items()
               if name.startswith(MODULE)}
    config = json.loads((folder / "config.json").read_text())["quantization_config"]
    values = dequantized(model.get_submodule(MODULE).weight)
    return {"case": method, "quantization_config": config, "tensors": tensors, "dequantized": stored(values.float())}


def main():
    torch.manual_seed(3)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=32, n_positions=16, n_embd=64, n_inner=16, n_layer=1, n_head=2))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        model.save_pretrained(folder / "float")
        golden = {
            "about": "A Conv1D layer of GPT-2 with 64 inputs and 16 outputs. float is its weight, [64, 16]; each case has "
                     "the tensors that the library saved and the values [16, 64] that it dequantizes them to. Tensors "
                     "are {dtype, shape, hex}.",
            "source": f"scripts/golden/make_conv1d_goldens.py, transformers {transformers.__version__}, bitsandbytes "
                      f"{bitsandbytes.__version__}, torch {torch.__version__}",
            "module": MODULE,
            "float": stored(model.get_submodule(MODULE).weight.detach()),
            "cases": [quantize(folder / "float", folder / method, method) for method in METHODS],
        }
    OUT.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
