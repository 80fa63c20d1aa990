#!/usr/bin/env python3
"""AutoRound: what it exports (rounding to nearest) is read by Nibble, and transformers loads through it what Nibble
writes."""
import json
import shutil

import auto_round
import torch
import transformers
from auto_round import AutoRound
from transformers import AutoModelForCausalLM, AutoTokenizer

import nibble_program as nibble
import scratch
from agreement import FROM_NIBBLE, TO_NIBBLE, Report, logits_agree, weights_agree
from models import add_tokenizer, linear_names, make_tiny, torch_logits

LIBRARY = f"auto-round {auto_round.__version__}, transformers {transformers.__version__}"
MIXED = {"model.layers.0.mlp.down_proj": {"bits": 8}, "model.layers.1.self_attn.q_proj": {"bits": 2, "group_size": 64}}
AGAIN = "again"  # what the library wrote goes through Nibble's own family and back
# case: format, bits, symmetric, what single layers have differently, the scheme that Nibble quantizes to (None: none)
CASES = {
    **{f"auto_round, {bits} bits": ("auto_round", bits, True, {}, f"int{bits}-g32-sym") for bits in (2, 3, 4, 8)},
    **{f"auto_round, {bits} bits, asymmetric": ("auto_round", bits, False, {}, f"int{bits}-g32-asym") for bits in (2, 4)},
    "auto_round:auto_awq, 4 bits, asymmetric": ("auto_round:auto_awq", 4, False, {}, None),
    "auto_round, mixed bits (extra_config)": ("auto_round", 4, True, MIXED, AGAIN),
    "auto_round, mixed bits, asymmetric": ("auto_round", 4, False, MIXED, AGAIN),
}


def dequantized(network, names):
    """An identity matrix through each layer gives its weights, whatever class it is."""
    weights = {}
    for name in names:
        module = network.get_submodule(name)
        if isinstance(module, torch.nn.Linear):
            continue
        with torch.no_grad():
            rows = module(torch.eye(module.infeatures if hasattr(module, "infeatures") else module.in_features))
        weights[name + ".weight"] = rows.T.contiguous().half()  # what the layers compute in
    return weights


def agree(folder, model):
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    weights = dequantized(network, linear_names(model.load()))
    agreed = weights_agree(nibble.dequantized(folder), weights)
    return agreed, logits_agree(nibble.logits(folder, model.ids), torch_logits(network, model.ids), float32=False)


def write(model, options, folder):
    layout, bits, symmetric, layers, _ = options
    tuner = AutoRound(model.load(), AutoTokenizer.from_pretrained(model.folder), bits=bits, group_size=32, sym=symmetric,
                      scheme="W4A16", iters=0, disable_opt_rtn=True, layer_config=dict(layers), device_map="cpu")
    tuner.quantize_and_save(str(folder / "saved"), format=layout)
    saved = next(file.parent for file in (folder / "saved").rglob("config.json"))
    shutil.move(saved, folder / "out")


def library_wrote(model, options):
    with scratch.folder() as folder:
        write(model, options, folder)
        settings = json.loads((folder / "out/config.json").read_text())["quantization_config"]
        agreed, logits = agree(folder / "out", model)
        return f"{agreed}, {settings['packing_format']}", logits


def nibble_wrote(model, options):
    with scratch.folder() as folder:
        if options[4] != AGAIN:
            nibble.quantize(model.folder, folder / "made", options[4], "auto-round")
        else:
            write(model, options, folder)
            nibble.convert(folder / "out", folder / "hub", "nibble")
            nibble.convert(folder / "hub", folder / "made", "auto-round")
        return agree(folder / "made", model)


def main():
    report = Report("AutoRound", __doc__)
    with scratch.folder() as folder:
        tiny = make_tiny(folder / "tiny")
        add_tokenizer(folder / "tiny")
        for case, options in CASES.items():
            report.check(case, TO_NIBBLE, tiny.name, LIBRARY, lambda: library_wrote(tiny, options))
            if options[4] is not None:
                report.check(case, FROM_NIBBLE, tiny.name, LIBRARY, lambda: nibble_wrote(tiny, options))
    report.finish()


if __name__ == "__main__":
    main()
