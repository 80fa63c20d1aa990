#!/usr/bin/env python3
"""Compares Nibble's tokenizer with llama.cpp and Hugging Face `tokenizers` on every line of texts, and on whole texts.

    scripts/interop/compare_tokenizers.py MODEL [--llama PROGRAM] [--huggingface FOLDER] [--nibble PROGRAM] FILE...

MODEL         GGUF file or Hugging Face folder, tokenized by Nibble (and by llama.cpp, which needs a GGUF file)
--llama       the program that scripts/interop/llama_tokenize.cc makes; its first lines say how to compile it
--huggingface a folder with a tokenizer.json, as `nibble convert MODEL -o FOLDER --to hf:bf16` writes; needs the
              Python package tokenizers
--nibble      default build/nibble
Lines end at \\n, which is not part of them. Special tokens are recognized in the text and added around it. Prints one row
of a Markdown table per file, with the number of differing lines, and the first differences on stderr. Exit status 1 when
anything differs.
"""
import argparse
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
    name = "Nibble"

    def __init__(self, program, model):
        self.command = [program, "tokenize", model]
        version = subprocess.run([program, "--version"], stdout=subprocess.PIPE, check=True).stdout.decode().strip()
        self.version = version or "unknown"

    def lines(self, path):
        return run_lines([*self.command, "--file", path, "--lines"])

    def whole(self, path):
        import json
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
        import tokenizers
        self.version = tokenizers.__version__
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
    """Rows of (lines, ids, per peer the differing lines, per peer whether the whole text is equal)."""
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
    failed = False
    for path in args.files:
        lines, ids, counts, equal = compare(nibble, peers, path)
        cells = [pathlib.Path(path).name, str(lines), str(ids)]
        for count, same in zip(counts, equal):
            cells += [str(count), "equal" if same else "differs"]
            failed = failed or count > 0 or not same
        print("| " + " | ".join(cells) + " |", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
