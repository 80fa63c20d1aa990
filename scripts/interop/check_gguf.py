#!/usr/bin/env python3
"""GGUF: the gguf package reads and dequantizes every type that Nibble writes, transformers loads the files, and Nibble
reads what the package writes."""
import importlib.metadata

import gguf
import numpy
import torch
import transformers
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
from gguf.quants import dequantize, quantize
from transformers import AutoModelForCausalLM

import nibble_program as nibble
import scratch
from agreement import FROM_NIBBLE, TO_NIBBLE, Report, logits_agree, weights_agree
from models import add_tokenizer, make_tiny, smollm2, torch_logits

LIBRARY = f"gguf {importlib.metadata.version('gguf')}"
BOTH = f"{LIBRARY}, transformers {transformers.__version__}"
FLOATS = ("f32", "f16", "bf16")
# The package encodes these; the others it only decodes. Nibble's rounding makes no offsets.
OFFSETS = ("q4_1", "q5_1")
UNKNOWN = {"q1_0": "the package answers \"Dequantization for Q1_0 is not yet implemented\"",
           "q2_0": "the package has no type 42"}
ENCODED = ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "tq1_0", "tq2_0", "mxfp4")


def writable_types():
    """The types that Nibble offers, from its own message."""
    try:
        nibble.run(nibble.PROGRAM, "convert", "x", "-o", "y.gguf", "--to", "gguf:?")
    except nibble.NibbleError as error:
        return str(error).split("known: ")[1].split(", ")
    raise AssertionError("gguf:? was accepted")


def values_of(file):
    """Every tensor as the package dequantizes it."""
    values, types = {}, set()
    for tensor in GGUFReader(file).tensors:
        types.add(tensor.tensor_type.name.lower())
        shape = [int(extent) for extent in reversed(tensor.shape)]
        data = dequantize(tensor.data, tensor.tensor_type).reshape(shape)
        values[tensor.name] = torch.from_numpy(numpy.ascontiguousarray(data, dtype=numpy.float32))
    return values, types


def read_by_nibble(file):
    """What Nibble reads from the file, under the file's names: as a GGUF file of floats."""
    with scratch.folder() as folder:
        nibble.convert(file, folder / "float.gguf", "gguf:f32")
        return values_of(folder / "float.gguf")[0]


def nibble_wrote(model, name):
    with scratch.folder() as folder:
        file = folder / "model.gguf"
        if name in FLOATS:
            nibble.convert(model.folder, file, "gguf:" + name)
        elif name in OFFSETS:
            encode(model, name, folder / "theirs.gguf")
            nibble.convert(folder / "theirs.gguf", folder / "hub", "nibble")
            nibble.convert(folder / "hub", file, "gguf:" + name)
        else:
            nibble.quantize(model.folder, file, name, "gguf")
        values, types = values_of(file)
        if name not in types:
            raise AssertionError(f"the file holds {sorted(types)}")
        agreed = weights_agree(read_by_nibble(file), values)
        return agreed, transformers_logits(file, model)


def transformers_logits(file, model):
    """transformers dequantizes with the package and computes in float32."""
    network = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32).eval()
    return logits_agree(nibble.logits(file, model.ids), torch_logits(network, model.ids))


def encode(model, name, file):
    """The package encodes the matrices of a file that Nibble made; the rest is copied."""
    kind = GGMLQuantizationType[name.upper()]
    with scratch.folder() as folder:
        nibble.convert(model.folder, folder / "float.gguf", "gguf:f32")
        source = GGUFReader(folder / "float.gguf")
        writer = GGUFWriter(file, arch="llama")
        for key, field in source.fields.items():
            if not key.startswith("GGUF.") and key != "general.architecture":
                sub = field.types[1] if len(field.types) > 1 else None
                writer.add_key_value(key, field.contents(), field.types[0], sub)
        for tensor in source.tensors:
            matrix = tensor.data.ndim == 2
            data = quantize(tensor.data, kind) if matrix else tensor.data
            writer.add_tensor(tensor.name, data, raw_dtype=kind if matrix else None)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def library_wrote(model, name):
    with scratch.folder() as folder:
        encode(model, name, folder / "model.gguf")
        values, types = values_of(folder / "model.gguf")
        if name not in types:
            raise AssertionError(f"the file holds {sorted(types)}")
        return weights_agree(read_by_nibble(folder / "model.gguf"), values), None


def main():
    report = Report("GGUF", __doc__)
    with scratch.folder() as folder:
        tiny = make_tiny(folder / "tiny")
        add_tokenizer(folder / "tiny")
        large = None if report.arguments.no_smollm2 else smollm2()
        for name in writable_types():
            if name in UNKNOWN:
                report.empty(name, FROM_NIBBLE, LIBRARY, UNKNOWN[name])
                continue
            for model in [tiny] + [large] * (large is not None and name in ("f32", "q4_0", "q8_0")):
                report.check(name, FROM_NIBBLE, model.name, BOTH, lambda: nibble_wrote(model, name))
        for name in ENCODED:
            report.check(name, TO_NIBBLE, tiny.name, LIBRARY, lambda: library_wrote(tiny, name))
    report.empty("k-quants and IQ types", TO_NIBBLE, LIBRARY,
                 "the package decodes them and does not implement their quantize(); tests/golden/ggml holds ggml's own blocks "
                 "and values")
    report.finish()


if __name__ == "__main__":
    main()
