#!/usr/bin/env python3
"""AWQ: modules packed by AutoAWQ are read by Nibble, and AutoAWQ dequantizes what Nibble writes."""
import importlib.metadata
import json
import shutil

import torch
from awq.modules.linear.gemm import WQLinear_GEMM
from awq.utils.packing_utils import dequantize_gemm
from safetensors.torch import save_file

import nibble_program as nibble
import scratch
from agreement import FROM_NIBBLE, TO_NIBBLE, Report, logits_agree, weights_agree
from models import linear_names, make_tiny, smollm2, torch_logits

LIBRARY = f"autoawq {importlib.metadata.version('autoawq')}"
CASES = {"GEMM, group 32": 32, "GEMM, group 64": 64}


def dequantized(tensors, group):
    values = dequantize_gemm(tensors["qweight"], tensors["qzeros"], tensors["scales"], 4, group)
    return values.T.contiguous()


def pack(linear, group):
    weight = linear.weight.detach().float()
    groups = weight.unflatten(1, (-1, group))
    low, high = groups.amin(-1).clamp(max=0), groups.amax(-1).clamp(min=0)
    scale = ((high - low) / 15).half().float()
    zero = (-low / scale).round().clamp(0, 15)
    index = torch.arange(weight.shape[1]) // group
    codes = ((weight / scale[:, index]).round() + zero[:, index]).clamp(0, 15)
    grid = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    grid.weight.data = (codes - zero[:, index]) * scale[:, index]
    return WQLinear_GEMM.from_linear(grid, 4, group, scales=scale.T.contiguous(), zeros=zero.T.contiguous())


def write(model, group, folder):
    network = model.load(torch.float32)
    tensors = dict(network.state_dict())
    if network.config.tie_word_embeddings:
        del tensors["lm_head.weight"]
    weights = {}
    for name in linear_names(network):
        stored = pack(network.get_submodule(name), group).state_dict()
        weights[name + ".weight"] = dequantized(stored, group)
        del tensors[name + ".weight"]
        tensors.update({f"{name}.{key}": value for key, value in stored.items()})
    shutil.copytree(model.folder, folder, ignore=shutil.ignore_patterns("*.safetensors*"))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors",
              metadata={"format": "pt"})
    settings = json.loads((folder / "config.json").read_text())
    settings["quantization_config"] = {"quant_method": "awq", "bits": 4, "group_size": group, "zero_point": True,
                                       "version": "gemm", "modules_to_not_convert": None}
    (folder / "config.json").write_text(json.dumps(settings))
    return weights


def read(model, group, folder):
    tensors = nibble.tensors_of(folder)
    return {name + ".weight": dequantized({key: tensors[f"{name}.{key}"] for key in ("qweight", "qzeros", "scales")}, group)
            for name in linear_names(model.load())}


def agree(folder, model, weights):
    network = model.load(torch.float32)
    for name, weight in weights.items():
        network.get_submodule(name.removesuffix(".weight")).weight.data = weight.float()
    logits = logits_agree(nibble.logits(folder, model.ids), torch_logits(network, model.ids), float32=False)
    return weights_agree(nibble.dequantized(folder), weights), logits


def library_wrote(model, group):
    with scratch.folder() as folder:
        return agree(folder / "out", model, write(model, group, folder / "out"))


def nibble_wrote(model, group):
    with scratch.folder() as folder:
        nibble.quantize(model.folder, folder / "out", f"int4-g{group}-asym", "awq")
        return agree(folder / "out", model, read(model, group, folder / "out"))


def main():
    report = Report("AWQ", __doc__)
    with scratch.folder() as folder:
        tiny = make_tiny(folder / "tiny")
        large = None if report.arguments.no_smollm2 else smollm2()
        for case, group in CASES.items():
            for model in [tiny] + [large] * (large is not None):
                report.check(case, TO_NIBBLE, model.name, LIBRARY, lambda: library_wrote(model, group))
                report.check(case, FROM_NIBBLE, model.name, LIBRARY, lambda: nibble_wrote(model, group))
    report.empty("GEMV and GEMVFast", TO_NIBBLE, LIBRARY, "the library unpacks them on a GPU only; tests/golden/families "
                 "has tensors of both")
    report.finish()


if __name__ == "__main__":
    main()
