"""The large selective kernel on the CPU against PyTorch eager in its best layout; time and memory.

C32 512 x 512 with a kernel of selection per sample. Every contender is first checked against
float64. The rows of memory hold MiB in the columns of milliseconds: the peak of a training step
above what stood before it (Linux).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from protocol import Row, compare, fastest

from deeplight import functional

CHANNELS, SIZE = 32, 512
# Multiply-adds of a pixel: both depthwise, both squeezes, selection, expansion.
MACS = CHANNELS * (25 + 49) + 2 * CHANNELS * CHANNELS // 2 + 36 + CHANNELS // 2 * CHANNELS
Arguments = dict[str, torch.Tensor]


def _arguments(size: int, dtype: torch.dtype = torch.float32) -> Arguments:
    generator = torch.Generator().manual_seed(0)

    def rand(*shape: int) -> torch.Tensor:
        inputs = torch.Size(shape[1:]).numel()
        return (torch.randn(*shape, generator=generator) / inputs**0.5).to(dtype)

    half = CHANNELS // 2
    return {
        "input": rand(1, CHANNELS, size, size) * size,
        "multiplier": rand(1, CHANNELS, size, size) * size,
        "first": rand(CHANNELS, 1, 5, 5),
        "second": rand(CHANNELS, 1, 7, 7),
        "first_squeeze": rand(half, CHANNELS, 1, 1),
        "second_squeeze": rand(half, CHANNELS, 1, 1),
        "selection": rand(1, 2, 2, 3, 3),
        "expand": rand(CHANNELS, half, 1, 1),
        "first_bias": torch.zeros(CHANNELS, dtype=dtype),
        "second_bias": torch.zeros(CHANNELS, dtype=dtype),
    }


def _eager(a: Arguments) -> torch.Tensor:
    first = F.conv2d(a["input"], a["first"], a["first_bias"], 1, 2, 1, CHANNELS)
    second = F.conv2d(first, a["second"], a["second_bias"], 1, 9, 3, CHANNELS)
    first = F.conv2d(first, a["first_squeeze"])
    second = F.conv2d(second, a["second_squeeze"])
    both = torch.cat([first, second], 1)
    maps = torch.cat([both.mean(1, keepdim=True), both.max(1, keepdim=True)[0]], 1)
    gates = F.conv2d(maps, a["selection"][0], None, 1, 1).sigmoid()
    mixed = first * gates[:, :1] + second * gates[:, 1:]
    return a["multiplier"] * F.conv2d(mixed, a["expand"])


def _step(run: Callable[[Arguments], torch.Tensor], a: Arguments) -> list[torch.Tensor]:
    out = run(a)
    return list(torch.autograd.grad(out, list(a.values()), torch.ones_like(out)))


def _mebibytes(run: Callable[[], object]) -> float:
    """Peak of the resident memory above what is resident before."""
    Path("/proc/self/clear_refs").write_text("5")

    def field(name: str) -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return float(next(s for s in lines if s.startswith(name)).split()[1]) / 1024

    before = field("VmRSS")
    run()
    return field("VmHWM") - before


def _own(a: Arguments) -> torch.Tensor:
    return functional.large_selective_kernel(**a)


def rows(rounds: int) -> list[Row]:
    """Forward and training step at one and two threads, and the memory of a step."""
    exact = _arguments(64, torch.float64)
    for run in (_own, _eager):
        difference = run(_arguments(64)).double() - _eager(exact)
        assert float(difference.abs().max()) < 1e-5 * float(_eager(exact).abs().max())
    plain = _arguments(SIZE)
    last = dict(plain)
    for name in ("input", "multiplier"):
        last[name] = plain[name].to(memory_format=torch.channels_last)
    for arguments in (plain, last):
        for tensor in arguments.values():
            tensor.requires_grad_()
    layouts = {"PyTorch": plain, "PyTorch channels-last": last}
    shape, result = f"C{CHANNELS} {SIZE}x{SIZE}", []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        rival = fastest({n: lambda a=a: _step(_eager, a) for n, a in layouts.items()})
        best = layouts[rival]
        with torch.no_grad():
            measured = compare(lambda: _own(plain), lambda best=best: _eager(best), min(rounds, 9))
        row = Row("large_selective_kernel forward", shape, threads, rival, *measured)
        macs, size = float(MACS * SIZE * SIZE), float(plain["input"].nbytes)
        result.append(row.against_roofline(macs, 3 * size))
        measured = compare(
            lambda: _step(_own, plain), lambda best=best: _step(_eager, best), min(rounds, 5)
        )
        row = Row("large_selective_kernel step", shape, threads, rival, *measured)
        result.append(row.against_roofline(3 * macs, 6 * size))
    if Path("/proc/self/clear_refs").exists():
        own, eager = (
            _mebibytes(lambda a=a, run=run: _step(run, a))
            for run, a in ((_own, plain), (_eager, best))
        )
        ratio = eager / own
        result.append(
            Row(
                "large_selective_kernel step, MiB", shape, 2, rival, own, eager, ratio, ratio, ratio
            )
        )
    return result
