"""Nibble: quantizes large language models to few bits and runs them on the CPU.

from nibble import Model

model = Model.from_pretrained("smollm2/")
model.quantize(method="gptq", scheme="int4-g32-sym", calibration=texts).save_quantized("out/")
for piece in Model.from_quantized("out/").generate("Hello", stream=True):
    print(piece, end="")
"""

from . import _nibble
from ._errors import (
    BusyError,
    CancelledError,
    CorruptFileError,
    InternalError,
    InvalidArgumentError,
    IOFailedError,
    NibbleError,
    NotFoundError,
    OutOfMemoryError,
    UnsupportedError,
)
from ._files import convert, evaluate, inspect, machine_info, pull, quantize
from ._model import Model
from ._text import Generation, Stream, Token, TokenLogprobs

__version__: str = _nibble.version()

__all__ = [
    "BusyError",
    "CancelledError",
    "CorruptFileError",
    "Generation",
    "IOFailedError",
    "InternalError",
    "InvalidArgumentError",
    "Model",
    "NibbleError",
    "NotFoundError",
    "OutOfMemoryError",
    "Stream",
    "Token",
    "TokenLogprobs",
    "UnsupportedError",
    "convert",
    "evaluate",
    "inspect",
    "machine_info",
    "pull",
    "quantize",
]
