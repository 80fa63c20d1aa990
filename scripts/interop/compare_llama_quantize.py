#!/usr/bin/env python3
"""Compares Nibble's GGUF quantizers with llama-quantize: types, bytes, weighted error and time, per recipe.

    pip install numpy gguf==0.19.0
    scripts/interop/compare_llama_quantize.py LLAMA_QUANTIZE [LLAMA_IMATRIX] [--model F16.gguf --text FILE]
        [--nibble build/nibble] [--threads 2] [--recipes q4_k_m,iq4_xs] [--seeded normal,heavy] [--work DIR]

Two seeded models are made, of normal and of heavy-tailed (Student's t, 3 degrees of freedom) weights, whose rows divide by
256; --model adds one of yours. Each is quantized by both programs with and without an importance matrix (seeded numbers; for
--model what LLAMA_IMATRIX finds in the first chunks of --text). The table has, per model, recipe and importance: tensors with
equal bytes, the sums over the other matrices of importance * (w - q)^2 (of (w - q)^2 without importance), ours divided by
theirs, and processor seconds of both programs.
"""
import argparse
import os
import pathlib
import platform
import resource
import subprocess
import sys
import tempfile
import time

import gguf
import numpy as np
from gguf.quants import dequantize

RECIPES = ("q4_0 q4_1 q5_0 q5_1 q8_0 q2_k q3_k_s q3_k_m q4_k_s q4_k_m q5_k_s q5_k_m q6_k iq4_nl iq4_xs tq1_0 tq2_0 "
           "mxfp4_moe q1_0").split()  # gguf-py 0.19 does not know q2_0
WITHOUT_IMPORTANCE = {"q8_0", "tq1_0", "tq2_0", "mxfp4_moe", "q1_0"}
HIDDEN, FFN, LAYERS, HEADS, KV_HEADS, VOCAB = 1024, 2816, 3, 16, 4, 4096


def matrices():
    kv = HIDDEN // HEADS * KV_HEADS
    yield "token_embd.weight", VOCAB, HIDDEN
    yield "output.weight", VOCAB, HIDDEN
    for layer in range(LAYERS):
        for name, rows, cols in (("attn_q", HIDDEN, HIDDEN), ("attn_k", kv, HIDDEN), ("attn_v", kv, HIDDEN),
                                 ("attn_output", HIDDEN, HIDDEN), ("ffn_gate", FFN, HIDDEN), ("ffn_up", FFN, HIDDEN),
                                 ("ffn_down", HIDDEN, FFN)):
            yield f"blk.{layer}.{name}.weight", rows, cols


