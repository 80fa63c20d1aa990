"""The models that all scripts of this folder check with: a seeded Llama of two blocks, and SmolLM2 where it is at hand.

SMOLLM2 names a folder with SmolLM2-135M in BF16 (default: what scripts/demo leaves behind).
"""
import dataclasses
import os
import pathlib

import tokenizers
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

import scratch

SEED = 20
SMOLLM2 = pathlib.Path(os.environ.get("SMOLLM2", "~/.cache/nibble/demo/smollm2-bf16")).expanduser()


@dataclasses.dataclass
class Model:
    name: str
    folder: pathlib.Path
    dtype: torch.dtype
    ids: list  # a prompt

    def load(self, dtype=None):
        return AutoModelForCausalLM.from_pretrained(self.folder, dtype=dtype or self.dtype).eval()


def make_tiny(folder, dtype=torch.float32, hidden=256):
    """Llama with two blocks, the feed-forward twice as wide; weights large enough that every one matters. The head
    leans towards the successor of the last token: no likeliest token is a matter of rounding."""
    torch.manual_seed(SEED)
    config = LlamaConfig(vocab_size=512, hidden_size=hidden, intermediate_size=2 * hidden, num_hidden_layers=2,
                         num_attention_heads=8, num_key_value_heads=4, max_position_embeddings=512,
                         tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, pad_token_id=0)
    model = AutoModelForCausalLM.from_config(config).float()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.normal_(0.0, 0.06)
            if "norm" in name:
                weight.add_(1.0)
            elif "embed" in name:
                weight.mul_(10.0)
        model.lm_head.weight.add_(0.12 * torch.roll(model.get_input_embeddings().weight, 1, 0))
    model.to(dtype).save_pretrained(folder)
    return Model("tiny", pathlib.Path(folder), dtype, torch.randint(3, 512, (256,)).tolist())


def add_tokenizer(folder, vocab_size=512):
    """Bytes and nothing else, for libraries that do not open a folder without a tokenizer."""
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    words = ["<pad>", "<s>", "</s>"] + letters
    words += [f"<unused{i}>" for i in range(vocab_size - len(words))]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE({word: i for i, word in enumerate(words)}, []))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>",
                            eos_token="</s>").save_pretrained(folder)


PROMPT = """A lighthouse keeper once told me that the sea has only two moods, and that both of them are honest. In the
first it gives: fish, driftwood, the slow patience of the tides. In the second it takes back what it lent. People who
live on the coast learn to tell the two apart before they learn to read. They look at the colour of the water, at the
height of the gulls, at the way the rope lies on the pier. When the wind turns to the north they pull their boats up
onto the sand, close the shutters and wait. Nobody thinks of this as courage."""


def smollm2():
    """SmolLM2-135M, or None where it is not at hand."""
    if not (SMOLLM2 / "config.json").exists():
        return None
    tokenizer = tokenizers.Tokenizer.from_file(str(SMOLLM2 / "tokenizer.json"))
    return Model("SmolLM2", SMOLLM2, torch.bfloat16, tokenizer.encode(PROMPT).ids)


def linear_names(model):
    """Names of the linear layers inside the blocks: what every family quantizes."""
    return [name for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear) and not name.endswith("lm_head")]


def torch_logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].float()
