"""What surrounds a run: Ctrl-C that waits for the step in hand, operators that must repeat."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

__all__ = ["deferred_interrupt", "deterministic_operators"]

#: A terminal and torchrun both pass one Ctrl-C on: signals this close are one, seconds.
_ONE_PRESS = 0.5


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C into a flag that is looked at between steps; the second one ends."""
    pressed: float | None = None

    def handle(number: int, frame: Any) -> None:
        nonlocal pressed
        now = time.monotonic()
        if pressed is not None and now - pressed > _ONE_PRESS:
            raise KeyboardInterrupt
        pressed = pressed or now

    try:
        previous = signal.signal(signal.SIGINT, handle)
    except ValueError:  # not the main thread: whoever owns it handles Ctrl-C
        yield lambda: False
        return
    try:
        yield lambda: pressed is not None
    finally:
        signal.signal(signal.SIGINT, previous)


@contextlib.contextmanager
def deterministic_operators(wanted: bool) -> Iterator[None]:
    """Lets only operators run that give the same bits each time; restores the setting after.

    Raises:
        RuntimeError: an operator has no such implementation; it is named.
    """
    if not wanted:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
    torch.use_deterministic_algorithms(True)
    try:
        yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        raise RuntimeError(
            f"run.deterministic: {str(error).split('. ')[0]}; set it to false, or train on the CPU"
        ) from error
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_only)
