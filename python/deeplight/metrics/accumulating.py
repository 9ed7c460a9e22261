"""The base of scores that accumulate: torchmetrics' ``Metric``, or the same without torchmetrics.

The stand-in has what the classes of this package need: states with a way to join them, ``update``,
``compute`` (over all processes where ``torch.distributed`` is initialised), ``forward``, ``reset``,
``merge_state``, ``to``. It works in no ``MetricCollection``: that comes with torchmetrics.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch

__all__ = ["HAS_TORCHMETRICS", "Metric"]


def _distributed() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


class _Metric:
    """See the module's first lines; the part of torchmetrics' interface that is used here."""

    def __init__(self, **options: Any) -> None:
        if options:
            raise ValueError(f"unknown options {sorted(options)}; torchmetrics is not installed")
        self._defaults: dict[str, Any] = {}
        self._joins: dict[str, Callable[[torch.Tensor], torch.Tensor] | str] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "compute" in cls.__dict__:
            cls.compute = _over_processes(cls.compute)  # type: ignore[attr-defined]

    def add_state(self, name: str, default: Any, dist_reduce_fx: Any = None) -> None:
        """A tensor, or an empty list with ``"cat"``; `dist_reduce_fx` joins stacked tensors."""
        self._defaults[name] = copy.deepcopy(default)
        self._joins[name] = dist_reduce_fx
        setattr(self, name, copy.deepcopy(default))

    def reset(self) -> None:
        """Forgets everything seen."""
        for name, default in self._defaults.items():
            setattr(self, name, copy.deepcopy(default))

    def merge_state(self, other: _Metric) -> None:
        """Adds what another score of the same class and options has seen."""
        self._join([{name: getattr(m, name) for name in self._defaults} for m in (self, other)])

    def _join(self, several: Sequence[dict[str, Any]]) -> None:
        for name, join in self._joins.items():
            values = [states[name] for states in several]
            if isinstance(values[0], list):
                setattr(self, name, [part for value in values for part in value])
            else:
                assert callable(join)
                setattr(self, name, join(torch.stack(values)))

    def forward(self, *images: Any, **options: Any) -> Any:
        """Adds a batch and gives the batch's own score."""
        before = {name: getattr(self, name) for name in self._defaults}
        self.reset()
        self.update(*images, **options)  # type: ignore[attr-defined]
        value = self.compute()  # type: ignore[attr-defined]
        self._join([before, {name: getattr(self, name) for name in self._defaults}])
        return value

    __call__ = forward

    def to(self, device: Any) -> _Metric:
        """Moves the states."""
        for name in self._defaults:
            value = getattr(self, name)
            moved = [v.to(device) for v in value] if isinstance(value, list) else value.to(device)
            setattr(self, name, moved)
        return self


def _over_processes(compute: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(compute)
    def synced(self: Any) -> Any:
        if not _distributed() or torch.distributed.get_world_size() == 1:
            return compute(self)
        own = {name: getattr(self, name) for name in self._defaults}
        everyone: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(everyone, own)
        try:
            self._join(everyone)
            return compute(self)
        finally:
            for name, value in own.items():
                setattr(self, name, value)

    return synced


HAS_TORCHMETRICS = True
Metric: Any
try:
    from torchmetrics import Metric
except ImportError:
    HAS_TORCHMETRICS = False
    Metric = _Metric
