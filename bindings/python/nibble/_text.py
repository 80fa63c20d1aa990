"""Text that the package gives back: whole answers, and answers under way."""

from __future__ import annotations

from types import TracebackType
from typing import Iterator, NamedTuple, Optional

import numpy as np
import numpy.typing as npt

from . import _nibble


class Token(NamedTuple):
    """A token and the logarithm of its probability by the model."""

    id: int
    logprob: float
    bytes: bytes
    """What it stands for; not always whole characters."""


class TokenLogprobs(NamedTuple):
    """A token of an answer beside the likeliest at its place, in descending order."""

    chosen: Token
    top: list[Token]


class Stream(Iterator[str]):
    """An answer under way: an iterator over pieces of text, always whole characters.

    It ends when the answer does, when it is closed (also by a `with` statement) and when nothing refers to it any more;
    the model then stops working on it within a step. `ids`, `logprobs` and `text` grow as it is read; the fields of the
    report are there once it has ended.
    """

    def __init__(self, native: _nibble.Stream) -> None:
        self._native: Optional[_nibble.Stream] = native
        self._ids: list[int] = []
        self._pieces: list[str] = []
        self._report: dict[str, object] = {"reason": "cancelled"}
        self.logprobs: list[TokenLogprobs] = []
        """Of each token, if they were asked for."""

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> str:
        native = self._native
        try:
            while native is not None and self._native is not None:
                event = native.next()
                if event is None:
                    self._report = native.report()
                    break
                text, ids, logprobs = event
                self._ids += ids
                for chosen, top in logprobs or ():
                    self.logprobs.append(TokenLogprobs(Token(*chosen), [Token(*t) for t in top]))
                if text:
                    self._pieces.append(text)
                    return text
        except BaseException:
            self.close()
            raise
        self.close()
        raise StopIteration

    def close(self) -> None:
        """Ends the answer. Nothing if it has ended."""
        if self._native is not None:
            self._native.cancel()
            self._native = None

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    @property
    def text(self) -> str:
        """What was read so far."""
        return "".join(self._pieces)

    @property
    def ids(self) -> npt.NDArray[np.int32]:
        """Token ids of what was read so far."""
        return np.array(self._ids, dtype=np.int32)

    @property
    def report(self) -> dict[str, object]:
        """How it ended: `reason` ("end", "stop", "max_tokens", "context_full" or "cancelled"), `prompt_tokens`,
        `cached_tokens`, `generated_tokens`, `queue_seconds`, `prompt_seconds`, `decode_seconds`; of a stream that did
        not end by itself the reason alone."""
        return dict(self._report)


class Generation(str):
    """An answer: a string that also knows how it came about."""

    ids: npt.NDArray[np.int32]
    """Token ids of the answer."""
    logprobs: list[TokenLogprobs]
    """Of each token, if they were asked for."""
    report: dict[str, object]
    """As Stream.report."""

    @classmethod
    def _of(cls, stream: Stream) -> Generation:
        for _ in stream:
            pass
        out = cls(stream.text)
        out.ids = stream.ids
        out.logprobs = stream.logprobs
        out.report = stream.report
        return out
