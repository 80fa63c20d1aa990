"""A tiny model folder that can chat and knows tool calls: the llama of tests/golden with a token per character."""
import json
import pathlib
import shutil

TEMPLATE = """{% if tools %}Answer with <tool_call>
{"name": NAME, "arguments": {...}}
</tool_call> of {{ tools | tojson }}{% endif %}{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}"""


def write(folder: pathlib.Path, root: pathlib.Path) -> None:
    source = root / "tests/golden/models/llama"
    folder.mkdir(parents=True)
    shutil.copy(source / "model.safetensors", folder)
    config = json.loads((source / "config.json").read_text())
    config["max_position_embeddings"] = 1 << 20
    (folder / "config.json").write_text(json.dumps(config))
    # Printable characters up to "|", with "}" and the line end in place of two of them: 96 tokens.
    characters = [chr(c) for c in range(ord("!"), ord("}"))]
    characters[characters.index("`")] = "}"
    characters[characters.index("^")] = "\u010a"
    vocab = {text: i for i, text in enumerate(["<pad>", "<s>", "</s>", "\u0120", *characters])}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    (folder / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "normalizer": None, "pre_tokenizer": level, "post_processor": None, "decoder": level,
        "added_tokens": [{"id": i, "content": text, **flags} for i, text in enumerate(["<pad>", "<s>", "</s>"])],
        "model": {"type": "BPE", "vocab": vocab, "merges": []}}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "</s>"}))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
