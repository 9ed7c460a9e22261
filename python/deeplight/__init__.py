"""Super-resolution of satellite rasters: night lights and land-surface temperature.

Names are loaded when first used: importing torch takes seconds, and ``deeplight --help`` needs none
of it.

Example:
    >>> import deeplight
    >>> "deeplight_sr" in deeplight.list_models()
    True
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deeplight import functional, losses, metrics, nn
    from deeplight.arrays import predict
    from deeplight.models import create_model, list_models
    from deeplight.predictor import load
    from deeplight.weights import list_weights

__all__ = [
    "__version__",
    "create_model",
    "functional",
    "list_models",
    "list_weights",
    "load",
    "losses",
    "metrics",
    "nn",
    "predict",
]

_SUBMODULES = {
    "_native",
    "arrays",
    "cli",
    "evaluation",
    "functional",
    "landsat",
    "losses",
    "metrics",
    "models",
    "nn",
    "predictor",
    "radiometry",
    "training",
    "weights",
}
_MODULE_OF = {
    "create_model": "models",
    "list_models": "models",
    "load": "predictor",
    "list_weights": "weights",
    "predict": "arrays",
}


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("deeplight")
    except PackageNotFoundError:  # a source tree that was built but not installed
        return _load_native().__version__


def _load_native() -> Any:
    importlib.import_module("torch")  # brings the libraries that the extension links
    try:
        return importlib.import_module("deeplight._native")
    except ModuleNotFoundError as error:
        if error.name != "deeplight._native":
            raise
        raise ImportError(
            "deeplight's native code is not built: ./dev build in a clone, or pip install"
        ) from error


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        value = getattr(importlib.import_module(f"deeplight.{_MODULE_OF[name]}"), name)
    elif name in _SUBMODULES:
        value = (
            _load_native() if name == "_native" else importlib.import_module(f"deeplight.{name}")
        )
    elif name == "__version__":
        value = _version()
    else:
        raise AttributeError(f"module 'deeplight' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if "xarray" in sys.modules:  # the accessor costs nothing then
    importlib.import_module("deeplight.xarray_accessor")
