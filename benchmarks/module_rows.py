"""Rows of whole modules: forward and training step against a plain twin, eager and compiled.

The eager rival is measured in both memory layouts and counts in the faster one.
DEEPLIGHT_BENCH_COMPILE=1 adds `torch.compile`, whose compilation takes minutes.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable

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


def _rivals(
    plain: torch.nn.Module, make: Callable[..., Run], arguments: tuple, last: tuple
) -> dict[str, Run]:
    return {
        "PyTorch eager, contiguous": make(plain, *arguments),
        "PyTorch eager, channels last": make(copy.deepcopy(plain).to(memory_format=LAST), *last),
    }


def _compiled(plain: torch.nn.Module, make: Callable[..., Run], arguments: tuple) -> dict[str, Run]:
    if os.environ.get("DEEPLIGHT_BENCH_COMPILE") != "1":
        return {}
    return {"torch.compile": make(torch.compile(copy.deepcopy(plain)), *arguments)}


def rows_of(
    item: str, shape: str, own: torch.nn.Module, plain: torch.nn.Module, arguments: tuple,
    last: tuple, rounds: tuple[int, int],
) -> list[Row]:  # fmt: skip
    """Forward and training step of `own` against `plain`; `last`: its channels-last arguments."""
    rows = []
    kinds = zip(("forward", "training step"), (forward, training_step), rounds, strict=True)
    for kind, make, count in kinds:
        run = make(own, *arguments)
        rows.append(
            _compare(f"{item} {kind}", shape, run, _rivals(plain, make, arguments, last), count)
        )
        for name, rival in _compiled(plain, make, arguments).items():
            rows.append(_compare(f"{item} {kind}", shape, run, {name: rival}, count))
    return rows
