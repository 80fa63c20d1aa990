#!/usr/bin/env python3
"""GPTQ: modules packed by GPTQModel are read by Nibble, and GPTQModel's modules dequantize and run what Nibble writes,
loaded by GPTQModel and by transformers."""
import json
import shutil

import forward  # first: it says how gptqmodel is imported
import gptqmodel
import torch
from gptqmodel.nn_modules.qlinear.torch import TorchLinear
from gptqmodel.quantization import FORMAT, METHOD, QuantizeConfig
from gptqmodel.utils.model import convert_gptq_v1_to_v2_format_module, convert_gptq_v2_to_v1_format_module
from safetensors.torch import save_file
from transformers import __version__ as transformers_version

import nibble_program as nibble
import scratch
from agreement import FROM_NIBBLE, TO_NIBBLE, Report, logits_agree, weights_agree
from models import add_tokenizer, linear_names, make_tiny, smollm2, torch_logits

LIBRARY = f"gptqmodel {gptqmodel.__version__}"
BOTH = f"{LIBRARY}, transformers {transformers_version}"
MIXED = "mixed"  # modules of both kinds
SYMMETRIC_OF_MIXED = ("q_proj", "up_proj", "down_proj")
# case: bits, group size, symmetric, act-order, format, the scheme that Nibble quantizes to, also on SmolLM2
CASES = {
    **{f"{bits} bits, group 32": (bits, 32, True, False, "gptq", f"int{bits}-g32-sym", bits == 4) for bits in (2, 3, 4, 8)},
    "4 bits, group 64": (4, 64, True, False, "gptq", "int4-g64-sym", True),
    "4 bits, channel": (4, -1, True, False, "gptq", "int4-channel-sym", False),
    **{f"{bits} bits, asymmetric, v2": (bits, 32, False, False, "gptq_v2", f"int{bits}-g32-asym", False)
       for bits in (2, 3, 4, 8)},
    "4 bits, symmetric beside asymmetric, v2": (4, 32, MIXED, False, "gptq_v2", None, False),
    "8 bits, symmetric beside asymmetric, v2": (8, 32, MIXED, False, "gptq_v2", None, False),
    "4 bits, asymmetric, v1": (4, 32, False, False, "gptq", None, False),
    "4 bits, act-order": (4, 32, True, True, "gptq", None, False),
    "4 bits, act-order, asymmetric": (4, 32, False, True, "gptq_v2", None, False),
    **{f"{bits} bits, planar (gptq_p)": (bits, 32, False, False, "gptq_p", None, False) for bits in (3, 5, 6, 7)},
}
IN_FLOAT16 = ("4 bits, group 32", "4 bits, asymmetric, v2", "4 bits, act-order")


def new_module(bits, group, symmetric, act_order, layout, rows, cols):
    return TorchLinear(bits=bits, group_size=group, sym=symmetric, desc_act=act_order, in_features=cols, out_features=rows,
                       bias=False, pack_dtype=torch.int32, register_buffers=True, format=FORMAT(layout))


def grid(weight, bits, group, symmetric):
    """Scales and zero points by round-to-nearest: [rows, groups]."""
    groups = weight.unflatten(1, (-1, weight.shape[1] if group == -1 else group))
    low, high = groups.amin(-1).clamp(max=0), groups.amax(-1).clamp(min=0)
    top = 2**bits - 1
    if symmetric:
        scale = (torch.maximum(-low, high) * 2 / top).half().float()
        return scale, torch.full_like(scale, (top + 1) // 2)
    scale = ((high - low) / top).half().float()
    return scale, (-low / scale).round().clamp(1, top)  # no zero point 0: v1 has no one way to store it


def is_symmetric(symmetric, name):
    return name.endswith(SYMMETRIC_OF_MIXED) if symmetric is MIXED else symmetric


def pack(linear, bits, group, symmetric, act_order, layout):
    weight = linear.weight.detach().float()
    rows, cols = weight.shape
    size = cols if group == -1 else group
    index = torch.arange(cols) // size
    if act_order:  # groups of columns in a seeded order, each with `size` members
        index = index[torch.randperm(cols, generator=torch.Generator().manual_seed(1))]
        order = torch.argsort(index, stable=True)
        scale, zero = grid(weight[:, order], bits, group, symmetric)
    else:
        scale, zero = grid(weight, bits, group, symmetric)
    module = new_module(bits, group, symmetric, act_order, layout, rows, cols)
    codes = ((weight / scale[:, index]).round() + zero[:, index]).clamp(0, 2**bits - 1)
    packed = torch.nn.Linear(cols, rows, bias=False)
    packed.weight.data = (codes - zero[:, index]) * scale[:, index]
    module.pack(packed, scale, zero, index.int())
    return module


def dequantized(module):
    """The module's own arithmetic; TorchLinear wants zero points as v2 stores them."""
    if not hasattr(module, "wf_unsqueeze_zero"):
        module.post_init()
    module.eval()
    return module.dequantize_weight().T.contiguous()


def write(model, settings, folder):
    bits, group, symmetric, act_order, layout = settings
    network = model.load(torch.float32)
    dynamic = {rf"+:.*\.{name}$": {"sym": True} for name in SYMMETRIC_OF_MIXED} if symmetric is MIXED else None
    config = QuantizeConfig(bits=bits, group_size=group, sym=symmetric is True, desc_act=act_order, act_group_aware=False,
                            format=FORMAT(layout), dynamic=dynamic)
    tensors = dict(network.state_dict())
    if network.config.tie_word_embeddings:
        del tensors["lm_head.weight"]
    weights = {}
    for name in linear_names(network):
        module = pack(network.get_submodule(name), bits, group, is_symmetric(symmetric, name), act_order, layout)
        stored = {key: value.clone() for key, value in module.state_dict().items()}
        if layout == "gptq":
            convert_gptq_v2_to_v1_format_module(module, config)
            stored["qzeros"] = module.qzeros.clone()
            convert_gptq_v1_to_v2_format_module(module, bits, torch.int32)
        weights[name + ".weight"] = dequantized(module)
        del tensors[name + ".weight"]
        tensors.update({f"{name}.{key}": value for key, value in stored.items()})
    shutil.copytree(model.folder, folder, ignore=shutil.ignore_patterns("*.safetensors*"))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors",
              metadata={"format": "pt"})
    settings_file = folder / "config.json"
    settings_json = json.loads(settings_file.read_text())
    settings_json["quantization_config"] = {**config.to_dict(), "meta": {"quantizer": [f"gptqmodel:{gptqmodel.__version__}"]}}
    settings_file.write_text(json.dumps(settings_json))
    return weights


