"""Super-resolution of xarray and dask arrays, and of open rasterio datasets.

An array in memory takes the road of the files, with every option of
:meth:`deeplight.predictor.Predictor.predict`. An array of dask stays lazy: one task for each tile,
image-wide statistics once for each image, so that any dask scheduler runs it, and the result is
that of the files.

``DataArray.deeplight`` is the same as an accessor (:mod:`deeplight.xarray_accessor`).
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from . import _native
from .array_grid import (
    Raster,
    attributes,
    grid_of,
    is_rasterio,
    result_coordinates,
    spatial_dims,
    to_array,
    valid_of,
)
from .predictor import PathLike, Predictor, load
from .xarray_accessor import DeepLightAccessor

try:
    import xarray as xr
except ModuleNotFoundError as error:
    raise ImportError("deeplight.arrays needs xarray: pip install 'deeplight[raster]'") from error

__all__ = ["DeepLightAccessor", "predict"]


def predict(
    low_resolution: Raster,
    guides: Mapping[str, Raster] | None = None,
    weights: str | os.PathLike[str] | Predictor = "",
    *,
    tile: int = 256,
    consistency: str = "none",
    **options: Any,
) -> xr.DataArray:
    """Super-resolves an array; several images of one place, such as months, share the guides.

    Args:
        low_resolution: an ``xarray.DataArray`` [..., y, x] in physical units with regular
            coordinates, an open rasterio dataset, or a path. Missing pixels are NaN or the
            array's ``_FillValue``. Leading dimensions (time, a band of one) count images.
        guides: by name, each [bands, y, x] or [y, x], an open rasterio dataset, or a path.
        weights: a name, a file, or a loaded :class:`~deeplight.predictor.Predictor`.
        tile: side of a tile in low-resolution pixels; for lazy arrays also the chunk of the result.
        consistency: ``"additive"`` or ``"multiplicative"`` makes block means equal the input.
        **options: further ones of ``Predictor.predict``; not for lazy arrays. With ``uncertainty``
            the result has a first dimension ``statistic``: the prediction and its ``"spread"``.

    Returns:
        float32 [..., r*y, r*x] with the input's name, attributes and coordinates, those of the two
        last dimensions refined; NaN where the input is missing. Lazy where the input or a guide is
        an array of dask.

    Raises:
        ValueError: coordinates that are not regular, guides that do not fit, unknown options.
        OSError: a file is missing.

    Example:
        >>> sr = deeplight.predict(radiance, {"dem": dem}, "black-marble-x8")  # doctest: +SKIP
    """
    predictor = weights if isinstance(weights, Predictor) else _loaded(weights)
    array = to_array(low_resolution)
    given = dict(guides or {})
    if _is_lazy(array) or any(_is_lazy(guide) for guide in given.values()):
        if options:
            raise ValueError(f"{', '.join(sorted(options))}: not for lazy arrays; compute() first")
        from .lazy_arrays import predict_lazily

        values: Any = predict_lazily(predictor, array, given, tile, consistency)
    else:
        values = _predict_eagerly(
            predictor, array, given, tile=tile, consistency=consistency, **options
        )
    coordinates, dims = result_coordinates(array, predictor.scale), array.dims
    if options.get("uncertainty"):
        coordinates["statistic"], dims = ["prediction", "spread"], ("statistic", *dims)
    result = xr.DataArray(values, dims=dims, coords=coordinates, name=array.name)
    result.attrs = attributes(array, predictor)
    return result


def _loaded(weights: PathLike) -> Predictor:
    if not weights:
        raise ValueError("weights are missing: a name, a file or a loaded Predictor")
    return load(weights)


def _is_lazy(value: object) -> bool:
    return isinstance(value, xr.DataArray) and hasattr(value.data, "__dask_graph__")


def _predict_eagerly(
    predictor: Predictor, array: xr.DataArray, guides: Mapping[str, Raster], **options: Any
) -> np.ndarray:
    for refused in ("out", "overwrite", "resume", "format", "compression", "nodata"):
        if refused in options:
            raise ValueError(f"{refused} is for files; an array comes back in memory")
    rows, columns = (array.sizes[dim] for dim in spatial_dims(array))
    images = array.data.reshape(-1, rows, columns)
    valid = valid_of(array).reshape(images.shape)
    grid = grid_of(array)
    with tempfile.TemporaryDirectory(prefix="deeplight-") as name:
        folder = Path(name)
        low = [folder / f"low{index}.tif" for index in range(len(images))]
        out = [folder / f"out{index}.tif" for index in range(len(images))]
        units = str(array.attrs.get("units", ""))
        for path, image, mask in zip(low, images, valid, strict=True):
            _write(path, image[None], mask[None], grid, units)
        paths = {
            key: _as_path(guide, folder / f"guide{index}.tif", grid, predictor.scale)
            for index, (key, guide) in enumerate(guides.items())
        }
        options = {"progress": False, "compression": "none", **options}
        predictor.predict(low, paths, out, **options)
        fine: list[np.ndarray] = []
        for path in out:
            values, seen = _native.Raster(path).read()
            fine.append(np.where(seen, values, np.float32(np.nan)))
    bands = np.stack(fine, axis=1)
    shape = (*array.shape[:-2], rows * predictor.scale, columns * predictor.scale)
    return bands.reshape(-1, *shape) if len(bands) > 1 else bands.reshape(shape)


def _as_path(guide: Raster, path: Path, low: _native.Grid, scale: int) -> Path:
    if isinstance(guide, str | os.PathLike):
        return Path(guide)
    if isinstance(guide, Sequence):
        return Path(",".join(os.fspath(cast(PathLike, part)) for part in guide))
    if is_rasterio(guide) and Path(guide.name).is_file():
        return Path(guide.name)
    array = to_array(guide)
    bands = array.data.reshape(-1, *array.shape[-2:])
    grid, fine = grid_of(array, low.crs_wkt), low.refined(scale)
    if not grid.georeferenced and (grid.rows, grid.columns) == (fine.rows, fine.columns):
        grid = fine  # an array without coordinates lies where its size says
    _write(path, bands, valid_of(array).reshape(bands.shape), grid)
    return path


def _write(
    path: Path, values: np.ndarray, valid: np.ndarray, grid: _native.Grid, units: str = ""
) -> None:
    _native.write_raster(
        path, np.where(valid, values, 0), grid, valid=valid, compression="none", units=units
    )


def tiles_of(plan: Sequence[tuple[Any, Any]]) -> tuple[int, int]:
    """Rows and columns of tiles in a plan."""
    rows = len({owner[0] for owner, _ in plan})
    return rows, len(plan) // rows


def images_of(array: xr.DataArray) -> list[tuple[int, ...]]:
    """Index of each image in the leading dimensions."""
    return list(itertools.product(*(range(size) for size in array.shape[:-2])))
