"""Small models for the tests: the llama of tests/golden with a tokenizer and a chat template, as
tests/integration/small_models.h has it, and one that takes a while."""

import json
import os
import pathlib
import shutil
import struct
import subprocess

import numpy as np
import pytest

GOLDEN = pathlib.Path(__file__).parent.parent / "golden" / "models" / "llama"


def ascii_tokenizer():
    """A token per printable ASCII character up to "{", the space as byte-level BPE writes it, and "th": 96 tokens."""
    vocab = {"<pad>": 0, "<s>": 1, "</s>": 2, "\u0120": 3}
    for code in range(ord("!"), ord("!") + 91):
        vocab[chr(code)] = len(vocab)
    vocab["th"] = len(vocab)
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "added_tokens": [{"id": i, "content": c, **flags} for i, c in enumerate(("<pad>", "<s>", "</s>"))],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocab, "merges": ["t h"]},
    }


def write_text_side(folder):
    (folder / "tokenizer.json").write_text(json.dumps(ascii_tokenizer()))
    (folder / "tokenizer_config.json").write_text('{"bos_token": "<s>", "eos_token": "</s>"}')
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")


def write_safetensors(path, tensors):
    header, offset = {}, 0
    for name, array in tensors.items():
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in tensors.values():
            file.write(array.tobytes())


@pytest.fixture
def chat_folder(tmp_path):
    folder = tmp_path / "m"
    folder.mkdir()
    shutil.copy(GOLDEN / "model.safetensors", folder)
    config = json.loads((GOLDEN / "config.json").read_text())
    config["max_position_embeddings"] = 1 << 20
    (folder / "config.json").write_text(json.dumps(config))
    write_text_side(folder)
    return folder


@pytest.fixture(scope="session")
def large_folder(tmp_path_factory):
    """27 million weights in float32, in 8 layers."""
    folder = tmp_path_factory.mktemp("large")
    hidden, ffn, vocab, layers = 512, 1536, 96, 8
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocab,
        "hidden_size": hidden,
        "intermediate_size": ffn,
        "num_hidden_layers": layers,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "max_position_embeddings": 1 << 16,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
    }
    (folder / "config.json").write_text(json.dumps(config))
    write_text_side(folder)
    random = np.random.default_rng(1)

    def matrix(rows, columns):
        return random.standard_normal((rows, columns), dtype=np.float32) * np.float32(0.02)

    tensors = {"model.embed_tokens.weight": matrix(vocab, hidden), "model.norm.weight": np.ones(hidden, np.float32)}
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[prefix + norm + ".weight"] = np.ones(hidden, np.float32)
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            tensors[prefix + f"self_attn.{name}.weight"] = matrix(hidden, hidden)
        for name in ("gate_proj", "up_proj"):
            tensors[prefix + f"mlp.{name}.weight"] = matrix(ffn, hidden)
        tensors[prefix + "mlp.down_proj.weight"] = matrix(hidden, ffn)
    write_safetensors(folder / "model.safetensors", tensors)
    return folder


@pytest.fixture
def model(chat_folder):
    from nibble import Model

    return Model.from_pretrained(chat_folder, context=600, threads=2)


@pytest.fixture
def run_program():
    """Runs the command line; None where it was not built."""
    program = os.environ.get("NIBBLE_PROGRAM")
    if not program:
        pytest.skip("NIBBLE_PROGRAM names no program")

    def run(*arguments):
        return subprocess.run([program, *map(str, arguments)], check=True, capture_output=True, text=True).stdout

    return run


@pytest.fixture
def text():
    random = np.random.default_rng(3)
    return "".join(chr(c) for c in random.integers(ord(" "), ord("z"), 3000))
