"""What the classes of scores share: native accumulators as tensors that processes can join."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from deeplight import metrics as _functions
from deeplight._native import metrics as _scores
from deeplight.metrics.accumulating import Metric
from deeplight.metrics.functional import _mask, _tensor

_OWN = {
    "compute_on_cpu",
    "compute_with_cache",
    "dist_sync_fn",
    "dist_sync_on_step",
    "distributed_available_fn",
    "process_group",
    "sync_on_compute",
}


def _read(accumulator: Any) -> torch.Tensor:
    state = accumulator.state
    return state if isinstance(state, torch.Tensor) else torch.tensor(state(), dtype=torch.double)


def _filled(make: Callable[[], Any], state: torch.Tensor) -> Any:
    accumulator = make()
    state = state.detach().double().cpu()
    if hasattr(accumulator, "load_state"):
        whole = isinstance(accumulator, _scores.EntropyAccumulator)
        accumulator.load_state(state.long().tolist() if whole else state.tolist())
    elif hasattr(accumulator, "merge_state"):
        accumulator.merge_state(state)
    return accumulator


def _joined(make: Callable[[], Any], states: torch.Tensor) -> torch.Tensor:
    whole = make()
    for state in states:
        whole.merge(_filled(make, state))
    return _read(whole).to(states.device)


def _two_sum(total: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Adds (sum, what rounding kept out of it) pairs ``[2]``."""
    high = total[0] + value[0]
    part = high - total[0]
    low = (total[0] - (high - part)) + (value[0] - part)
    # Infinity minus infinity must not turn an infinite sum into NaN.
    low = torch.where(high.isfinite(), low, 0.0)
    return torch.stack([high, total[1] + value[1] + low])


def _added(states: torch.Tensor) -> torch.Tensor:
    """Joins states ``[(sum, rest), further counts]`` of any number of processes."""
    total = torch.zeros_like(states[0])
    for state in states:
        total = torch.cat([_two_sum(total[:2], state[:2]), total[2:] + state[2:]])
    return total


def _plain(value: Any) -> str:
    """A constant of a score as part of a state's name."""
    if hasattr(value, "to_json"):
        return str(zlib.crc32(value.to_json().encode()))
    text = repr(value)
    return text if len(text) <= 64 else str(zlib.crc32(text.encode()))


def _new(name: str, arguments: tuple[Any, ...]) -> Any:
    return getattr(_scores, name)(*arguments)


