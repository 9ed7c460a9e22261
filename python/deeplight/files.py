"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["names_the_file", "whole_file", "write_whole"]


@contextmanager
def names_the_file(path: str | Path) -> Iterator[None]:
    """Gives errors of the operating system the name of the file that was being written.

    A failed `write` or `fsync` knows no name, one of a temporary file would not help.

    Raises:
        OSError: as inside, of the same kind, with `path`.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A name beside `path` to write under; what stands there becomes `path` at the end, on disk.

    After an error nothing is left, and an earlier file at `path` is untouched.

    Raises:
        OSError: the folder is missing or not writable, no room; it names `path`.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield partial
        with names_the_file(path):
            _flush(partial)
            partial.replace(path)
            _flush(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path: str | Path, data: bytes) -> None:
    """Writes `data` as the whole of the file `path`. See :func:`whole_file`."""
    with whole_file(path) as partial, names_the_file(path):
        partial.write_bytes(data)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
