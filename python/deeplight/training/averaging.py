"""Weight averages: what is validated, kept and written is the average, not the last step.

Each follows from the network's weights after each step and from the step's number, so the averaged
weights themselves are all that a checkpoint holds.
"""

from __future__ import annotations

import copy
from typing import Protocol

import torch

from deeplight.training.schema import RunConfig

__all__ = ["Average", "ExponentialMean", "NoAverage", "TailMean", "make_average"]


class Average(Protocol):
    """An average of a network's weights over steps.

    Attributes:
        network: holds the averaged weights.
        own: whether those are a copy, which a checkpoint must hold.
    """

    network: torch.nn.Module
    own: bool

    def update(self, network: torch.nn.Module, step: int) -> None:
        """Takes in the weights after ``step`` steps."""


class ExponentialMean:
    """``mean <- decay * mean + (1 - decay) * weights`` after each step."""

    own = True

    def __init__(self, network: torch.nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval()
        self._decay = decay

    def update(self, network: torch.nn.Module, step: int) -> None:
        """Takes in the weights after ``step`` steps."""
        # The young average follows quickly, or the random start would linger in it.
        keep = min(self._decay, (1 + step) / (10 + step))
        _blend(self.network, network, 1 - keep)


class TailMean:
    """The uniform mean of the weights over the last ``share`` of the steps.

    Before them it is the network itself. Izmailov et al. 2018, after each step.
    """

    own = True

    def __init__(self, network: torch.nn.Module, steps: int, share: float) -> None:
        self.network = copy.deepcopy(network).eval()
        self._before = steps - max(1, round(share * steps))

    def update(self, network: torch.nn.Module, step: int) -> None:
        """Takes in the weights after ``step`` steps."""
        _blend(self.network, network, 1 / max(1, step - self._before))


class NoAverage:
    """The network itself."""

    own = False

    def __init__(self, network: torch.nn.Module) -> None:
        self.network = network

    def update(self, network: torch.nn.Module, step: int) -> None:
        """Nothing to take in."""


def make_average(run: RunConfig, network: torch.nn.Module) -> Average:
    """The average that ``run.averaging`` names."""
    if run.averaging == "tail":
        return TailMean(network, run.steps, run.tail_share)
    if run.averaging == "none":
        return NoAverage(network)
    return ExponentialMean(network, run.ema)


@torch.no_grad()
def _blend(average: torch.nn.Module, network: torch.nn.Module, weight: float) -> None:
    for mean, value in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(value, weight)
    for kept, buffer in zip(average.buffers(), network.buffers(), strict=True):
        kept.copy_(buffer)