def read(model, folder):
    """Weights of a folder as GPTQModel's modules dequantize them."""
    tensors = nibble.tensors_of(folder)
    config = json.loads((folder / "config.json").read_text())["quantization_config"]
    weights = {}
    for name in linear_names(model.load()):
        own = {key: tensors[f"{name}.{key}"] for key in ("qweight", "qzeros", "scales", "g_idx")}
        module = new_module(config["bits"], config["group_size"], config["sym"], config["desc_act"],
                            config["checkpoint_format"], own["scales"].shape[1], own["g_idx"].shape[0])
        for key, value in own.items():
            module.register_buffer(key, value)
        if config["checkpoint_format"] == "gptq":
            convert_gptq_v1_to_v2_format_module(module, config["bits"], torch.int32)
        weights[name + ".weight"] = dequantized(module)
    return weights


def load(folder, settings):
    """The network, and whether it computes in float32: planar folders are not known to transformers."""
    _, group, _, _, layout = settings
    if layout == "gptq_p":
        return forward.by_gptqmodel(folder), False
    return (forward.by_transformers_unchosen if group == -1 else forward.by_transformers)(folder), True


def compare(folder, model, weights, settings):
    """The modules round their weights to float16: in float32 they multiply exactly Nibble's where that loses nothing."""
    ours = nibble.dequantized(folder)
    agreed = weights_agree(ours, weights)
    network, exact = load(folder, settings)
    exact = exact and all(torch.equal(ours[name], weight.float()) for name, weight in weights.items())
    logits = logits_agree(nibble.logits(folder, model.ids), torch_logits(network, model.ids), exact)
    return agreed, f"{logits} ({forward.kernels(network, model)})"


def made(model, settings, scheme, folder):
    """A folder by Nibble: quantized by it, or written again by way of its own family where its rounding makes no such
    grid."""
    if scheme is not None:
        nibble.quantize(model.folder, folder / "out", scheme, "gptq")
    else:
        write(model, settings, folder / "theirs")
        nibble.convert(folder / "theirs", folder / "hub", "nibble")
        nibble.convert(folder / "hub", folder / "out", "gptq")


def library_wrote(model, settings):
    with scratch.folder() as folder:
        return compare(folder / "out", model, write(model, settings, folder / "out"), settings)


def nibble_wrote(model, settings, scheme):
    with scratch.folder() as folder:
        made(model, settings, scheme, folder)
        return compare(folder / "out", model, read(model, folder / "out"), settings)


def run_in_float16(model, settings, scheme):
    """GPTQModel with the kernel that it chooses itself, on what Nibble wrote."""
    with scratch.folder() as folder:
        made(model, settings, scheme, folder)
        network = forward.by_gptqmodel(folder / "out")
        logits = logits_agree(nibble.logits(folder / "out", model.ids), torch_logits(network, model.ids), float32=False)
        return "as above", f"{logits} ({forward.kernels(network, model)})"


def main():
    report = Report("GPTQ", __doc__)
    with scratch.folder() as folder:
        tiny = make_tiny(folder / "tiny")
        add_tokenizer(folder / "tiny")
        large = None if report.arguments.no_smollm2 else smollm2()
        for case, (*settings, scheme, main_type) in CASES.items():
            for model in [tiny] + [large] * (large is not None and main_type):
                planar = settings[4] == "gptq_p"
                library = LIBRARY if planar else BOTH
                report.check(case, TO_NIBBLE, model.name, library, lambda: library_wrote(model, settings))
                if planar:
                    report.empty(case, FROM_NIBBLE, LIBRARY, "Nibble reads the planar layout and does not write it")
                else:
                    report.check(case, FROM_NIBBLE, model.name, library, lambda: nibble_wrote(model, settings, scheme))
                if case in IN_FLOAT16:
                    report.check(case + ", computed in float16", FROM_NIBBLE, model.name, LIBRARY,
                                 lambda: run_in_float16(model, settings, scheme))
    report.finish()


if __name__ == "__main__":
    main()