def make_model(path, draw):
    """A Llama without a tokenizer, in f16."""
    writer = gguf.GGUFWriter(str(path), "llama")
    for add, value in ((writer.add_context_length, 512), (writer.add_embedding_length, HIDDEN),
                       (writer.add_block_count, LAYERS), (writer.add_feed_forward_length, FFN),
                       (writer.add_head_count, HEADS), (writer.add_head_count_kv, KV_HEADS),
                       (writer.add_layer_norm_rms_eps, 1e-5), (writer.add_vocab_size, VOCAB),
                       (writer.add_rope_dimension_count, HIDDEN // HEADS), (writer.add_file_type, 1)):
        add(value)
    for name, rows, cols in matrices():
        writer.add_tensor(name, (0.02 * draw((rows, cols))).astype(np.float16))
    for norm in ["output_norm"] + [f"blk.{i}.{n}" for i in range(LAYERS) for n in ("attn_norm", "ffn_norm")]:
        writer.add_tensor(norm + ".weight", np.ones(HIDDEN, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make_imatrix(path, random):
    """Log-normal importance, as wide as activations have it."""
    writer = gguf.GGUFWriter(str(path), "")
    writer.kv_data[0].clear()  # an importance matrix has no architecture
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", ["seeded numbers"])
    writer.add_uint32("imatrix.chunk_count", 1)
    writer.add_uint32("imatrix.chunk_size", 512)
    for name, _, cols in matrices():
        if name.startswith("blk."):
            writer.add_tensor(name + ".in_sum2", random.lognormal(0, 1.5, cols).astype(np.float32))
            writer.add_tensor(name + ".counts", np.ones(1, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def timed(command):
    """Seconds and processor seconds of a program; its output is shown when it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.monotonic()
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    seconds = time.monotonic() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def tensors_of(path):
    return {t.name: t for t in gguf.GGUFReader(str(path)).tensors}


def compare(source, ours, theirs, importance):
    """(equal tensors, tensors, our error and theirs in the others); fails when a type differs."""
    equal = total = 0
    errors = [0.0, 0.0]
    for name, b in theirs.items():
        a = ours[name]
        if a.tensor_type != b.tensor_type:
            sys.exit(f"{name}: ours is {a.tensor_type.name}, theirs {b.tensor_type.name}")
        if len(b.shape) < 2 or b.shape[1] == 1:
            continue
        total += 1
        same = np.array_equal(a.data, b.data)
        equal += same
        if same or a.tensor_type.name == "Q1_0":  # which gguf-py does not decode
            continue
        w = dequantize(source[name].data, source[name].tensor_type)
        for i, q in enumerate((a, b)):  # exact enough: per column in float32, then in float64
            columns = np.square(w - dequantize(q.data, q.tensor_type)).sum(axis=0)
            errors[i] += float((columns.astype(np.float64) * importance.get(name, 1.0)).sum())
    return equal, total, errors[0], errors[1]


def importance_of(path):
    tensors = tensors_of(path)
    return {name[:-len(".in_sum2")]: t.data.reshape(-1) / tensors[name[:-len(".in_sum2")] + ".counts"].data.reshape(-1)
            for name, t in tensors.items() if name.endswith(".in_sum2")}


def run(args, work, label, source_path, imatrix):
    source = tensors_of(source_path)
    for recipe in args.recipes.split(","):
        for with_imatrix in (False, True) if imatrix and recipe not in WITHOUT_IMPORTANCE else (False,):
            flags = ["--imatrix", imatrix] if with_imatrix else []
            ours, theirs = work / "ours.gguf", work / "theirs.gguf"
            wall_theirs, cpu_theirs = timed([args.llama_quantize, *flags, source_path, theirs, recipe, args.threads])
            wall_ours, cpu_ours = timed([args.nibble, "-q", "quantize", source_path, "-o", ours, "--scheme", recipe,
                                         "-t", args.threads, *flags])
            equal, total, a, b = compare(source, tensors_of(ours), tensors_of(theirs),
                                         importance_of(imatrix) if with_imatrix else {})
            ratio = f"{a / b:.4f}" if b > 0 else "equal"
            print(f"| {label} | {recipe} | {'yes' if with_imatrix else 'no'} | {equal} of {total} | {ratio} "
                  f"| {wall_ours:.2f} | {wall_theirs:.2f} | {wall_theirs / wall_ours:.1f} "
                  f"| {cpu_ours:.2f} | {cpu_theirs:.2f} | {cpu_theirs / cpu_ours:.1f} |", flush=True)


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("llama_quantize")
    parser.add_argument("llama_imatrix", nargs="?")
    parser.add_argument("--model", help="a GGUF file of floats")
    parser.add_argument("--text", help="for --model's importance matrix")
    parser.add_argument("--chunks", default="16")
    parser.add_argument("--nibble", default=pathlib.Path(__file__).parents[2] / "build" / "nibble")
    parser.add_argument("--threads", default="2")
    parser.add_argument("--recipes", default=",".join(RECIPES))
    parser.add_argument("--seeded", default="normal,heavy", help="which seeded models")
    parser.add_argument("--work", help="where files go (default: a temporary folder)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(args.work or temporary)
        work.mkdir(exist_ok=True)
        print(f"{processor()}, {os.cpu_count()} processors, {args.threads} threads\n")
        print("| model | recipe | importance | equal tensors | error, ours / theirs | s, ours | theirs | faster "
              "| CPU s, ours | theirs | less |")
        print("|---|---|---|---|---|---|---|---|---|---|---|")
        random = np.random.default_rng(1)
        make_imatrix(work / "seeded.imatrix", random)
        draws = {"normal": random.standard_normal, "heavy": lambda shape: random.standard_t(3, shape)}
        for label in filter(None, args.seeded.split(",")):
            draw = draws[label]
            path = work / (label + ".gguf")
            make_model(path, draw)
            run(args, work, label, path, work / "seeded.imatrix")
        if args.model:
            imatrix = None
            if args.llama_imatrix and args.text:
                imatrix = work / "text.imatrix"
                timed([args.llama_imatrix, "-m", args.model, "-f", args.text, "-o", imatrix, "--chunks", args.chunks,
                       "-t", args.threads])
            run(args, work, pathlib.Path(args.model).stem, args.model, imatrix)


if __name__ == "__main__":
    main()
