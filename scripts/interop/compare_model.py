#!/usr/bin/env python3
"""Compares a model as Nibble runs it in float32 with Hugging Face transformers on the same weights.

    scripts/interop/compare_model.py MODEL --text FILE [--windows 40] [--ctx 512]

MODEL  a float Hugging Face folder, as `nibble convert MODEL.gguf -o FOLDER --to hf:bf16` writes. Needs torch, transformers
       and numpy (scripts/interop/setup_venv.sh), and nibble-logits (`scripts/build bench nibble-logits`).

Prints, for five prompts, the largest difference between the logits of any position as a part of the largest logit (at most
1e-3) and whether 64 greedy tokens are the same; then the perplexity of the text's first windows (within 0.1 %). Exit
status 1 when anything is out of bounds.
"""
import argparse
import json
import sys

import torch
import transformers

import nibble_program
import scratch

PROMPTS = [
    "The capital of France is",
    "def quicksort(items):\n    ",
    "In 1905, Albert Einstein published four papers that",
    "<|im_start|>user\nWhy is the sky blue?<|im_end|>\n<|im_start|>assistant\n",
    "Die Würde des Menschen ist unantastbar. 人人生而自由，在尊严和权利上一律平等。",
]
GREEDY = 64


def greedy_of_nibble(model, ids):
    with scratch.folder() as folder:
        (folder / "ids").write_text(" ".join(map(str, ids)))
        printed = nibble_program.run(nibble_program.LOGITS_PROGRAM, model, folder / "ids", folder / "logits", "f32", GREEDY)
        return [int(word) for word in printed.split()]


def greedy_of_transformers(model, ids):
    tokens = list(ids)
    for _ in range(GREEDY):
        tokens.append(int(model(torch.tensor([tokens])).logits[0, -1].argmax()))
    return tokens[len(ids):]


def perplexity_of_nibble(folder, text, ctx, windows):
    printed = nibble_program.run(nibble_program.PROGRAM, "-q", "eval", folder, "--text", text, "--ctx", ctx, "--chunks",
                                 windows, "--compute", "f32", "--json")
    return json.loads(printed)["ppl"]


def perplexity_of_transformers(model, tokenizer, text, ctx, windows):
    with open(text, encoding="utf-8") as file:
        ids = tokenizer(file.read(), add_special_tokens=False)["input_ids"]
    losses = []
    for window in range(windows):
        part = torch.tensor([ids[window * ctx:(window + 1) * ctx]])
        logits = model(part).logits[0, :-1].double()
        losses.append(torch.nn.functional.cross_entropy(logits, part[0, 1:], reduction="mean"))
    return float(torch.stack(losses).mean().exp())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--text", required=True)
    parser.add_argument("--windows", type=int, default=40)
    parser.add_argument("--ctx", type=int, default=512)
    arguments = parser.parse_args()
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.model)
    model = transformers.AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32).eval()
    good = True
    print(f"transformers {transformers.__version__}, torch {torch.__version__}\n")
    print("| prompt | tokens | largest difference / largest logit | greedy tokens the same |\n| --- | --- | --- | --- |")
    with torch.inference_mode():
        for prompt in PROMPTS:
            ids = tokenizer(prompt)["input_ids"]
            theirs = model(torch.tensor([ids])).logits[0]
            ours = nibble_program.logits(arguments.model, ids)
            error = float((ours - theirs).abs().max() / theirs.abs().max())
            mine, yours = greedy_of_nibble(arguments.model, ids), greedy_of_transformers(model, ids)
            same = sum(1 for a, b in zip(mine, yours) if a == b)
            good = good and error <= 1e-3 and same == GREEDY and len(mine) == GREEDY
            print(f"| {json.dumps(prompt[:24], ensure_ascii=False)} | {len(ids)} | {error:.1e} | {same} of {GREEDY} |", flush=True)
        theirs = perplexity_of_transformers(model, tokenizer, arguments.text, arguments.ctx, arguments.windows)
    ours = perplexity_of_nibble(arguments.model, arguments.text, arguments.ctx, arguments.windows)
    good = good and abs(ours / theirs - 1) <= 1e-3
    print(f"\nPerplexity of the first {arguments.windows} windows of {arguments.ctx}: {ours:.5f}, transformers {theirs:.5f} "
          f"({100 * (ours / theirs - 1):+.5f} %)")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
