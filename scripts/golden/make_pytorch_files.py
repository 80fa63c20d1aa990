#!/usr/bin/env python3
"""Makes the small PyTorch checkpoints of tests/golden/pytorch and the refused ones of tests/corrupt/pytorch.

    pip install torch numpy
    scripts/golden/make_pytorch_files.py tests

state_dict.json beside the golden files says what torch holds in each tensor: dtype by its name in safetensors, shape,
and the bytes in row-major order.
"""
import collections
import json
import os
import pathlib
import sys
import zipfile

import torch

DTYPES = {torch.bool: "BOOL", torch.uint8: "U8", torch.int8: "I8", torch.float8_e5m2: "F8_E5M2",
          torch.float8_e4m3fn: "F8_E4M3", torch.float8_e8m0fnu: "F8_E8M0", torch.int16: "I16", torch.uint16: "U16",
          torch.float16: "F16", torch.bfloat16: "BF16", torch.int32: "I32", torch.uint32: "U32", torch.float32: "F32",
          torch.float64: "F64", torch.int64: "I64", torch.uint64: "U64"}


def state_dict():
    torch.manual_seed(1)
    module = torch.nn.Linear(3, 2)
    weights = module.state_dict()  # an OrderedDict with the attribute _metadata
    base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    for dtype, name in DTYPES.items():
        values = torch.arange(-3, 3) if dtype.is_signed else torch.arange(1, 7) % (2 if dtype == torch.bool else 100)
        weights["every." + name] = values.to(dtype).reshape(2, 3)
    weights["tied"] = weights["weight"]
    weights["parameter"] = torch.nn.Parameter(base[0].clone())
    weights["transposed"] = base[0].t()
    weights["permuted"] = base.permute(2, 0, 1)
    weights["columns"] = base[:, :, 1:3]
    weights["rows"] = base[1, 1:]
    weights["repeated"] = torch.tensor([7.0, 8.0]).expand(3, 2)[:1]
    weights["every_second"] = torch.arange(10, dtype=torch.int16)[::2]
    weights["scalar"] = torch.tensor(3.5)
    weights["empty"] = torch.zeros(0, 3)
    return weights


def described(tensors):
    out = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().contiguous()
        data = tensor.flatten().view(torch.uint8) if tensor.numel() else torch.zeros(0, dtype=torch.uint8)
        out[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "hex": bytes(data.tolist()).hex()}
    return out


def gptq_folder(folder):
    """Two modules of 4 bits in two shards, as AutoGPTQ saved them before safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(2)
    shards = []
    for module in ("model.layers.0.mlp.up_proj", "model.layers.0.mlp.down_proj"):
        shards.append(collections.OrderedDict({
            module + ".qweight": torch.randint(-2**31, 2**31, (4, 32), dtype=torch.int64).to(torch.int32),
            module + ".qzeros": torch.full((1, 4), 0x77777777, dtype=torch.int32),
            module + ".scales": (torch.rand(1, 32) + 0.5).half(),
            module + ".g_idx": torch.zeros(32, dtype=torch.int32),
        }))
    weight_map = {}
    for i, shard in enumerate(shards):
        name = f"pytorch_model-{i + 1:05}-of-{len(shards):05}.bin"
        torch.save(shard, folder / name)
        weight_map.update({tensor: name for tensor in shard})
    index = {"metadata": {"total_size": sum(t.nbytes for s in shards for t in s.values())}, "weight_map": weight_map}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index) + "\n")
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "quantization_config": {
        "quant_method": "gptq", "bits": 4, "group_size": -1, "desc_act": False, "sym": True}}) + "\n")


class Command:
    def __reduce__(self):
        return os.system, ("false",)


class Scripted(torch.nn.Module):
    def forward(self, x):
        return x + 1


def refused(folder):
    """One file each; the name says why it is refused."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {"a": torch.ones(2, 2)}
    torch.save({"a": Command()}, folder / "os_system")
    torch.save(weights, folder / "legacy_stream", _use_new_zipfile_serialization=False)
    torch.save(weights, folder / "protocol_4", pickle_protocol=4)
    torch.save({"a": torch.eye(2).to_sparse()}, folder / "sparse")
    torch.save({"a": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)}, folder / "quantized_dtype")
    torch.save({"a": torch.ones(2, dtype=torch.complex64)}, folder / "complex")
    torch.save({"a": torch._neg_view(torch.ones(2))}, folder / "negated_lazily")
    torch.save({"a": torch.ones(1).expand(1000, 1000)}, folder / "expanded_past_the_file")
    torch.save({"a": {"b": torch.ones(1)}, "c": torch.ones(1)}, folder / "nested_deeper")
    torch.save(torch.ones(1), folder / "tensor_alone")
    torch.save({"a": 1}, folder / "no_tensors")
    torch.save({1: torch.ones(1)}, folder / "name_is_a_number")
    torch.jit.script(Scripted()).save(str(folder / "torchscript"))
    torch.save(weights, folder / "whole")
    with zipfile.ZipFile(folder / "whole") as whole:
        records = {record.filename: whole.read(record) for record in whole.infolist()}
    rewrite(folder / "deflated", records, zipfile.ZIP_DEFLATED)
    rewrite(folder / "big_endian", {**records, "whole/byteorder": b"big"})
    rewrite(folder / "version_11", {**records, "whole/version": b"11\n"})
    rewrite(folder / "storage_missing", {k: v for k, v in records.items() if k != "whole/data/0"})
    rewrite(folder / "storage_short", {**records, "whole/data/0": records["whole/data/0"][:-1]})
    rewrite(folder / "no_pickle", {k: v for k, v in records.items() if k != "whole/data.pkl"})
    (folder / "whole").unlink()


def rewrite(path, records, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as out:
        for name, content in records.items():
            out.writestr(zipfile.ZipInfo(name), content, method)


def main():
    tests = pathlib.Path(sys.argv[1])
    golden = tests / "golden" / "pytorch"
    golden.mkdir(parents=True, exist_ok=True)
    weights = state_dict()
    torch.save(weights, golden / "state_dict.bin")
    torch.save({"epoch": 3, "lr": 0.1, "note": None, "model": weights, "optimizer": {"state": {}, "param_groups": [
        {"lr": 0.1, "betas": (0.9, 0.999), "params": [0, 1]}]}}, golden / "nested.bin")
    (golden / "state_dict.json").write_text(json.dumps(
        {"made_with": f"torch {torch.__version__}", "tensors": described(weights)}, indent=1) + "\n")
    gptq_folder(golden / "gptq")
    refused(tests / "corrupt" / "pytorch")


if __name__ == "__main__":
    main()
