"""Exceptions, one class per kind of failure. Each is also the built-in that Python programs expect there."""

from __future__ import annotations


class NibbleError(Exception):
    """What every failure of Nibble is. The message names what was done, to what, and the way out."""


class InvalidArgumentError(NibbleError, ValueError):
    """Something impossible was asked for: an unknown scheme, a number out of range."""


class NotFoundError(NibbleError, FileNotFoundError):
    """A file, tensor or name does not exist."""


class CorruptFileError(NibbleError, ValueError):
    """Bytes from outside break the rules of their format."""


class UnsupportedError(NibbleError, NotImplementedError):
    """Well-formed, but not implemented."""


class IOFailedError(NibbleError, OSError):
    """The operating system refused: a full disk, a permission."""


class OutOfMemoryError(NibbleError, MemoryError):
    """More memory would be needed than is allowed, or than there is."""


class CancelledError(NibbleError):
    """A progress function returned False."""


class BusyError(NibbleError, RuntimeError):
    """As much as allowed is under way; the same may be asked later."""


class InternalError(NibbleError, RuntimeError):
    """A defect in Nibble; please report it."""


# The one table from a code of nibble.h, by its name, to a class.
_CLASSES: dict[str, type[NibbleError]] = {
    "invalid_argument": InvalidArgumentError,
    "not_found": NotFoundError,
    "corrupt": CorruptFileError,
    "unsupported": UnsupportedError,
    "io": IOFailedError,
    "out_of_memory": OutOfMemoryError,
    "cancelled": CancelledError,
    "busy": BusyError,
    "internal": InternalError,
}


def error_of(code: str, message: str) -> NibbleError:
    """The exception for a code; called by the extension module."""
    return _CLASSES.get(code, NibbleError)(message)
