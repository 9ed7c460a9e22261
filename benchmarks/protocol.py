"""How every benchmark here measures: interleaved rounds, median ratio, bootstrap interval.

Three warm-ups, then rounds in random order; each round runs every contender once. The figure is
the median over rounds of rival time / own time, with a bootstrap 95 % interval.

The roofline of a row is the time below which this machine cannot be: its multiply-adds at the speed
of a loop of multiply-adds alone, or its bytes (arguments read and result written once) at the speed
of a loop that only reads as many, whichever is longer. What the first touch of fresh memory costs
is not part of it.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch


@dataclass
class Row:
    """One line of the table: `ratio` above 1 means that the library is faster."""

    item: str
    shape: str
    threads: int
    rival: str
    own_ms: float
    rival_ms: float
    ratio: float
    low: float
    high: float
    peak: float | None = None  # own share of the roofline
    bound: str = "FMA"  # what the roofline is made of: "FMA" or "memory"
    note: str = ""

    @property
    def at_most(self) -> float | None:
        """The ratio that a run at the roofline would have against this rival."""
        return self.ratio / self.peak if self.peak else None

    def against_roofline(self, macs: float, bytes_: float = 0.0) -> Row:
        """Sets the share of the roofline of so many multiply-adds and bytes; returns the row."""
        seconds = {"FMA": macs / torch.ops.deeplight.fma_peak(self.threads)}
        if bytes_:
            each = int(min(max(bytes_ / self.threads, 2**14), 2**28))
            seconds["memory"] = bytes_ / torch.ops.deeplight.cache_peak(self.threads, each)
        self.bound = max(seconds, key=seconds.__getitem__)
        self.peak = seconds[self.bound] / (self.own_ms * 1e-3)
        return self


# Runs once and gives the seconds it took.
Clock = Callable[[Callable[[], object]], float]


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _interval(values: list[float], generator: random.Random) -> tuple[float, float]:
    medians = sorted(
        statistics.median(generator.choices(values, k=len(values))) for _ in range(2000)
    )
    return medians[50], medians[1949]


def compare(
    own: Callable[[], object],
    rival: Callable[[], object],
    rounds: int = 15,
    clock: Clock = _seconds,
) -> tuple[float, float, float, float, float]:
    """Own and rival milliseconds (medians), median ratio and its interval."""
    generator = random.Random(0)
    contenders = {"own": own, "rival": rival}
    for _ in range(3):
        for run in contenders.values():
            run()
    times: dict[str, list[float]] = {"own": [], "rival": []}
    for _ in range(rounds):
        order = list(contenders)
        generator.shuffle(order)
        for name in order:
            times[name].append(clock(contenders[name]))
    ratios = [b / a for a, b in zip(times["own"], times["rival"], strict=True)]
    low, high = _interval(ratios, generator)
    own_ms, rival_ms = (1e3 * statistics.median(times[name]) for name in ("own", "rival"))
    return own_ms, rival_ms, statistics.median(ratios), low, high


def fastest(contenders: Mapping[str, Callable[[], object]], clock: Clock = _seconds) -> str:
    """The fastest of two runs each: the rival that the rounds are spent on."""
    least: dict[str, float] = {}
    for name, run in contenders.items():
        run()
        least[name] = min(clock(run) for _ in range(2))
    return min(least, key=least.__getitem__)
