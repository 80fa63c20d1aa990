"""Progress of long work: the caller's own function, or a bar."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Optional, Union

ProgressFunction = Callable[[str, int, int, str], Optional[bool]]
"""Called with (what, done, total, unit), some times a second, on the thread that made the call. Returning False stops
the work, which then raises CancelledError; an exception stops it, too, and is raised from the call."""

Progress = Union[None, bool, ProgressFunction]
"""None or False: none; True: a bar of tqdm where it is installed, else lines on stderr; or a function."""


class _Bar:
    """A bar of tqdm for each task, one after the other."""

    def __init__(self, tqdm: Any) -> None:
        self._tqdm = tqdm
        self._bar: Any = None
        self._task: tuple[str, int, str] | None = None

    def __call__(self, what: str, done: int, total: int, unit: str) -> None:
        if self._task != (what, total, unit):
            self.close()
            self._task = (what, total, unit)
            self._bar = self._tqdm(total=total, desc=what, unit=" " + unit, unit_scale=True)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = self._task = None


class _Lines:
    """A line on stderr per tenth of a task."""

    def __init__(self) -> None:
        self._shown: tuple[str, int] | None = None

    def __call__(self, what: str, done: int, total: int, unit: str) -> None:
        tenth = (what, 10 * done // max(total, 1))
        if tenth != self._shown:
            self._shown = tenth
            print(f"{what}: {10 * tenth[1]} %", file=sys.stderr)

    def close(self) -> None:
        pass


@contextmanager
def reporting(progress: Progress) -> Iterator[ProgressFunction | None]:
    """The function that the library calls."""
    if progress is None or progress is False:
        yield None
        return
    if progress is not True:
        if not callable(progress):
            raise TypeError(f"progress: None, True, False or a function is wanted, not {type(progress).__name__}")
        yield progress
        return
    bar: _Bar | _Lines
    try:
        from tqdm.auto import tqdm  # type: ignore[import-untyped,unused-ignore]

        bar = _Bar(tqdm)
    except ImportError:
        bar = _Lines()
    try:
        yield bar
    finally:
        bar.close()
