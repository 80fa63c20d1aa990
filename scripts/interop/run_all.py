#!/usr/bin/env python3
"""Runs every check of this folder and writes the table of docs/interop.md.

    scripts/interop/setup_venv.sh FOLDER
    scripts/build && scripts/build bench nibble-logits
    FOLDER/bin/python scripts/interop/run_all.py [--no-smollm2] [--rows FOLDER]

--rows keeps the rows of each script as JSON there; a script whose rows are there already is not run again.
"""
import argparse
import json
import pathlib
import platform
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs/interop.md"
SCRIPTS = ("safetensors", "gptq", "awq", "auto_round", "bitsandbytes", "compressed_tensors", "fp8", "gguf")
HEAD = """# Agreement with the libraries

Measured by the scripts of `scripts/interop` (`run_all.py` writes this page): what the libraries that define each family write, Nibble
reads, and what Nibble writes, they read.

- **Weights**: "equal (T)" means that Nibble's float32 values, rounded once to the type T that the library returns, are the
  library's, every one. No row needed the tolerance of one float32 unit in the last place.
- **Logits** of a prompt: the largest difference as a part of the largest logit, at most 1e-3, where all that the library
  computes is float32; else the same likeliest token at 99 % of the positions and a KL divergence below 1e-3.
- *tiny* is a seeded Llama of two blocks (hidden size 256), *SmolLM2* is SmolLM2-135M.
- *library -> Nibble*: the library quantized and wrote. *Nibble -> library*: Nibble quantized by rounding to nearest, or, for
  grids that its rounding does not make, wrote again what the library had written, by way of the family `nibble`.
- An empty cell says why it is empty.

What the logits do not show, measured beside this table:

- GPTQ and AWQ: the logits are those of the libraries' own modules on a CPU (named in the row). compressed-tensors: those of a
  float network with the weights that the library decompresses.
- bitsandbytes: the bound holds for the library's own layers in float32. The rows "in BF16" say how far Nibble's float32 is from
  what transformers runs by default, and how far the library in float32 is from it.
- The tiny model has wide margins between its likeliest tokens, so its top-1 is easy.
- compressed-tensors with quantized activations has no logits: the library rounds the inputs too, Nibble's float32 does not.
- One row that agrees (MXFP6) is a refusal by name.
"""


def rows_of(name, folder, arguments):
    file = folder / f"{name}.json"
    if not file.exists():
        subprocess.run([sys.executable, HERE / f"check_{name}.py", "--json", file, *arguments], check=False)
    return json.loads(file.read_text())


def page(rows):
    lines = [HEAD, f"Python {platform.python_version()}. {sum(row['ok'] is True for row in rows)} agree, "
             f"{sum(row['ok'] is False for row in rows)} do not, {sum(row['ok'] is None for row in rows)} empty, "
             f"{sum(row['ok'] == 'measured' for row in rows)} measured without a bound."]
    for family in dict.fromkeys(row["family"] for row in rows):
        lines += ["", f"## {family}", "", "| case | direction | model | library | weights | logits |", "| --- " * 6 + "|"]
        for row in (row for row in rows if row["family"] == family):
            state = {True: "", False: "**disagrees**: ", None: "*empty*: ", "measured": "*measured*: "}[row["ok"]]
            cells = [row["case"], row["direction"].replace("->", "to"), row["model"], row["library"], state + row["weights"],
                     row["logits"] or ""]
            lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-smollm2", action="store_true")
    parser.add_argument("--rows", type=pathlib.Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.rows or pathlib.Path(temporary)
        rows = []
        for name in SCRIPTS:
            rows += rows_of(name, folder, ["--no-smollm2"] if options.no_smollm2 else [])
    PAGE.write_text(page(rows))
    sys.exit(any(row["ok"] is False for row in rows))


if __name__ == "__main__":
    main()