class _Score(Metric):
    """Of images and their truth. Subclasses name the function and the native accumulator."""

    is_differentiable = False
    full_state_update = False
    _windows = False  # whether `where` chooses windows

    def __init__(
        self,
        function: str,
        accumulator: tuple[str, tuple[Any, ...]] | None,
        keywords: dict[str, Any],
        *,
        reduction: str = "pooled",
        lit_threshold: float | None = None,
        **options: Any,
    ) -> None:
        unknown = sorted(set(options) - _OWN)
        if unknown:
            raise TypeError(f"{type(self).__name__}: unknown keywords {unknown}")
        super().__init__(**options)
        if reduction not in ("pooled", "mean", "none"):
            raise ValueError(
                f"{function}: reduction must be 'pooled', 'mean' or 'none', got '{reduction}'"
            )
        self._keywords = keywords
        self._function = partial(getattr(_functions, function), **keywords)
        self._make = None if accumulator is None else partial(_new, *accumulator)
        self._reduction = reduction
        self._lit_threshold = lit_threshold
        # MetricCollection shares the states of metrics whose first values agree: not by chance.
        parts = [type(self).__name__, reduction, repr(lit_threshold)]
        parts += [f"{k}_{_plain(v)}" for k, v in keywords.items()]
        self._state = re.sub(r"\W", "_", "_".join(parts).replace("-", "m")).lower()
        if reduction == "none":
            self.add_state(self._state, [], dist_reduce_fx="cat")
        elif reduction == "mean":
            empty, join = self._mean_state()
            self.add_state(self._state, empty, dist_reduce_fx=join)
        else:
            self.add_state(self._state, self._empty(), dist_reduce_fx=self._join_pooled())

    def _empty(self) -> torch.Tensor:
        assert self._make is not None
        return _read(self._make())

    def _join_pooled(self) -> Callable[[torch.Tensor], torch.Tensor]:
        assert self._make is not None
        return partial(_joined, self._make)

    def _mean_state(self) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
        return torch.zeros(3, dtype=torch.double), _added

    def update(
        self, prediction: Any, target: Any = None, mask: Any = None, where: Any = None
    ) -> None:
        """Adds images ``[..., C, H, W]``, ``[C, H, W]`` or ``[H, W]``.

        Args:
            prediction: the images.
            target: the truth, the same shape; a score without a reference does not look at it.
            mask: valid pixels.
            where: windows or blocks that count, for scores that have them.
        """
        images, mask, where = self._arguments(prediction, target, _mask(mask), _mask(where))
        chosen = {"where": where} if self._windows else {}
        if self._reduction == "pooled":
            self._add_pooled(images, mask, chosen)
            return
        scores = self._function(*images, mask=mask, reduction="none", **chosen).detach().flatten()
        if self._reduction == "none":
            getattr(self, self._state).append(scores)
            return
        undefined = scores.isnan()
        if undefined.any():
            undefined &= ~_spoiled(images, mask, len(scores))
        votes = scores[~undefined]
        state = getattr(self, self._state)
        seen = torch.stack([votes.sum(), votes.new_zeros(()), votes.new_tensor(float(len(votes)))])
        setattr(self, self._state, _added(torch.stack([state, seen.to(state)])))

    def _arguments(self, prediction: Any, target: Any, mask: Any, where: Any) -> Any:
        if target is None:
            raise ValueError(f"{type(self).__name__}: a target is needed")
        images = (_tensor(prediction), _tensor(target))
        return images, *self._lit(images[1], mask, where)

    def _lit(self, image: torch.Tensor, mask: Any, where: Any) -> tuple[Any, Any]:
        if where is not None and not self._windows:
            raise ValueError(f"{type(self).__name__}: has no windows; give a mask instead of where")
        if self._lit_threshold is None:
            return mask, where
        lit = image > self._lit_threshold
        if self._windows:
            return mask, lit if where is None else lit & where
        return lit if mask is None else lit & mask, None

    def _add_pooled(self, images: Any, mask: Any, chosen: dict[str, Any]) -> None:
        assert self._make is not None
        state = getattr(self, self._state)
        accumulator = _filled(self._make, state)
        accumulator.update(*images, mask=mask, **chosen)
        setattr(self, self._state, _read(accumulator).to(state.device))

    def compute(self) -> Any:
        """The score over everything, a float64 tensor; NaN when nothing was valid."""
        state = getattr(self, self._state)
        if self._reduction == "none":
            parts = state if isinstance(state, list) else [state]
            return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.double)
        if self._reduction == "mean":
            return (state[0] + state[1]) / state[2]
        return self._pooled(state)

    def _pooled(self, state: torch.Tensor) -> torch.Tensor:
        assert self._make is not None
        return torch.as_tensor(_filled(self._make, state).compute(), dtype=torch.double)

    def merge(self, other: _Score) -> None:
        """Adds what another score of the same class and options has seen."""
        if type(other) is not type(self) or other._state != self._state:
            raise ValueError(
                f"{type(self).__name__}: only a score of the same class and options can be merged"
            )
        own, more = getattr(self, self._state), getattr(other, self._state)
        self.merge_state(other)
        if self._reduction == "none":
            # In the order of the call, whichever comes first elsewhere.
            setattr(self, self._state, [*own, *more])


def _spoiled(images: tuple[torch.Tensor, ...], mask: Any, number: int) -> torch.Tensor:
    """Which images hold a NaN at a valid pixel."""
    bad = torch.stack([image.isnan() for image in images]).any(0)
    if mask is not None:
        bad = bad & mask.expand(bad.shape)
    return bad.reshape(number, -1).any(1)


class _Pointwise(_Score):
    def __init__(self, function: str, constants: dict[str, float], **options: Any) -> None:
        name = f"{type(self).__name__}Accumulator"
        super().__init__(function, (name, tuple(constants.values())), constants, **options)


class _Windowed(_Score):
    _windows = True

    def __init__(
        self,
        function: str,
        accumulator: str,
        arguments: tuple[Any, ...] = (),
        first: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        own = {k: v for k, v in options.items() if k in {*_OWN, "reduction", "lit_threshold"}}
        rest = {k: v for k, v in options.items() if k not in own}
        made = (accumulator, (*arguments, json.dumps(rest)))
        super().__init__(function, made, {**(first or {}), **rest}, **own)


class _NoReference(_Windowed):
    def _arguments(self, prediction: Any, target: Any, mask: Any, where: Any) -> Any:
        image = _tensor(prediction)
        return (image,), *self._lit(image, mask, where)
