#!/usr/bin/env python3
"""Makes the model that methods are compared on:

    make_original.py MODEL OUT [--seed 0] [--no-dither]

MODEL is a BF16 folder of the Llama architecture with tied embeddings (SmolLM2). It was once quantized to 4 bits in blocks of 32
inputs; that grid must not favour anybody. So the hidden channels, and each layer's feed-forward channels, are permuted by the
seed, which changes no logit, and the weights of o_proj, whose blocks of inputs stay together, move by up to half a step of their
old grid either way. Needs numpy.
"""
import argparse
import json
import pathlib
import re
import shutil

import numpy as np


def read_safetensors(path):
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    tensors = {}
    for name, info in header.items():
        if name == "__metadata__":
            continue
        assert info["dtype"] == "BF16", f"{name}: {info['dtype']}, not BF16"
        begin, end = info["data_offsets"]
        bits = np.frombuffer(raw[8 + length + begin : 8 + length + end], "<u2").astype(np.uint32) << 16
        tensors[name] = bits.view(np.float32).reshape(info["shape"])
    return tensors


def to_bf16(values):
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


def write_safetensors(path, tensors):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, values in tensors.items():
        size = values.size * 2
        header[name] = {"dtype": "BF16", "shape": list(values.shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for values in tensors.values():
            out.write(to_bf16(values).tobytes())


def permute(tensors, random):
    """The same model with its channels in another order."""
    hidden = random.permutation(tensors["model.embed_tokens.weight"].shape[1])
    ffn = {}
    out = {}
    for name, values in tensors.items():
        layer = re.match(r"model\.layers\.(\d+)\.", name)
        if layer and ".mlp." in name and layer[1] not in ffn:
            width = tensors[f"model.layers.{layer[1]}.mlp.gate_proj.weight"].shape[0]
            ffn[layer[1]] = random.permutation(width)
        if name.endswith(("embed_tokens.weight", "q_proj.weight", "k_proj.weight", "v_proj.weight", "lm_head.weight")):
            values = values[:, hidden]
        elif name.endswith(("gate_proj.weight", "up_proj.weight")):
            values = values[ffn[layer[1]]][:, hidden]
        elif name.endswith("down_proj.weight"):
            values = values[hidden][:, ffn[layer[1]]]
        elif name.endswith("o_proj.weight"):
            values = values[hidden]
        elif values.ndim == 1:
            values = values[hidden]
        else:
            raise SystemExit(f"{name}: no place for it in a Llama model")
        out[name] = values
    return out


def dither(tensors, random):
    """o_proj's weights, each moved within one step of the 4-bit grid of its block of 32."""
    for name, values in tensors.items():
        if not name.endswith("o_proj.weight"):
            continue
        blocks = values.reshape(-1, 32)
        step = (blocks.max(axis=1) - blocks.min(axis=1)) / 15
        moved = blocks + step[:, None] * random.uniform(-0.5, 0.5, blocks.shape).astype(np.float32)
        tensors[name] = moved.reshape(values.shape)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-dither", action="store_true", help="only permute: the logits stay")
    args = parser.parse_args()
    random = np.random.default_rng(args.seed)
    tensors = {}
    for shard in sorted(args.model.glob("*.safetensors")):
        tensors |= read_safetensors(shard)
    tensors = permute(tensors, random)
    if not args.no_dither:
        dither(tensors, random)
    args.out.mkdir(parents=True, exist_ok=True)
    for file in args.model.iterdir():
        if file.suffix != ".safetensors" and not file.name.endswith(".index.json") and file.is_file():
            shutil.copy(file, args.out / file.name)
    write_safetensors(args.out / "model.safetensors", tensors)


if __name__ == "__main__":
    main()
