"""Rows of whole modules: forward and training step against a plain twin, eager and compiled.

Each rival is tried in both memory layouts, of its weights and its inputs, and counts in the faster
one. DEEPLIGHT_BENCH_COMPILE=1 adds `torch.compile`, whose compilations take minutes.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from typing import cast

import torch
from protocol import Row, compare, fastest

LAST = torch.channels_last
Run = Callable[[], object]


def training_step(module: torch.nn.Module, *inputs: object) -> Run:
    parameters = list(module.parameters())

    def run() -> None:
        output = module(*inputs)
        image = getattr(output, "image", output)
        torch.autograd.grad(image.abs().mean(), parameters, allow_unused=True)

    return run


def forward(module: torch.nn.Module, *inputs: object) -> Run:
    def run() -> object:
        with torch.no_grad():
            return module(*inputs)

    return run


def _compare(item: str, shape: str, own: Run, rivals: dict[str, Run], rounds: int) -> Row:
    name = fastest(rivals)
    return Row(item, shape, torch.get_num_threads(), name, *compare(own, rivals[name], rounds))


def _eager(module: torch.nn.Module) -> torch.nn.Module:
    return module


def _compiled(module: torch.nn.Module) -> torch.nn.Module:
    return cast(torch.nn.Module, torch.compile(module))


def _rivals(
    name: str, wrap: Callable[[torch.nn.Module], torch.nn.Module], plain: torch.nn.Module,
    make: Callable[..., Run], arguments: tuple, last: tuple,
) -> dict[str, Run]:  # fmt: skip
    return {
        f"{name}, contiguous": make(wrap(copy.deepcopy(plain)), *arguments),
        f"{name}, channels last": make(wrap(copy.deepcopy(plain).to(memory_format=LAST)), *last),
    }


def rows_of(
    item: str, shape: str, own: torch.nn.Module, plain: torch.nn.Module, arguments: tuple,
    last: tuple, rounds: tuple[int, int],
) -> list[Row]:  # fmt: skip
    """Forward and training step of `own` against `plain`; `last`: its channels-last arguments."""
    rivals = {"PyTorch eager": _eager}
    if os.environ.get("DEEPLIGHT_BENCH_COMPILE") == "1":
        rivals["torch.compile"] = _compiled
    rows = []
    kinds = zip(("forward", "training step"), (forward, training_step), rounds, strict=True)
    for kind, make, count in kinds:
        run = make(own, *arguments)
        for name, wrap in rivals.items():
            # The compiler keeps eight forms of a function and then runs it uncompiled, silently.
            torch.compiler.reset()
            tried = _rivals(name, wrap, plain, make, arguments, last)
            rows.append(_compare(f"{item} {kind}", shape, run, tried, count))
    return rows
