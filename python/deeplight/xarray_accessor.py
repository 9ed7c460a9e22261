"""The accessor ``DataArray.deeplight``; importing it needs xarray and nothing else.

``import deeplight`` registers it where xarray was imported before, ``import deeplight.arrays``
always.
"""

from __future__ import annotations

from typing import Any

import xarray as xr

__all__ = ["DeepLightAccessor"]


@xr.register_dataarray_accessor("deeplight")
class DeepLightAccessor:
    """``array.deeplight``: this library on a DataArray."""

    def __init__(self, array: xr.DataArray):
        self._array = array

    def predict(self, weights: Any, guides: Any = None, **options: Any) -> xr.DataArray:
        """Super-resolves the array; see :func:`deeplight.arrays.predict`."""
        from .arrays import predict

        return predict(self._array, guides, weights, **options)
