"""What the mock server says of its models, in the shape of `nibble inspect --tensors --json` and of its reports."""

import math
import pathlib
import random

HERE = pathlib.Path(__file__).parent
LAYERS = 30
KINDS = {
    "self_attn.q_proj": (576, 576),
    "self_attn.k_proj": (192, 576),
    "self_attn.v_proj": (192, 576),
    "self_attn.o_proj": (576, 576),
    "mlp.gate_proj": (1536, 576),
    "mlp.up_proj": (1536, 576),
    "mlp.down_proj": (576, 1536),
}
MODELS = ("smollm2-135m-int4", "smollm2-135m-mixed")


def bits_of(model, layer, kind):
    if model == MODELS[0]:
        return 4.5
    return (
        6.5 if kind.endswith(("v_proj", "down_proj")) and (layer < 4 or layer % 5 == 0) else 4.5 if layer % 2 else 3.5
    )


def scheme_of(bits):
    return {3.5: "int3-g32-sym", 4.5: "int4-g32-sym", 6.5: "int6-g32-sym"}[bits]


def inspection(model):
    tensors = [{"name": "model.embed_tokens.weight", "shape": [49152, 576], "scheme": "bf16", "bytes": 49152 * 576 * 2}]
    for layer in range(LAYERS):
        for kind, (rows, cols) in KINDS.items():
            bits = bits_of(model, layer, kind)
            tensors.append(
                {
                    "name": f"model.layers.{layer}.{kind}",
                    "shape": [rows, cols],
                    "scheme": scheme_of(bits),
                    "bytes": int(rows * cols * bits / 8),
                }
            )
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors.append(
                {"name": f"model.layers.{layer}.{norm}.weight", "shape": [576], "scheme": "bf16", "bytes": 1152}
            )
    tensors.append({"name": "model.norm.weight", "shape": [576], "scheme": "bf16", "bytes": 1152})
    size = sum(t["bytes"] for t in tensors)
    parameters = sum(math.prod(t["shape"]) for t in tensors)
    return {
        "path": f"models/{model}",
        "container": "safetensors",
        "family": "compressed-tensors",
        "architecture": "LlamaForCausalLM",
        "runnable": True,
        "parameters": parameters,
        "bits_per_weight": 8 * size / parameters,
        "file_bytes": size,
        "context": 8192,
        "memory_to_run": size + 90_000_000,
        "notes": {"tokenizer": "byte-level BPE, 49152 tokens", "chat template": "ChatML"},
        "tensors": tensors,
    }


def report(model, divergence=0.031, seed=1):
    draw = random.Random(seed)
    tensors = []
    for layer in range(LAYERS):
        for kind in KINDS:
            bits = bits_of(model, layer, kind)
            error = 2.0 ** (-2 * bits) * (4 + 2 * draw.random()) * (1 + 3 * math.exp(-layer / 3))
            tensors.append(
                {
                    "name": f"model.layers.{layer}.{kind}",
                    "source_scheme": "bf16",
                    "scheme": scheme_of(bits),
                    "bits_per_weight": bits,
                    "exact": False,
                    "keeps_codes": False,
                    "relative_error": error * 1.4,
                    "output_error": error * 0.7,
                    "rtn_output_error": error * 1.3,
                    "seconds": 0.2,
                }
            )
    windows = [max(0.001, draw.gauss(divergence, divergence / 4)) for _ in range(24)]
    return {
        "family": "compressed-tensors",
        "bytes": inspection(model)["file_bytes"],
        "bits_per_weight": 4.5,
        "relative_error": 0.09,
        "seconds": 41.5,
        "bit_choice": {
            "predicted_kld": divergence * 1.1,
            "substitutions": [
                {
                    "what": f"model.layers.{i}.mlp.down_proj",
                    "bits": b,
                    "predicted": 0.002 * 2.0 ** (4 - b),
                    "measured": 0.0019 * 2.0 ** (4 - b) * (1 + draw.random() / 5),
                }
                for i in range(0, 12, 3)
                for b in (3, 4)
            ],
        },
        "held_out_text": "calibration, last windows",
        "held_out": {
            "tokens": 24 * 512,
            "windows": 24,
            "ppl": 18.42,
            "ppl_stderr": 0.41,
            "baseline_ppl": 17.9,
            "baseline_ppl_stderr": 0.4,
            "kld_mean": divergence,
            "kld_mean_stderr": divergence / 30,
            "kld_p99": divergence * 11,
            "kld_max": divergence * 90,
            "top1_agreement": 0.921,
            "top1_agreement_stderr": 0.003,
            "seconds": 12.5,
            "window_nll": [2.9] * 24,
            "window_kld": windows,
        },
        "files": [f"{model}.report.json", f"{model}.report.html"],
        "tensors": tensors,
    }


def reports():
    """As /api/reports gives them."""
    return [
        {"name": f"{MODELS[0]}.report.json", "report": report(MODELS[0])},
        {"name": f"{MODELS[1]}.report.json", "report": report(MODELS[1], 0.047, 2)},
    ]


def recorded(name):
    """Output of the program itself (SmolLM2-135M, gptq int4-g32-sym; its GGUF original), as JSON text."""
    return (HERE / "fixtures" / name).read_text(encoding="utf-8")
