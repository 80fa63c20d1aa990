"""Model: a language model that is loaded."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterable, Literal, Mapping, Optional, Sequence, TypedDict, Union, overload

import numpy as np
import numpy.typing as npt

from . import _files, _nibble
from ._files import PathLike, Texts
from ._progress import Progress, reporting
from ._text import Generation, Stream

if TYPE_CHECKING:
    from typing_extensions import Unpack  # of the type checker; not needed to run

Message = Mapping[str, str]
"""{"role": "user", "content": "Hello"}"""
Ids = Union[Sequence[int], "npt.NDArray[np.integer[Any]]"]
Prompt = Union[str, Ids, Sequence[Message]]


class GenerateOptions(TypedDict, total=False):
    """The options of Model.generate, which says what they mean."""

    max_new_tokens: Optional[int]
    min_new_tokens: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    seed: Optional[int]
    stop: Union[str, Sequence[str]]
    repetition_penalty: float
    repeat_last_n: int
    frequency_penalty: float
    presence_penalty: float
    logit_bias: Optional[Mapping[int, float]]
    logprobs: Optional[int]
    ignore_eos: bool
    skip_special: bool


_SCHEMES = {"load_in_8bit": "int8-g32-sym", "load_in_4bit": "int4-g32-sym"}


def _as_ids(ids: Ids) -> npt.NDArray[np.int32]:
    array = np.asarray(ids)
    if array.ndim != 1 or (array.size > 0 and array.dtype.kind not in "iu"):
        raise TypeError("token ids: a list or an array of whole numbers is wanted")
    if array.size > 0 and (array.min() < 0 or array.max() > np.iinfo(np.int32).max):
        raise ValueError("token ids: numbers from 0 to 2^31 - 1 are wanted")
    return np.ascontiguousarray(array, dtype=np.int32)


def _is_messages(prompt: object) -> bool:
    return isinstance(prompt, Sequence) and len(prompt) > 0 and isinstance(prompt[0], Mapping)


class Model:
    """A language model, loaded and ready to run. `Model.from_pretrained` makes one.

    Everything but loading may be called from several threads at once; texts that are generated at the same time run
    together, and each is the one that it would be alone. The GIL is free while the library works.
    """

    def __init__(
        self, native: _nibble.Model, path: str, load: dict[str, Any], folder: Optional[_Folder] = None
    ) -> None:
        self._native = native
        self._path = path
        self._load = load
        self._folder = folder
        self._report: dict[str, Any] = {}

    # ---- Loading

    @classmethod
    def from_pretrained(
        cls,
        path: PathLike,
        *,
        scheme: Optional[str] = None,
        load_in_8bit: bool = False,
        load_in_4bit: bool = False,
        threads: int = 0,
        context: int = 0,
        compute: str = "int8",
        kv_bits: int = 0,
        head: str = "int8",
        range: Optional[str] = None,
        pack_cache: Union[bool, PathLike] = False,
        memory: int = 0,
        max_running: int = 32,
        kv_memory: int = 0,
        progress: Progress = None,
    ) -> Model:
        """Loads a GGUF file, a Hugging Face folder, or "hf:org/name" that is in the cache (see `pull`).

        scheme: a float model is quantized to it while loading, e.g. "int4-g32-sym"; load_in_8bit and load_in_4bit are
            short for "int8-g32-sym" and "int4-g32-sym".
        threads: 0 for all processors.
        context: positions; 0 for what the model was made for.
        compute: "int8" (activations in int8 where weights are integers) or "f32".
        kv_bits: 8 or 4 keeps keys and values but the latest in integers of so many bits; 0 in floats.
        head: the output head runs as "int8" where it is stored in floats, as "stored", or as "scheme".
        range: range rule of quantizing while loading: "full", "absmax", "gptq", "percentile:P", "mse".
        pack_cache: keep the packed weights in a file beside the model, or in this folder, and load from it.
        memory: bytes that the process may hold; weights beyond are read from the pack as they are used.
        max_running: texts that are computed at once; more wait.
        kv_memory: bytes of keys and values; 0 for what suits the machine.
        progress: None, True for a bar, or a function of (what, done, total, unit).
        """
        asked = [name for name, on in (("load_in_8bit", load_in_8bit), ("load_in_4bit", load_in_4bit)) if on]
        if len(asked) + (scheme is not None) > 1:
            raise ValueError("scheme, load_in_8bit and load_in_4bit: one of them can be given")
        load = {
            "scheme": _SCHEMES[asked[0]] if asked else scheme,
            "threads": threads,
            "context": context,
            "compute": compute,
            "kv_bits": kv_bits,
            "head": head,
            "range": range,
            "pack_cache": pack_cache is not False,
            "pack_folder": None if isinstance(pack_cache, bool) else os.fspath(pack_cache),
            "memory": memory,
            "max_running": max_running,
            "kv_memory": kv_memory,
        }
        with reporting(progress) as function:
            native = _nibble.Model.load(os.fspath(path), load, function)
        return cls(native, os.fspath(path), load)

    @classmethod
    def from_quantized(cls, path: PathLike, **options: Any) -> Model:
        """Loads a quantized checkpoint as it is stored. `options` are those of from_pretrained, but for the scheme."""
        for name in ("scheme", "load_in_8bit", "load_in_4bit", "range"):
            if options.get(name):
                raise ValueError(f"{name}: not of from_quantized; from_pretrained quantizes while loading")
        return cls.from_pretrained(path, **options)

    # ---- Quantizing

    def quantize(
        self,
        method: str = "rtn",
        scheme: Optional[str] = None,
        calibration: Optional[Texts] = None,
        *,
        output: Optional[PathLike] = None,
        to: Optional[str] = None,
        progress: Progress = None,
        **options: Any,
    ) -> Model:
        """Quantizes the checkpoint that this model was loaded from, and loads the result.

        method: "rtn", "hqq", "gptq", "best", "awq", "awq+gptq", "autoround", "wnam".
        scheme: what the weights become, e.g. "int4-g32-sym"; or instead target_bpw= or target_size=.
        calibration: texts (str) and files (pathlib.Path) for the methods that look at some.
        output: where the checkpoint is written; without it into a temporary folder (in TMPDIR) that is removed with the
            model, until save_quantized() copies it to its place.
        to: checkpoint family, e.g. "gptq", "awq", "compressed-tensors", "gguf".
        options: the further ones of nibble.quantize().

        The report is the new model's `quantization_report`.
        """
        folder = None
        if output is None:
            folder = _Folder()
            output = folder.path / ("model.gguf" if to is not None and to.split(":")[0] == "gguf" else "model")
        options.setdefault("threads", self._load["threads"])
        report = _files.quantize(
            self._path,
            output,
            method=method,
            scheme=scheme,
            calibration=calibration,
            to=to,
            progress=progress,
            **options,
        )
        load = {**self._load, "scheme": None, "range": None}
        if folder is not None:
            load.update(pack_cache=False, pack_folder=None)
        with reporting(progress) as function:
            native = _nibble.Model.load(os.fspath(output), load, function)
        model = Model(native, os.fspath(output), load, folder)
        model._report = report
        return model

    def save_quantized(
        self, path: PathLike, *, to: Optional[str] = None, lossy: bool = False, progress: Progress = None
    ) -> None:
        """Saves the checkpoint that this model was loaded from or quantized into at another path.

        It appears there whole or not at all. With `to`, or where one of both is a GGUF file and the other a folder, it
        is converted (nibble.convert()): exactly, unless `lossy`. A model that was quantized while loading is quantized
        likewise into the checkpoint. The reports of a calibrated method go beside it.
        """
        path = os.fspath(path)
        is_gguf = os.path.isfile(self._path)
        if self._load["scheme"] is not None:  # what runs is not what is stored: the same rounding, into a checkpoint
            _files.quantize(
                self._path,
                path,
                scheme=self._load["scheme"],
                range=self._load["range"],
                quantize_head=self._load["head"] == "scheme",
                to=to,
                threads=self._load["threads"],
                progress=progress,
            )
        elif to is not None or is_gguf != path.endswith(".gguf"):
            family = to if to is not None else "gguf" if path.endswith(".gguf") else None
            _files.convert(self._path, path, to=family, lossy=lossy, threads=self._load["threads"], progress=progress)
        else:
            with reporting(progress) as function:
                _nibble.copy_model(self._path, path, function)
        for file in self._report.get("files", []):
            suffix = "".join(Path(file).suffixes[-2:])  # .report.json, .report.html
            shutil.copyfile(file, path.rstrip("/") + suffix)

    @property
    def quantization_report(self) -> dict[str, Any]:
        """What quantize() did to every matrix, and to the model as a whole; empty for models from elsewhere."""
        return dict(self._report)

    # ---- Text

    @overload
    def generate(
        self, prompt: Prompt, *, stream: Literal[False] = ..., **options: Unpack[GenerateOptions]
    ) -> Generation: ...
    @overload
    def generate(self, prompt: Prompt, *, stream: Literal[True], **options: Unpack[GenerateOptions]) -> Stream: ...
    @overload
    def generate(
        self, prompt: Prompt, *, stream: bool, **options: Unpack[GenerateOptions]
    ) -> Union[Generation, Stream]: ...
    def generate(
        self,
        prompt: Prompt,
        *,
        stream: bool = False,
        max_new_tokens: Optional[int] = None,
        min_new_tokens: int = 0,
        temperature: float = 0.8,
        top_k: int = 40,
        top_p: float = 0.95,
        min_p: float = 0.05,
        seed: Optional[int] = None,
        stop: Union[str, Sequence[str]] = (),
        repetition_penalty: float = 1.0,
        repeat_last_n: int = 64,
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        logit_bias: Optional[Mapping[int, float]] = None,
        logprobs: Optional[int] = None,
        ignore_eos: bool = False,
        skip_special: bool = True,
    ) -> Union[Generation, Stream]:
        """Continues a prompt: plain text (special tokens written in it count as such, as in `nibble run --raw`), token ids,
        or messages, which go through the model's chat template.

        stream: True gives an iterator over pieces of text that ends the work when it is closed or dropped; else the
            whole answer comes, a str with `ids`, `logprobs` and `report`.
        max_new_tokens: None until the model ends or the context is full.
        temperature: 0 takes the likeliest token. top_k, top_p and min_p are llama.cpp's; 0, 1 and 0 are off.
        seed: equal seeds give equal text; None takes a new one each time.
        stop: the text ends before the first of these strings.
        logprobs: log probabilities of each token and of so many of the likeliest, 0 to 20.
        logit_bias: token ids and what is added to their logits.
        """
        if max_new_tokens is not None and max_new_tokens < 1:
            raise ValueError("max_new_tokens: 1 or more is wanted, or None for as many as come")
        options = {
            "max_tokens": max_new_tokens,
            "min_tokens": min_new_tokens,
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
            "min_p": min_p,
            "seed": secrets.randbits(64) if seed is None else seed,
            "stop": [stop] if isinstance(stop, str) else list(stop),
            "repetition_penalty": repetition_penalty,
            "repeat_last_n": repeat_last_n,
            "frequency_penalty": frequency_penalty,
            "presence_penalty": presence_penalty,
            "logit_bias": None if logit_bias is None else dict(logit_bias),
            "logprobs": logprobs,
            "ignore_eos": ignore_eos,
            "skip_special": skip_special,
        }
        started = Stream(self._native.start(self._prompt_ids(prompt), options))
        return started if stream else Generation._of(started)

    @overload
    def chat(
        self,
        messages: Union[str, Sequence[Message]],
        *,
        stream: Literal[False] = ...,
        **options: Unpack[GenerateOptions],
    ) -> Generation: ...
    @overload
    def chat(
        self, messages: Union[str, Sequence[Message]], *, stream: Literal[True], **options: Unpack[GenerateOptions]
    ) -> Stream: ...
    @overload
    def chat(
        self, messages: Union[str, Sequence[Message]], *, stream: bool, **options: Unpack[GenerateOptions]
    ) -> Union[Generation, Stream]: ...
    def chat(
        self, messages: Union[str, Sequence[Message]], *, stream: bool = False, **options: Unpack[GenerateOptions]
    ) -> Union[Generation, Stream]:
        """Answers a conversation, or one message, through the model's chat template. `options` are those of
        generate()."""
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        return self.generate(self._chat_ids(messages), stream=stream, **options)

    def _chat_ids(self, messages: Sequence[Message]) -> npt.NDArray[np.int32]:
        return self._native.chat_prompt(json.dumps([dict(message) for message in messages]))

    def _prompt_ids(self, prompt: Prompt) -> npt.NDArray[np.int32]:
        if isinstance(prompt, str):
            return self.tokenize(prompt, parse_special=True)
        if _is_messages(prompt):
            return self._chat_ids(prompt)  # type: ignore[arg-type]
        return _as_ids(prompt)  # type: ignore[arg-type]

    # ---- Tokens and numbers

    def tokenize(self, text: str, *, add_special: bool = True, parse_special: bool = False) -> npt.NDArray[np.int32]:
        """Token ids of a text. add_special: with what the tokenizer puts around it (BOS). parse_special: special tokens
        written in the text count as such."""
        return self._native.tokenize(text, add_special, parse_special)

    def detokenize(self, ids: Ids) -> str:
        """The text of token ids, special tokens left out."""
        return self._native.detokenize(_as_ids(ids))

    def apply_chat_template(self, messages: Sequence[Message]) -> npt.NDArray[np.int32]:
        """The prompt that the model's chat template makes of a conversation, as token ids."""
        return self._chat_ids(messages)

    def embed(
        self,
        texts: Union[str, Iterable[Union[str, Ids]]],
        *,
        normalize: bool = True,
        progress: Progress = None,
    ) -> npt.NDArray[np.float32]:
        """The mean of a text's last hidden states, of length 1 if `normalize`: [width] for a string, [n, width] for n
        texts (strings or token ids)."""
        alone = isinstance(texts, str)
        given: list[Any] = [texts] if alone else list(texts)
        ids = [self.tokenize(text) if isinstance(text, str) else _as_ids(text) for text in given]
        together = np.concatenate(ids) if ids else np.empty(0, dtype=np.int32)
        with reporting(progress) as function:
            rows = self._native.embed(together, [len(one) for one in ids], normalize, function)
        return rows[0] if alone else rows

    def evaluate(
        self, text: Union[str, "os.PathLike[str]"], *, context: int = 512, chunks: int = 0, progress: Progress = None
    ) -> dict[str, Any]:
        """Perplexity on a text (str) or a file (pathlib.Path), in windows of `context` tokens: the fields of
        `nibble eval --json`. nibble.evaluate() compares with a baseline."""
        given = {"text": text} if isinstance(text, str) else {"text_file": os.fspath(text)}
        with reporting(progress) as function:
            return dict(json.loads(self._native.evaluate({**given, "context": context, "chunks": chunks}, function)))

    def perplexity(
        self, text: Union[str, "os.PathLike[str]"], *, context: int = 512, chunks: int = 0, progress: Progress = None
    ) -> float:
        """The perplexity alone of evaluate()."""
        return float(self.evaluate(text, context=context, chunks=chunks, progress=progress)["ppl"])

    # ---- Facts

    @property
    def path(self) -> str:
        """Where the checkpoint lies."""
        return self._path

    @property
    def architecture(self) -> str:
        """ "llama", ..."""
        return self._native.architecture

    @property
    def context(self) -> int:
        """How many positions a text may have."""
        return self._native.context

    @property
    def vocab_size(self) -> int:
        """Token ids are below it."""
        return self._native.vocab_size

    @property
    def packed_bytes(self) -> int:
        """Bytes of the weights in memory."""
        return self._native.packed_bytes

    @property
    def has_chat_template(self) -> bool:
        """Whether generate() takes messages."""
        return self._native.has_chat_template

    @property
    def stats(self) -> dict[str, int]:
        """Texts that are `running` and `waiting`, and totals since loading: accepted, finished, cancelled, failed,
        prompt_tokens, cached_tokens, generated_tokens."""
        return self._native.stats()

    def __repr__(self) -> str:
        return f"<nibble.Model {self.architecture} from {self._path!r}, {self.packed_bytes >> 20} MiB>"


class _Folder:
    """A temporary folder that lives as long as whoever refers to it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="nibble-", ignore_cleanup_errors=True)
        self.path = Path(self._folder.name)

    def __del__(self) -> None:
        folder = getattr(self, "_folder", None)
        if folder is not None:
            folder.cleanup()  # at once, and without TemporaryDirectory's warning
