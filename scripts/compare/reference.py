#!/usr/bin/env python3
"""Runs a method's reference implementation on a CPU, for scripts/compare_methods:

    reference.py gptqmodel|auto-round MODEL TOKENS SCHEME OUT [--iters 200]

TOKENS holds a window of ids in each line; SCHEME is like int4-g32-sym. Writes a checkpoint in the implementation's own format.
Needs the environment of scripts/interop/setup_venv.sh.
"""
import argparse
import pathlib
import re


def run_gptqmodel(model, windows, bits, group, sym, out, _args):
    from gptqmodel import GPTQModel, QuantizeConfig

    config = QuantizeConfig(bits=bits, group_size=group, sym=sym)
    loaded = GPTQModel.load(str(model), config, device="cpu")
    loaded.quantize([{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in windows], batch_size=1)
    loaded.save(str(out))


def run_auto_round(model, windows, bits, group, sym, out, args):
    import torch
    from auto_round import AutoRound
    from transformers import AutoModelForCausalLM, AutoTokenizer

    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    batches = [{"input_ids": torch.tensor([ids])} for ids in windows]
    rounding = AutoRound(loaded, AutoTokenizer.from_pretrained(model), bits=bits, group_size=group, sym=sym,
                         iters=args.iters, seqlen=len(windows[0]), nsamples=len(windows), dataset=batches, device_map="cpu")
    rounding.quantize_and_save(str(out), format="auto_round")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", choices=["gptqmodel", "auto-round"])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("tokens", type=pathlib.Path)
    parser.add_argument("scheme")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--iters", type=int, default=200)
    args = parser.parse_args()
    match = re.fullmatch(r"int(\d)-g(\d+)-(sym|asym)", args.scheme)
    if not match:
        parser.error(f"{args.scheme}: not like int4-g32-sym")
    windows = [[int(id) for id in line.split()] for line in args.tokens.read_text().splitlines()]
    runs = {"gptqmodel": run_gptqmodel, "auto-round": run_auto_round}
    runs[args.method](args.model, windows, int(match[1]), int(match[2]), match[3] == "sym", args.out, args)


if __name__ == "__main__":
    main()
