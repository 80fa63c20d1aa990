#!/usr/bin/env python3
"""Prints the demo's table from the JSON that `nibble inspect`, `eval` and `bench` printed (scripts/demo)."""
import json
import pathlib
import re
import sys

HEAD = ["scheme", "bits/weight", "bytes", "perplexity", "KL divergence", "same top token", "decode tokens/s"]


def linear_bits(inspection):
    """All stored bits of the matrices in the blocks, scales included, per weight; embedding and norms do not count."""
    bits = weights = 0
    for tensor in inspection["tensors"]:
        if re.search(r"\.layers\.|^blk\.", tensor["name"]) and len(tensor["shape"]) == 2:
            bits += 8 * tensor["bytes"]
            weights += tensor["shape"][0] * tensor["shape"][1]
    return bits / weights


def main():
    work = pathlib.Path(sys.argv[1])
    schemes = sys.argv[2:]

    def read(name, what):
        return json.loads((work / f"{name}.{what}.json").read_text())

    evaluations = {scheme: read(scheme, "eval") for scheme in schemes}
    first = evaluations[schemes[0]]
    rows = [HEAD]
    for name in ["original", *schemes]:
        inspection = read(name, "inspect")
        row = ["original (bf16)" if name == "original" else name, f"{linear_bits(inspection):.3f}",
               f"{inspection['file_bytes']:,}"]
        if name == "original":
            row += [f"{first['baseline_ppl']:.3f} +- {first['baseline_ppl_stderr']:.3f}", "-", "-"]
        else:
            e = evaluations[name]
            row += [f"{e['ppl']:.3f} +- {e['ppl_stderr']:.3f}", f"{e['kld_mean']:.5f} +- {e['kld_mean_stderr']:.5f}",
                    f"{100 * e['top1_agreement']:.2f} %"]
        rows.append([*row, f"{read(name, 'bench')['decode_tps']:.1f}"])
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    for number, row in enumerate(rows):
        print("  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))))
        if number == 0:
            print("  ".join("-" * w for w in widths))
    print(f"Measured on {first['windows']} windows of what the original wrote, {first['tokens']} positions; KL divergence "
          "in nats from the original;\nbits/weight of the quantized matrices, bytes of the whole folder's tensors "
          "(embedding and head stay bf16).")


if __name__ == "__main__":
    main()
