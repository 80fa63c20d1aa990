"""Work on checkpoints as files."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import contextmanager
from typing import Any, Iterable, Iterator, Mapping, Optional, Sequence, Union

from . import _nibble
from ._progress import Progress, reporting

PathLike = Union[str, "os.PathLike[str]"]
Texts = Union[str, "os.PathLike[str]", Iterable[Union[str, "os.PathLike[str]"]]]
"""A string is a text, a path object (pathlib.Path) is a file of texts; or several of both."""


@contextmanager
def _calibration_files(texts: Optional[Texts]) -> Iterator[list[str]]:
    """The files that the library reads: those given, and one with the texts that are in memory."""
    if texts is None:
        yield []
        return
    given = [texts] if isinstance(texts, (str, os.PathLike)) else list(texts)
    files = [os.fspath(item) for item in given if isinstance(item, os.PathLike)]
    in_memory = [item for item in given if isinstance(item, str)]
    if len(files) + len(in_memory) < len(given):
        raise TypeError("calibration: texts (str) and files (pathlib.Path) are wanted")
    if not in_memory:
        yield files
        return
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        for text in in_memory:
            file.write(json.dumps({"text": text}) + "\n")
        file.flush()
        yield [*files, file.name]


def quantize(
    model: PathLike,
    output: PathLike,
    *,
    method: str = "rtn",
    scheme: Optional[str] = None,
    calibration: Optional[Texts] = None,
    target_bpw: Optional[float] = None,
    target_size: Optional[int] = None,
    candidates: Sequence[str] = (),
    overrides: Optional[Mapping[str, str]] = None,
    to: Optional[str] = None,
    range: Optional[str] = None,
    quantize_head: bool = False,
    imatrix: Optional[PathLike] = None,
    statistics: Optional[PathLike] = None,
    samples: int = 128,
    calibration_context: int = 0,
    seed: int = 0,
    chat_template: bool = False,
    per_document: bool = False,
    damping: float = 0.01,
    act_order: str = "groups",
    importance: str = "activations",
    iterations: int = 200,
    bias_correction: bool = False,
    max_memory: int = 0,
    resume: bool = False,
    report: Optional[str] = None,
    report_text: Optional[PathLike] = None,
    shard_bytes: int = 0,
    threads: int = 0,
    progress: Progress = None,
) -> dict[str, Any]:
    """Quantizes a checkpoint into `output`, a folder or a file that ends in .gguf; it appears whole or not at all.

    The arguments are the flags of `nibble quantize` (docs/cli.md, docs/methods.md). `calibration` takes texts (str) and
    files (pathlib.Path: text, .jsonl, .tokens); without it the model itself writes. `overrides` maps a regular
    expression for names of linears to the scheme that they get. Returns the report.
    """
    with _calibration_files(calibration) as files, reporting(progress) as function:
        options = {
            "method": method,
            "scheme": scheme,
            "target_bpw": target_bpw,
            "target_size": target_size,
            "candidates": list(candidates),
            "overrides": [f"{pattern}={value}" for pattern, value in (overrides or {}).items()],
            "to": to,
            "range": range,
            "imatrix": None if imatrix is None else os.fspath(imatrix),
            "statistics": None if statistics is None else os.fspath(statistics),
            "calibration": files,
            "samples": samples,
            "calibration_context": calibration_context,
            "seed": seed,
            "chat_template": chat_template,
            "per_document": per_document,
            "damping": damping,
            "act_order": act_order,
            "importance": importance,
            "iterations": iterations,
            "bias_correction": bias_correction,
            "quantize_head": quantize_head,
            "resume": resume,
            "max_memory": max_memory,
            "report": report,
            "report_text": None if report_text is None else os.fspath(report_text),
            "shard_bytes": shard_bytes,
            "threads": threads,
        }
        text = _nibble.quantize(os.fspath(model), os.fspath(output), options, function)
    return dict(json.loads(text))


def convert(
    model: PathLike,
    output: PathLike,
    *,
    to: Optional[str] = None,
    lossy: bool = False,
    shard_bytes: int = 0,
    threads: int = 0,
    progress: Progress = None,
) -> dict[str, Any]:
    """Converts a checkpoint to another family: exactly, or with `lossy` as well as the target can.
    Returns the report."""
    options = {"to": to, "lossy": lossy, "shard_bytes": shard_bytes, "threads": threads}
    with reporting(progress) as function:
        return dict(json.loads(_nibble.convert(os.fspath(model), os.fspath(output), options, function)))


def evaluate(
    model: PathLike,
    *,
    baseline: Optional[PathLike] = None,
    text: Union[None, str, "os.PathLike[str]"] = None,
    context: int = 512,
    chunks: int = 0,
    save_logits: Optional[PathLike] = None,
    progress: Progress = None,
    **load: Any,
) -> dict[str, Any]:
    """Perplexity of a checkpoint and, beside a baseline, KL divergence and top-1 agreement, in windows of `context`
    tokens. `text` is a text (str) or a file (pathlib.Path); it may be left out where the baseline is a file of logits
    that `save_logits` made. `load` says how the models run: threads, compute, head, memory; and of `model` alone
    kv_bits, and the scheme and range that it is quantized with while loading."""
    with _text_file(text) as file, reporting(progress) as function:
        options = {
            "text_file": file,
            "context": context,
            "chunks": chunks,
            "save_logits": None if save_logits is None else os.fspath(save_logits),
        }
        base = "" if baseline is None else os.fspath(baseline)
        return dict(json.loads(_nibble.evaluate_files(os.fspath(model), base, options, load, function)))


@contextmanager
def _text_file(text: Union[None, str, "os.PathLike[str]"]) -> Iterator[Optional[str]]:
    if text is None or isinstance(text, os.PathLike):
        yield None if text is None else os.fspath(text)
        return
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        yield file.name


def inspect(model: PathLike) -> dict[str, Any]:
    """What a checkpoint is, without running it: family, scheme of every tensor, bits per weight, memory to run."""
    return dict(json.loads(_nibble.inspect(os.fspath(model))))


def machine_info() -> dict[str, Any]:
    """What this machine can run: its features, and the kernel chosen for every format."""
    return dict(json.loads(_nibble.machine_info()))


def pull(model: str, *, patterns: Sequence[str] = (), progress: Progress = None) -> str:
    """Downloads "hf:org/name[@revision]" into the Hugging Face cache, and returns the folder that has it."""
    with reporting(progress) as function:
        return _nibble.pull(model, list(patterns), function)
