#!/usr/bin/env python3
"""Makes the tiny seeded checkpoints of tests/golden/models and their logits with transformers, in float32.

    pip install torch transformers safetensors
    scripts/golden/make_tiny_models.py tests/golden/models

Each folder holds config.json, model.safetensors and golden.json: a prompt longer than every sliding window, the logits of
all its positions, and the tokens that follow greedily.
"""
import json
import pathlib
import sys

import torch
import transformers
from transformers import AutoModelForCausalLM, Gemma3TextConfig, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

VOCAB, PROMPT, GREEDY = 96, 24, 16
COMMON = dict(vocab_size=VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
              num_key_value_heads=2, max_position_embeddings=256, bos_token_id=1, eos_token_id=2, pad_token_id=0)

MODELS = {
    "llama": LlamaConfig(**COMMON, tie_word_embeddings=False),
    "llama-tied": LlamaConfig(**COMMON, tie_word_embeddings=True),
    "llama-rope3": LlamaConfig(**COMMON, rope_theta=500000.0, rope_scaling={
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32}),
    "llama-linear": LlamaConfig(**COMMON, rope_scaling={"rope_type": "linear", "factor": 4.0}),
    "llama-yarn": LlamaConfig(**COMMON, rope_scaling={
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}),
    "mistral-window": MistralConfig(**COMMON, sliding_window=8, head_dim=8),
    "qwen2": Qwen2Config(**COMMON, tie_word_embeddings=True),
    "qwen3": Qwen3Config(**COMMON, head_dim=16, tie_word_embeddings=True),
    "gemma3": Gemma3TextConfig(**{**COMMON, "num_hidden_layers": 3}, head_dim=16, query_pre_attn_scalar=24, sliding_window=6,
                               layer_types=["sliding_attention", "full_attention", "sliding_attention"],
                               final_logit_softcapping=20.0),
}


def make(name, config, folder):
    torch.manual_seed(sum(name.encode()))
    config._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(config).float().eval()
    with torch.no_grad():
        for key, weight in model.named_parameters():  # larger than the usual start, so that every part matters
            weight.normal_(0.0, 0.3)
            if "norm" in key and "gemma" not in name:
                weight.add_(1.0)
    ids = torch.randint(3, VOCAB, (1, PROMPT))
    with torch.no_grad():
        logits = model(ids).logits[0]
        text = ids
        for _ in range(GREEDY):
            text = torch.cat([text, model(text).logits[0, -1].argmax().view(1, 1)], dim=1)
    model.save_pretrained(folder, safe_serialization=True)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "golden.json").write_text(json.dumps({
        "made_with": f"transformers {transformers.__version__}, torch {torch.__version__}, float32, eager attention",
        "ids": ids[0].tolist(),
        "greedy": text[0, PROMPT:].tolist(),
        "logits": [[float(f"{x:.9g}") for x in row] for row in logits.tolist()],
    }) + "\n")


def main():
    out = pathlib.Path(sys.argv[1])
    for name, config in MODELS.items():
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        make(name, config, folder)
        print(name, sum(f.stat().st_size for f in folder.iterdir()), "bytes")


if __name__ == "__main__":
    main()
