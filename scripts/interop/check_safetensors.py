#!/usr/bin/env python3
"""safetensors: Nibble reads what the library writes in every float type, and the library reads what Nibble writes, in one
file and in shards."""
import importlib.metadata
import json

import torch
import transformers
from transformers import AutoModelForCausalLM

import nibble_program as nibble
import scratch
from agreement import FROM_NIBBLE, TO_NIBBLE, Report, logits_agree, weights_agree
from models import make_tiny, torch_logits

LIBRARY = f"safetensors {importlib.metadata.version('safetensors')}, transformers {transformers.__version__}"
TYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


def library_wrote(model, dtype, shard):
    with scratch.folder() as folder:
        network = model.load(dtype)
        network.save_pretrained(folder / "out", max_shard_size=shard)
        return read_alike(model, folder / "out", dtype, shard)


def nibble_wrote(model, name, shard):
    with scratch.folder() as folder:
        nibble.convert(model.folder, folder / "out", "hf:" + name, "--shard-size", shard)
        return read_alike(model, folder / "out", TYPES[name], shard)


def read_alike(model, folder, dtype, shard):
    files = len(list(folder.glob("*.safetensors")))
    if (files > 1) != (shard == "1MB"):
        raise AssertionError(f"{files} files")
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    weights = {name: weight.to(dtype) for name, weight in network.state_dict().items()}
    agreed = weights_agree(nibble.dequantized(folder), weights)
    return agreed, logits_agree(nibble.logits(folder, model.ids), torch_logits(network, model.ids))


def same_bytes(model):
    """One tensor after another, header and padding: the file of the library, to the byte."""
    with scratch.folder() as folder:
        model.load().save_pretrained(folder / "theirs")
        nibble.convert(folder / "theirs", folder / "ours", "hf:f32")
        theirs, ours = ((folder / which / "model.safetensors").read_bytes() for which in ("theirs", "ours"))
        if theirs != ours:
            length = int.from_bytes(ours[:8], "little")
            raise AssertionError(f"the files differ; Nibble's header begins {json.dumps(ours[8:8 + min(length, 80)].decode())}")
        return "the same file, byte for byte", None


def main():
    report = Report("safetensors", __doc__)
    with scratch.folder() as folder:
        tiny = make_tiny(folder / "tiny")
        for name, dtype in TYPES.items():
            for case, shard in ((name, "5GB"), (name + " in shards", "1MB")):
                report.check(case, TO_NIBBLE, tiny.name, LIBRARY, lambda: library_wrote(tiny, dtype, shard))
                report.check(case, FROM_NIBBLE, tiny.name, LIBRARY, lambda: nibble_wrote(tiny, name, shard))
        report.check("bytes of a file", FROM_NIBBLE, tiny.name, LIBRARY, lambda: same_bytes(tiny))
    report.finish()


if __name__ == "__main__":
    main()
