#!/usr/bin/env python3
"""Times quantizing beside llama-quantize and prints a table: seconds of both, their ratio, and the errors of both.

    pip install numpy gguf==0.19.0
    scripts/measure/beside_llama_quantize.py LLAMA_QUANTIZE SCRATCH [--layers N] [--runs 5] [--formats q4_0,q4_k_m] [--threads 2]

The model has llama-1.1b's shape (scripts/measure/synthetic_checkpoint.py), or fewer layers of it, in F16; it is made in SCRATCH
and stays there. Both programs quantize the same file and take turns. LLAMA_QUANTIZE is a binary; nothing is built. A format
that GGUF does not have (int4-g32-sym, nf4-g64) goes into a folder of its own family and is timed beside llama-quantize's Q4_0;
`FORMAT:RANGE` sets --range. The error is |w - q| / |w| over the matrices of the first layer (llama-quantize gives the head more
bits), after an exact conversion to GGUF where there is one. The program is build/nibble, or the one that NIBBLE names.
"""
import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

import gguf
import numpy as np
from gguf.quants import dequantize

HERE = pathlib.Path(__file__).resolve().parent
NIBBLE = os.environ.get("NIBBLE", str(HERE.parent.parent / "build" / "nibble"))
GGUF_FORMATS = ("q4_0 q4_1 q5_0 q5_1 q8_0 q2_k q3_k_s q3_k_m q4_k_s q4_k_m q5_k_s q5_k_m q6_k iq4_nl iq4_xs").split()


def run(command):
    """Seconds by the clock; the program's output is shown when it fails."""
    begin = time.monotonic()
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout[-2000:]}")
    return time.monotonic() - begin


def remove(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def make_model(scratch, layers):
    path = scratch / (f"llama-1.1b-{layers}-layers.gguf" if layers else "llama-1.1b.gguf")
    if not path.exists():
        folder = scratch / "checkpoint"
        flags = ["--layers", layers] if layers else []
        run([sys.executable, HERE / "synthetic_checkpoint.py", folder, "--shape", "llama-1.1b", *flags])
        run([NIBBLE, "-q", "convert", folder, "-o", path, "--to", "gguf:f16"])
        shutil.rmtree(folder)
    return path


def tensors_of(path):
    return {t.name: t for t in gguf.GGUFReader(str(path)).tensors}


def weights_in(path):
    return sum(int(t.n_elements) for t in tensors_of(path).values() if len(t.shape) == 2)


def error_of(source, path):
    """|w - q| / |w| of the first layer's matrices."""
    squares = norm = 0.0
    quantized = tensors_of(path)
    for name, tensor in tensors_of(source).items():
        if len(tensor.shape) != 2 or not name.startswith("blk.0."):
            continue
        w = dequantize(tensor.data, tensor.tensor_type)
        q = quantized[name]
        squares += float(np.square(w - dequantize(q.data, q.tensor_type)).sum(dtype=np.float64))
        norm += float(np.square(w).sum(dtype=np.float64))
    return (squares / norm) ** 0.5


def equal_matrices(ours, theirs):
    a, b = tensors_of(ours), tensors_of(theirs)
    names = [name for name, tensor in b.items() if len(tensor.shape) == 2]
    return f"{sum(np.array_equal(a[n].data, b[n].data) for n in names)} of {len(names)}"


def our_command(source, target, name, threads):
    scheme, _, rule = name.partition(":")
    flags = [] if scheme in GGUF_FORMATS else ["--quantize-head"]
    flags += ["--range", rule] if rule else []
    return [NIBBLE, "-q", "quantize", source, "-o", target, "--scheme", scheme, "-t", threads, "--report", "off", *flags]


def spread(seconds):
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


def measure(args, source, name):
    in_gguf = name in GGUF_FORMATS
    peer_format = name.upper() if in_gguf else "Q4_0"
    ours = args.scratch / ("ours.gguf" if in_gguf else "ours")
    theirs = args.scratch / "theirs.gguf"
    our_seconds, their_seconds = [], []
    for _ in range(args.runs):
        for target, seconds, command in (
                (theirs, their_seconds, [args.llama_quantize, source, theirs, peer_format, args.threads]),
                (ours, our_seconds, our_command(source, ours, name, args.threads))):
            remove(target)
            seconds.append(run(command))
    equal = "" if not in_gguf else equal_matrices(ours, theirs)
    their_error = f"{error_of(source, theirs):.5f}"
    remove(theirs)
    if not in_gguf:
        done = subprocess.run([NIBBLE, "-q", "convert", str(ours), "-o", str(theirs), "--to", "gguf"], capture_output=True)
        our_error = f"{error_of(source, theirs):.5f}" if done.returncode == 0 else "not in GGUF"
        remove(theirs)
    else:
        our_error = f"{error_of(source, ours):.5f}"
    remove(ours)
    ratio = statistics.median(their_seconds) / statistics.median(our_seconds)
    print(f"| {name} | {peer_format} | {weights_in(source) / 1e9:.2f} | {spread(their_seconds)} | {spread(our_seconds)} | "
          f"{ratio:.1f} | {their_error} | {our_error} | {equal} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("llama_quantize")
    parser.add_argument("scratch", type=pathlib.Path)
    parser.add_argument("--layers", type=int)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--formats", default="q4_0,int4-g32-sym,q4_k_m,iq4_xs")
    args = parser.parse_args()
    args.scratch.mkdir(parents=True, exist_ok=True)
    source = make_model(args.scratch, args.layers)
    print("| format | llama-quantize's | weights, billions | llama-quantize, s | nibble, s | faster | error, theirs | ours | "
          "equal matrices |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in args.formats.split(","):
        measure(args, source, name)


if __name__ == "__main__":
    main()
