#!/usr/bin/env python3
"""Runs a method's reference implementation on a CPU, for scripts/compare_methods:

    reference.py gptqmodel-gptq|gptqmodel-awq|auto-round|hqq MODEL TOKENS SCHEME OUT [--iters 200] [--autoround-window 512]

TOKENS holds a window of ids in each line; SCHEME is like int4-g32-sym. Writes a checkpoint in the implementation's own format;
for hqq, whose zero points are real numbers, a float32 model. Needs the environment of scripts/interop/setup_venv.sh, and for hqq
`pip install termcolor`, `pip install --no-deps --no-build-isolation hqq==0.2.8.post1` there.
"""
import argparse
import os
import pathlib
import re

os.environ.setdefault("GPTQMODEL_CPU_WORKERS", "2")  # on two processors it would take one, and then want two
os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")  # compiling takes longer than what is compiled


def run_gptqmodel_gptq(*args):
    run_gptqmodel("gptq", "gptq", *args)


def run_gptqmodel_awq(*args):
    run_gptqmodel("awq", "gemm", *args)


def run_gptqmodel(method, format, model, windows, bits, group, sym, out, _args):
    from gptqmodel import GPTQModel, QuantizeConfig

    config = QuantizeConfig(bits=bits, group_size=group, sym=sym, method=method, format=format)
    loaded = GPTQModel.load(str(model), config, device="cpu")
    loaded.quantize([{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in windows], batch_size=1)
    loaded.save(str(out))


def run_auto_round(model, windows, bits, group, sym, out, args):
    import torch
    from auto_round import AutoRound
    from transformers import AutoModelForCausalLM, AutoTokenizer

    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    window = args.autoround_window
    windows = [ids[i : i + window] for ids in windows for i in range(0, len(ids) - window + 1, window)]
    batches = [{"input_ids": torch.tensor([ids])} for ids in windows]
    rounding = AutoRound(loaded, AutoTokenizer.from_pretrained(model), bits=bits, group_size=group, sym=sym,
                         iters=args.iters, seqlen=window, nsamples=len(windows), dataset=batches, device_map="cpu")
    rounding.quantize_and_save(str(out), format="auto_round")


def run_hqq(model, _windows, bits, group, sym, out, _args):
    import torch
    from hqq.core.quantize import Quantizer
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert not sym, "hqq has zero points"
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    for name, module in loaded.model.layers.named_modules():
        if isinstance(module, torch.nn.Linear):
            codes, meta = Quantizer.quantize(module.weight.data, nbits=bits, group_size=group, optimize=True, axis=1,
                                             round_zero=bits == 4, bitpack=False, compute_dtype=torch.float16, device="cpu")
            scale, zero = meta["scale"].half().float(), meta["zero"].half().float()
            values = (codes.float().reshape(-1, group) - zero.reshape(-1, 1)) * scale.reshape(-1, 1)
            module.weight.data = values.reshape(module.weight.shape)
    loaded.save_pretrained(out)
    AutoTokenizer.from_pretrained(model).save_pretrained(out)


RUNS = {"gptqmodel-gptq": run_gptqmodel_gptq, "gptqmodel-awq": run_gptqmodel_awq, "auto-round": run_auto_round,
        "hqq": run_hqq}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", choices=list(RUNS))
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("tokens", type=pathlib.Path)
    parser.add_argument("scheme")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--iters", type=int, default=200)
    parser.add_argument("--autoround-window", type=int, default=512, help="tokens; the windows are cut so")
    args = parser.parse_args()
    match = re.fullmatch(r"int(\d)-g(\d+)-(sym|asym)", args.scheme)
    if not match:
        parser.error(f"{args.scheme}: not like int4-g32-sym")
    windows = [[int(id) for id in line.split()] for line in args.tokens.read_text().splitlines()]
    RUNS[args.method](args.model, windows, int(match[1]), int(match[2]), match[3] == "sym", args.out, args)


if __name__ == "__main__":
    main()
