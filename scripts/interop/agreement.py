"""When two readers of the same bytes agree, and the table of what was checked.

Weights: Nibble's float32 values, rounded to the type that the library returns, are its values; where the library
multiplies in another order, at most one unit in the last place of float32 apart. Logits: within 1e-3 of the largest
where the library computes in float32, else the same likeliest token at 99 % of the positions and KL below 1e-3.
"""
import argparse
import json
import pathlib
import sys
import time
import traceback

import torch

TO_NIBBLE = "library -> Nibble"
FROM_NIBBLE = "Nibble -> library"


class Disagreement(Exception):
    pass


def _ordered(values):
    """Neighbouring floats become neighbouring integers."""
    kind = {torch.float32: torch.int32, torch.bfloat16: torch.int16, torch.float16: torch.int16}[values.dtype]
    bits = values.contiguous().view(kind).to(torch.int64)
    lowest = torch.iinfo(kind).min
    return torch.where(bits < 0, lowest - bits, bits)


def weights_agree(nibble, library, order=None):
    """`nibble`, `library`: tensors by name. `order`: how the library's order of operations differs, if it does."""
    total = apart = furthest = 0
    if not library:
        raise Disagreement("the library gave no weights")
    for name, theirs in library.items():
        ours = nibble[name].to(theirs.dtype)
        if ours.shape != theirs.shape:
            raise Disagreement(f"{name}: shape {list(ours.shape)}, the library has {list(theirs.shape)}")
        if not torch.isfinite(theirs).all():
            raise Disagreement(f"{name}: the library's values are not finite")
        steps = (_ordered(ours) - _ordered(theirs)).abs()
        total += steps.numel()
        apart += int((steps > 0).sum())
        furthest = max(furthest, int(steps.max()))
    kinds = "/".join(sorted({str(t.dtype).removeprefix("torch.") for t in library.values()}))
    if apart == 0:
        return f"equal ({kinds})"
    text = f"{apart} of {total} differ by at most {furthest} ulp of {kinds}"
    if order is None or furthest > 1 or kinds != "float32":
        raise Disagreement(text)
    return f"{text}: {order}"


def _logits_apart(nibble, library):
    """Largest difference as a part of the largest logit, part of positions with the same likeliest token, KL."""
    error = float((nibble - library).abs().max() / library.abs().max())
    top1 = float((nibble.argmax(-1) == library.argmax(-1)).float().mean())
    base = torch.log_softmax(library.double(), -1)
    kl = float((base.exp() * (base - torch.log_softmax(nibble.double(), -1))).sum(-1).mean())
    return error, top1, max(kl, 0)


def logits_agree(nibble, library, float32=True):
    error, top1, kl = _logits_apart(nibble, library)
    good = error <= 1e-3 if float32 else top1 >= 0.99 and kl < 1e-3
    if not good:
        raise Disagreement(f"logits: {error:.1e} of the largest, top-1 {100 * top1:.1f} %, KL {kl:.1e}")
    return f"{error:.1e} of the largest" if float32 else logits_distance(nibble, library)


def logits_distance(nibble, library):
    """How far apart, without a verdict."""
    _, top1, kl = _logits_apart(nibble, library)
    return f"top-1 {100 * top1:.1f} %, KL {kl:.1e}"


class Report:
    """Rows of the table that one script fills, saved as JSON for run_all.py."""

    def __init__(self, family, description):
        parser = argparse.ArgumentParser(description=description)
        parser.add_argument("--json", help="where the rows are written")
        parser.add_argument("--only", default="", help="checks only cases whose name holds this")
        parser.add_argument("--no-smollm2", action="store_true", help="the tiny model only")
        self.arguments = parser.parse_args()
        self.family = family
        self.rows = []

    def check(self, case, direction, model, library, function, bound=True):
        """`function` returns the texts for weights and for logits (or None), or raises. Without a bound the row says how
        far apart the two are, and no more."""
        if self.arguments.only not in case:
            return
        start = time.time()
        row = {"family": self.family, "case": case, "direction": direction, "model": model, "library": library}
        try:
            row["weights"], row["logits"] = function()
            row["ok"] = True if bound else "measured"
        except Exception as error:  # a library may raise anything: it is the result
            if not isinstance(error, Disagreement):
                traceback.print_exc()
            row.update(ok=False, weights=f"{type(error).__name__}: {str(error).splitlines()[0][:300]}", logits=None)
        self._add(row, time.time() - start)

    def empty(self, case, direction, library, reason):
        """A cell that cannot be filled, and why."""
        self._add({"family": self.family, "case": case, "direction": direction, "model": "", "library": library,
                   "ok": None, "weights": reason, "logits": None}, 0)

    def _add(self, row, seconds):
        self.rows.append(row)
        word = {True: "ok", False: "FAILED", None: "empty", "measured": "measured"}[row["ok"]]
        print(f"{word:8} {row['family']} | {row['case']} | {row['direction']} | {row['model']} | {row['library']} | "
              f"{row['weights']} | {row['logits'] or '-'}  [{seconds:.1f} s]", flush=True)

    def finish(self):
        if self.arguments.json:
            pathlib.Path(self.arguments.json).write_text(json.dumps(self.rows, indent=1) + "\n")
        sys.exit(any(row["ok"] is False for row in self.rows))
