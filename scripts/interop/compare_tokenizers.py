#!/usr/bin/env python3
"""Compares Nibble's tokenizer with llama.cpp and Hugging Face `tokenizers` on every line of texts, and on whole texts.

    scripts/interop/compare_tokenizers.py MODEL [--llama PROGRAM] [--huggingface FOLDER] [--nibble PROGRAM] FILE...

MODEL         GGUF file or Hugging Face folder, tokenized by Nibble (and by llama.cpp, which needs a GGUF file)
--llama       the program that scripts/interop/llama_tokenize.cc makes; its first lines say how to compile it
--huggingface a folder with a tokenizer.json, as `nibble convert MODEL -o FOLDER --to hf:bf16` writes; needs the
              Python package tokenizers
--nibble      default build/nibble
Lines end at \\n, which is not part of them. Special tokens are recognized in the text and added around it. Prints one row
of a Markdown table per file, with the number of differing lines, and their sum; the first differences go to stderr. Exit
status 1 when anything differs.
"""
import argparse
import json
import pathlib
import subprocess
import sys

SHOWN = 3  # differences per file and peer


def run_lines(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}")
    return [[int(word) for word in line.split()] for line in done.stdout.decode().split("\n")[:-1]]


def lines_of(text):
    lines = text.split(b"\n")
    return lines[:-1] if lines and lines[-1] == b"" else lines


class Nibble:
    def __init__(self, program, model):
        self.command = [program, "tokenize", model]

    def lines(self, path):
        return run_lines([*self.command, "--file", path, "--lines"])

    def whole(self, path):
        done = subprocess.run([*self.command, "--file", path, "--json"], stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout)["ids"]


class Llama:
    name = "llama.cpp"

    def __init__(self, program, model):
        self.command = [program, model]

    def lines(self, path):
        return run_lines([*self.command, path, "--lines"])

    def whole(self, path):
        return run_lines([*self.command, path])[0]


class HuggingFace:
    name = "Hugging Face"

    def __init__(self, folder):
        import tokenizers  # only where it is asked for
        self.tokenizer = tokenizers.Tokenizer.from_file(str(pathlib.Path(folder) / "tokenizer.json"))

    def lines(self, path):
        # Bytes that are not UTF-8 cannot be given to it.
        texts = [line.decode("utf-8", "replace") for line in lines_of(pathlib.Path(path).read_bytes())]
        return [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]

    def whole(self, path):
        return self.tokenizer.encode(pathlib.Path(path).read_bytes().decode("utf-8", "replace")).ids


def show(path, peer, number, line, ours, theirs):
    print(f"{path}:{number}: {line[:200]!r}\n  Nibble {ours[:40]}\n  {peer} {theirs[:40]}", file=sys.stderr)


def compare(nibble, peers, path):
    """(lines, ids, per peer the number of differing lines, per peer whether the whole text is equal)"""
    texts = lines_of(pathlib.Path(path).read_bytes())
    ours = nibble.lines(path)
    if len(ours) != len(texts):
        sys.exit(f"{path}: {len(texts)} lines, Nibble tokenized {len(ours)}")
    whole = nibble.whole(path)
    counts = []
    equal = []
    for peer in peers:
        theirs = peer.lines(path)
        if len(theirs) != len(ours):
            sys.exit(f"{path}: {len(ours)} lines, {peer.name} tokenized {len(theirs)}")
        different = [i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b]
        for i in different[:SHOWN]:
            show(path, peer.name, i + 1, texts[i], ours[i], theirs[i])
        counts.append(len(different))
        equal.append(peer.whole(path) == whole)
    return len(texts), sum(map(len, ours)), counts, equal


def print_row(cells, counts, whole):
    for count, word in zip(counts, whole):
        cells += [count, word]
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--nibble", default="build/nibble")
    parser.add_argument("--llama")
    parser.add_argument("--huggingface")
    args = parser.parse_args()
    peers = []
    if args.llama:
        peers.append(Llama(args.llama, args.model))
    if args.huggingface:
        peers.append(HuggingFace(args.huggingface))
    if not peers:
        parser.error("nothing to compare with: give --llama, --huggingface or both")
    nibble = Nibble(args.nibble, args.model)

    head = ["text", "lines", "ids"]
    for peer in peers:
        head += [f"lines unlike {peer.name}", "whole text"]
    print("| " + " | ".join(head) + " |")
    print("| --- " * len(head) + "|")
    results = []
    for path in args.files:
        lines, ids, counts, equal = compare(nibble, peers, path)
        results.append((lines, ids, counts, equal))
        print_row([pathlib.Path(path).name, lines, ids], counts, ["equal" if same else "differs" for same in equal])
    counts = [sum(result[2][i] for result in results) for i in range(len(peers))]
    equal = [sum(result[3][i] for result in results) for i in range(len(peers))]
    print_row(["all", sum(result[0] for result in results), sum(result[1] for result in results)], counts,
              [f"{count} of {len(results)} equal" for count in equal])
    sys.exit(1 if any(counts) or min(equal) < len(results) else 0)


if __name__ == "__main__":
    main()
