"""Temporary folders. INTEROP_SCRATCH says where they are (default: the system's); models of some hundred MB pass through."""
import contextlib
import os
import pathlib
import tempfile


@contextlib.contextmanager
def folder():
    with tempfile.TemporaryDirectory(prefix="interop-", dir=os.environ.get("INTEROP_SCRATCH")) as name:
        yield pathlib.Path(name)
