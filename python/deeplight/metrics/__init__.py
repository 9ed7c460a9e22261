"""Scores of images against their truth, computed natively in float64.

`functional` holds the general ones and describes shapes, masks and reductions; `windowed` those of
windows and blocks and of a single image; `light` those of night-light practice; `statistics` NIQE
and spectral errors. All are functions of this package.
"""

from __future__ import annotations

from deeplight.metrics.functional import *  # noqa: F403
from deeplight.metrics.functional import __all__ as _general
from deeplight.metrics.light import *  # noqa: F403
from deeplight.metrics.light import __all__ as _light
from deeplight.metrics.statistics import *  # noqa: F403
from deeplight.metrics.statistics import __all__ as _statistics
from deeplight.metrics.windowed import *  # noqa: F403
from deeplight.metrics.windowed import __all__ as _windowed

__all__ = [*_general, *_light, *_statistics, *_windowed]


def __getattr__(name: str) -> object:
    """``deeplight.metrics.classes`` on first use: it brings torchmetrics, which is optional."""
    if name == "classes":
        import importlib

        return importlib.import_module("deeplight.metrics.classes")
    raise AttributeError(f"module 'deeplight.metrics' has no attribute {name!r}")
