#!/usr/bin/env python3
"""Decoding and prompts beside llama.cpp and ik_llama.cpp, taking turns; prints a table in Markdown.

    bench/beside_llama.py MODEL.gguf... --llama PATH/llama-bench [--ik PATH/llama-bench] [--avx2 PATH/llama-bench]
                          [--threads 1,2] [--runs 5] [--prompt 512] [--decode 64] [--depth 0]

Every run is a process of its own: nibble, then each peer, then nibble again, `--runs` times, so that what the machine does
meanwhile happens to all; llama-bench runs everything once to warm up, and so does nibble here. Figures are medians, with least
and most. --ik is ik_llama.cpp's, run with its run-time repacking (-rtr 1). --avx2 is a llama.cpp built for AVX2 (-DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON), beside which
nibble runs with NIBBLE_ISA=avx2. The share is that of the read bandwidth (decoding) or of the int8 multiply peak (prompts) that
nibble measured in the same run with as many threads. The peers are binaries that are given; nothing is built. The program is
build/nibble, or the one that NIBBLE names.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

NIBBLE = os.environ.get("NIBBLE", str(pathlib.Path(__file__).resolve().parent.parent / "build" / "nibble"))


def output_of(command, isa=None):
    environment = dict(os.environ, **({"NIBBLE_ISA": isa} if isa else {}))
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=environment)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr[-2000:]}")
    return done.stdout


class Nibble:
    def __init__(self, isa=None):
        self.isa = isa
        self.name = f"nibble {isa}" if isa else "nibble"

    def run(self, model, task, threads):
        command = [NIBBLE, "-q", "bench", model, "-r", "2", "-t", threads, "--json", "-p", task.prompt, "-n", task.decode]
        command += ["--depth", task.depth] if task.decode else []
        report = json.loads(output_of(command, self.isa))
        if task.decode:
            share = report["decode_gb_per_s"] / report["decode_tps"] / report["read_gb_per_s"]
            return report["decode_tps_runs"][-1], report["decode_tps_runs"][-1] * share
        peak = report["int8_gops"] if report["int8"] else report["fma_gflops"]
        share = report["prompt_gops"] / report["prompt_tps"] / peak
        return report["prompt_tps_runs"][-1], report["prompt_tps_runs"][-1] * share


class LlamaBench:
    def __init__(self, name, path, flags=()):
        self.name, self.path, self.flags = name, path, flags

    def run(self, model, task, threads):
        command = [self.path, "-m", model, "-r", "1", "-t", threads, "-o", "json", "-p", task.prompt, "-n", task.decode]
        command += ["-d", task.depth] if task.depth else []
        text = output_of([*command, *self.flags])
        return json.loads(text[text.index("["):])[0]["avg_ts"], None


class Task:
    def __init__(self, prompt, decode, depth):
        self.prompt, self.decode, self.depth = prompt, decode, depth
        self.name = f"prompt {prompt}" if prompt else f"decode {decode}" + (f" at {depth}" if depth else "")


def spread(values):
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def compare(model, task, threads, ours, peers, runs):
    """One line: ours, its share, and each peer with the ratio of medians."""
    own, shares, theirs = [], [], [[] for _ in peers]
    for turn in range(runs):
        print(f"{model.name} {task.name} {threads} threads: {turn + 1} of {runs}", file=sys.stderr)
        speed, share = ours.run(model, task, threads)
        own.append(speed)
        shares.append(share)
        for speeds, peer in zip(theirs, peers):
            speeds.append(peer.run(model, task, threads)[0])
    cells = [model.stem, task.name, threads, ours.name, spread(own), f"{100 * statistics.median(shares):.0f} %"]
    for peer, speeds in zip(peers, theirs):
        ratio = statistics.median(own) / statistics.median(speeds)
        print("| " + " | ".join(map(str, [*cells, peer.name, spread(speeds), f"{ratio:.2f} x"])) + " |", flush=True)


def main():
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("models", nargs="+", type=pathlib.Path)
    flags.add_argument("--llama", help="llama-bench of llama.cpp")
    flags.add_argument("--ik", help="llama-bench of ik_llama.cpp")
    flags.add_argument("--avx2", help="llama-bench of a llama.cpp built for AVX2")
    flags.add_argument("--threads", default="1,2")
    flags.add_argument("--runs", type=int, default=5)
    flags.add_argument("--prompt", type=int, default=512, help="0: no prompts")
    flags.add_argument("--decode", type=int, default=64, help="0: no decoding")
    flags.add_argument("--depth", type=int, default=0, help="positions in the cache before decoding")
    given = flags.parse_args()
    native = [LlamaBench("llama.cpp", given.llama)] if given.llama else []
    native += [LlamaBench("ik_llama.cpp", given.ik, ["-rtr", "1"])] if given.ik else []
    sides = [(Nibble(), native)] if native else []
    sides += [(Nibble("avx2"), [LlamaBench("llama.cpp AVX2", given.avx2)])] if given.avx2 else []
    if not sides:
        flags.error("name a peer: --llama, --ik or --avx2")
    tasks = [Task(0, given.decode, given.depth)] if given.decode else []
    tasks += [Task(given.prompt, 0, 0)] if given.prompt else []
    print("| model | task | threads | | tokens/s | of the machine | beside | tokens/s | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for model in given.models:
        for task in tasks:
            for threads in map(int, given.threads.split(",")):
                for ours, peers in sides:
                    compare(model, task, threads, ours, peers, given.runs)


if __name__ == "__main__":
    main()
