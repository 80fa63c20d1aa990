#!/usr/bin/env python3
"""Writes a Llama checkpoint of seeded random F16 weights, in any size:  synthetic_checkpoint.py FOLDER --shape llama-1.1b

The values are normal with a standard deviation of 0.02, cut from one seeded block of a million at other places for every
row, so that gigabytes are made in seconds. What needs no sense in its weights (speed, memory) can be measured on it.
"""
import argparse
import json
import pathlib
import random
import struct

SHAPES = {  # hidden, layers, heads, key-value heads, feed-forward, vocabulary
    "llama-1.1b": (2048, 22, 32, 4, 5632, 32000),
    "llama-2.8b": (3072, 28, 24, 8, 8192, 32000),
    "llama-tiny": (256, 2, 4, 2, 512, 1024),
}
BLOCK = 1 << 20
STEP = 4999  # values that the next row's cut lies further on; odd, so that rows differ


def random_block(seed):
    source = random.Random(seed)
    values = [source.gauss(0.0, 0.02) for _ in range(BLOCK)]
    return struct.pack(f"<{BLOCK}e", *values)


def sizes(shape, layers):
    """The sizes of a shape, with another number of layers if one is given."""
    hidden, own_layers, *others = SHAPES[shape]
    return (hidden, layers or own_layers, *others)


def matrices(shape, layers=None):
    hidden, layers, heads, kv_heads, ffn, vocab = sizes(shape, layers)
    kv = hidden // heads * kv_heads
    yield "model.embed_tokens.weight", (vocab, hidden)
    for i in range(layers):
        prefix = f"model.layers.{i}."
        for name, rows, cols in (("self_attn.q_proj", hidden, hidden), ("self_attn.k_proj", kv, hidden),
                                 ("self_attn.v_proj", kv, hidden), ("self_attn.o_proj", hidden, hidden),
                                 ("mlp.gate_proj", ffn, hidden), ("mlp.up_proj", ffn, hidden),
                                 ("mlp.down_proj", hidden, ffn)):
            yield f"{prefix}{name}.weight", (rows, cols)
        yield f"{prefix}input_layernorm.weight", (hidden,)
        yield f"{prefix}post_attention_layernorm.weight", (hidden,)
    yield "model.norm.weight", (hidden,)
    yield "lm_head.weight", (vocab, hidden)


def write_tensor(file, shape, block, start):
    if len(shape) == 1:
        file.write(struct.pack("<e", 1.0) * shape[0])
        return
    rows, cols = shape
    for row in range(rows):
        first = (start + row * STEP) % (BLOCK - cols)
        file.write(block[2 * first:2 * (first + cols)])


def write_shard(path, tensors, block, seed):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in tensors:
        size = 2
        for n in shape:
            size *= n
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb", buffering=1 << 22) as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for i, (_, shape) in enumerate(tensors):
            write_tensor(file, shape, block, seed + 7919 * i)


def config_of(shape, layers=None):
    hidden, layers, heads, kv_heads, ffn, vocab = sizes(shape, layers)
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden,
            "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
            "intermediate_size": ffn, "vocab_size": vocab, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
            "max_position_embeddings": 4096, "hidden_act": "silu", "tie_word_embeddings": False,
            "torch_dtype": "float16"}


def write_tokenizer(folder, vocab):
    """A token per printable ASCII character, then unused ones: enough to run text through the model."""
    tokens = ["<pad>", "<s>", "</s>", "\u0120"] + [chr(c) for c in range(ord("!"), ord("~"))]
    tokens += [f"<unused{n}>" for n in range(vocab - len(tokens))]
    special = [{"id": i, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
                "normalized": False, "special": True} for i, token in enumerate(tokens[:3])]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    (folder / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "added_tokens": special, "normalizer": None, "pre_tokenizer": byte_level,
        "post_processor": None, "decoder": byte_level,
        "model": {"type": "BPE", "vocab": {token: i for i, token in enumerate(tokens)}, "merges": []}}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "</s>"}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--shape", choices=SHAPES, default="llama-1.1b")
    parser.add_argument("--layers", type=int, help="fewer or more than the shape has")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shard-gb", type=float, default=2.0)
    parser.add_argument("--tokenizer", action="store_true", help="with one of single characters")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    block = random_block(args.seed)
    shards, size = [[]], 0
    for name, shape in matrices(args.shape, args.layers):
        bytes_ = 2 * shape[0] * (shape[1] if len(shape) == 2 else 1)
        if shards[-1] and size + bytes_ > args.shard_gb * 1e9:
            shards.append([])
            size = 0
        shards[-1].append((name, shape))
        size += bytes_
    weight_map = {}
    for i, tensors in enumerate(shards):
        name = f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors"
        write_shard(args.folder / name, tensors, block, args.seed + 104729 * i)
        weight_map.update({tensor: name for tensor, _ in tensors})
    (args.folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    (args.folder / "config.json").write_text(json.dumps(config_of(args.shape, args.layers), indent=2))
    if args.tokenizer:
        write_tokenizer(args.folder, SHAPES[args.shape][-1])


if __name__ == "__main__":
    main()
