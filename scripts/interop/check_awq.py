#!/usr/bin/env python3
"""AWQ: modules packed by AutoAWQ are read by Nibble; AutoAWQ and transformers (with GPTQModel's modules) run what
either writes."""
import importlib.metadata
import json
import shutil

import awq.modules.linear.gemm
import forward
import torch
import transformers
from awq.modules.linear.gemm import WQLinear_GEMM
from awq.utils.packing_utils import dequantize_gemm
from safetensors.torch import save_file

import nibble_program as nibble
import scratch
from agreement import FROM_NIBBLE, TO_NIBBLE, Report, logits_agree, weights_agree
from models import linear_names, make_tiny, smollm2, torch_logits

LIBRARY = f"autoawq {importlib.metadata.version('autoawq')}"
BOTH = f"gptqmodel {importlib.metadata.version('gptqmodel')}, transformers {transformers.__version__}"
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


def modules_of(model, group, folder):
    """A folder's layers as AutoAWQ's modules."""
    tensors = nibble.tensors_of(folder)
    modules = {}
    for name in linear_names(model.load()):
        stored = {key: tensors[f"{name}.{key}"] for key in ("qweight", "qzeros", "scales")}
        rows, cols = stored["scales"].shape[1], stored["qweight"].shape[0]
        modules[name] = WQLinear_GEMM(4, group, cols, rows, bias=False, dev="cpu")
        modules[name].load_state_dict(stored)
    return modules


def run_by_autoawq(model, modules, ids):
    """AutoAWQ's own arithmetic without a GPU: its modules dequantize and multiply in float16. Of its ways, the one by
    Triton is turned off, which is chosen wherever Triton is installed and needs a GPU."""
    awq.modules.linear.gemm.TRITON_AVAILABLE = False
    network = model.load(torch.float16)
    for name, module in modules.items():
        network.set_submodule(name, module)
    return torch_logits(network, ids)


def agree(folder, model, group):
    modules = modules_of(model, group, folder)
    weights = {name + ".weight": dequantized(module.state_dict(), group) for name, module in modules.items()}
    agreed = weights_agree(nibble.dequantized(folder), weights)
    theirs = run_by_autoawq(model, modules, model.ids)
    logits = logits_agree(nibble.logits(folder, model.ids), theirs, float32=False)
    return agreed, f"{logits} (in float16)"


def run_by_transformers(folder, model):
    """In float32, with weights rounded to float16; an identity matrix through each layer gives them."""
    network = forward.by_transformers(folder)
    weights = {}
    for name in linear_names(model.load()):
        module = network.get_submodule(name)
        with torch.no_grad():
            weights[name + ".weight"] = module(torch.eye(module.in_features)).T.half()
    agreed = weights_agree(nibble.dequantized(folder), weights)
    logits = logits_agree(nibble.logits(folder, model.ids), torch_logits(network, model.ids), float32=False)
    return agreed, f"{logits} ({forward.kernels(network, model)})"


def check(report, case, group, model):
    with scratch.folder() as folder:
        theirs, ours = folder / "theirs", folder / "ours"

        def library_wrote():
            write(model, group, theirs)
            return agree(theirs, model, group)

        def nibble_wrote():
            nibble.quantize(model.folder, ours, f"int4-g{group}-asym", "awq")
            return agree(ours, model, group)

        report.check(case, TO_NIBBLE, model.name, LIBRARY, library_wrote)
        report.check(case, FROM_NIBBLE, model.name, LIBRARY, nibble_wrote)
        for direction, written in ((TO_NIBBLE, theirs), (FROM_NIBBLE, ours)):
            report.check(case + ", loaded by transformers", direction, model.name, BOTH,
                         lambda: run_by_transformers(written, model))


def main():
    report = Report("AWQ", __doc__)
    with scratch.folder() as folder:
        tiny = make_tiny(folder / "tiny")
        large = None if report.arguments.no_smollm2 else smollm2()
        for case, group in CASES.items():
            for model in [tiny] + [large] * (large is not None):
                check(report, case, group, model)
    report.empty("GEMV and GEMVFast", TO_NIBBLE, LIBRARY, "the modules run on a GPU only: on a CPU they end with 'External "
                 "AWQ kernels are not properly installed'; tests/golden/families has tensors of both")
    report.finish()


if __name__ == "__main__":
    main()
