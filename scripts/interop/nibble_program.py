"""Runs the nibble program for the scripts of this folder.

NIBBLE names the program (default: build/nibble), NIBBLE_LOGITS the one that writes logits (default:
build/bench/bench/nibble-logits, made by `scripts/build bench nibble-logits`).
"""
import json
import os
import pathlib
import subprocess

import numpy
import torch
from safetensors.torch import load_file

import scratch

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("NIBBLE", str(ROOT / "build/nibble"))
LOGITS_PROGRAM = os.environ.get("NIBBLE_LOGITS", str(ROOT / "build/bench/bench/nibble-logits"))


class NibbleError(Exception):
    """What the program said when it failed."""


def run(*arguments):
    done = subprocess.run([str(a) for a in arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise NibbleError((done.stderr.strip() or done.stdout.strip()).splitlines()[-1])
    return done.stdout


def quantize(model, out, scheme, to, *flags):
    """Quantizes by round-to-nearest and writes the family `to`; returns the program's JSON report."""
    return json.loads(run(PROGRAM, "quantize", model, "-o", out, "--scheme", scheme, "--to", to, "--json", *flags))


def convert(model, out, to, *flags):
    return json.loads(run(PROGRAM, "convert", model, "-o", out, "--to", to, "--json", *flags))


def tensors_of(folder):
    """All tensors of a folder's safetensors files."""
    tensors = {}
    for file in sorted(pathlib.Path(folder).glob("*.safetensors")):
        tensors.update(load_file(file))
    return tensors


def dequantized(model):
    """The values that Nibble reads from a checkpoint, as float32 tensors by name."""
    with scratch.folder() as folder:
        out = folder / "float"
        convert(model, out, "hf:f32")
        return tensors_of(out)


def logits(model, ids):
    """Logits of every position, computed in float32: [tokens, vocabulary]."""
    with scratch.folder() as folder:
        (folder / "ids").write_text(" ".join(map(str, ids)))
        run(LOGITS_PROGRAM, model, folder / "ids", folder / "logits", "f32")
        return torch.from_numpy(numpy.fromfile(folder / "logits", dtype="<f4").reshape(len(ids), -1))
