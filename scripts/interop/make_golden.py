#!/usr/bin/env python3
"""Writes tests/golden/interop: one layer of the tiny model as each library wrote it, and what the library reads from it.

    FOLDER/bin/python scripts/interop/make_golden.py [CASE...]

FOLDER is what scripts/interop/setup_venv.sh made. A case is a folder with config.json, model.safetensors (the layer only)
and expected.json: the library and its version, and for the layer the type that the library returns, the shape, the SHA-256
of all values in that type (little-endian, row-major, -0 as 0) and the first of them. tests/integration/interop_golden_test.cc
reads them.
"""
import hashlib
import json
import pathlib
import sys

import torch
from safetensors import safe_open
from safetensors.torch import save_file

import check_auto_round
import check_awq
import check_bitsandbytes
import check_compressed_tensors
import check_fp8
import check_gptq
import scratch
from models import add_tokenizer, linear_names, make_tiny

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/interop"
LAYER = "model.layers.0.self_attn.k_proj"


def gptq(case):
    return check_gptq.LIBRARY, lambda model, folder: check_gptq.write(model, check_gptq.CASES[case][:5], folder / "out")


def awq(case):
    return check_awq.LIBRARY, lambda model, folder: check_awq.write(model, check_awq.CASES[case], folder / "out")


def auto_round(case):
    def write(model, folder):
        add_tokenizer(model.folder)
        check_auto_round.write(model, check_auto_round.CASES[case], folder)
        network = check_auto_round.AutoModelForCausalLM.from_pretrained(folder / "out", dtype=torch.float32).eval()
        return check_auto_round.dequantized(network, linear_names(model.load()))

    return check_auto_round.LIBRARY, write


def bitsandbytes(case):
    options = next(options for name, options, *_ in check_bitsandbytes.CASES if name == case)

    def write(model, folder):
        network = check_bitsandbytes.quantized_by_library(model, options, folder / "out", torch.float32)
        return check_bitsandbytes.dequantized(network)

    return check_bitsandbytes.LIBRARY, write


def compressed_tensors(case):
    config = check_compressed_tensors.configuration(*check_compressed_tensors.CASES[case][:2])
    return (check_compressed_tensors.LIBRARY,
            lambda model, folder: check_compressed_tensors.compress(model, config, folder / "out"))


def fp8(case):
    return check_fp8.LIBRARY, lambda model, folder: check_fp8.write(model, check_fp8.CASES[case][0], folder / "out")


CASES = {
    "gptq-4bit": gptq("4 bits, group 32"),
    "gptq-3bit-asym-v2": gptq("3 bits, asymmetric, v2"),
    "gptq-4bit-asym-v1": gptq("4 bits, asymmetric, v1"),
    "gptq-4bit-act-order": gptq("4 bits, act-order"),
    "awq-4bit": awq("GEMM, group 32"),
    "auto-round-4bit": auto_round("auto_round, 4 bits"),
    "auto-round-4bit-asym": auto_round("auto_round, 4 bits, asymmetric"),
    "bitsandbytes-nf4": bitsandbytes("nf4"),
    "bitsandbytes-nf4-double": bitsandbytes("nf4, double quantization"),
    "bitsandbytes-int8": bitsandbytes("LLM.int8()"),
    "compressed-tensors-int4": compressed_tensors("pack-quantized, 4 bits, group 32"),
    "compressed-tensors-int3-asym": compressed_tensors("pack-quantized, 3 bits, group 64, asymmetric"),
    "compressed-tensors-w8a8": compressed_tensors("int-quantized, W8A8"),
    "compressed-tensors-fp8": compressed_tensors("float-quantized, channel"),
    "compressed-tensors-nvfp4": compressed_tensors("nvfp4-pack-quantized"),
    "compressed-tensors-mxfp4": compressed_tensors("mxfp4-pack-quantized"),
    "fp8-block": fp8("block 64x64"),
}


def layer_of(folder):
    """The layer's tensors of a folder, and the file's metadata."""
    tensors = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as opened:
            tensors.update({name: opened.get_tensor(name) for name in opened.keys() if name.startswith(LAYER + ".")})
    return tensors


def expected(library, values):
    values = values.detach().contiguous() + 0.0  # -0 becomes 0: some are read through a product, which loses the sign
    name = str(values.dtype).removeprefix("torch.")
    raw = values.view(torch.uint8).numpy().tobytes()
    return {"library": library, "module": LAYER, "dtype": name, "shape": list(values.shape),
            "sha256": hashlib.sha256(raw).hexdigest(), "first": values.flatten()[:8].float().tolist()}


def main():
    for name in sys.argv[1:] or CASES:
        library, write = CASES[name]
        with scratch.folder() as folder:
            model = make_tiny(folder / "tiny", hidden=128)
            weights = write(model, folder)
            out = OUT / name
            out.mkdir(parents=True, exist_ok=True)
            save_file(layer_of(folder / "out"), out / "model.safetensors", metadata={"format": "pt"})
            settings = json.loads((folder / "out/config.json").read_text())
            (out / "config.json").write_text(json.dumps(settings, indent=1) + "\n")
            (out / "expected.json").write_text(json.dumps(expected(library, weights[LAYER + ".weight"]), indent=1) + "\n")
            print(f"{name}: {sum(file.stat().st_size for file in out.iterdir())} bytes", flush=True)


if __name__ == "__main__":
    main()
