"""Coordinates of xarray arrays as grids, and back: the geography of :mod:`deeplight.arrays`."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import xarray as xr

from . import _native

if TYPE_CHECKING:
    from .predictor import Predictor

#: An array, an open rasterio dataset, a path, or paths whose bands are read as one.
Raster: TypeAlias = Any

_FILL = ("_FillValue", "missing_value", "nodata")
_REGULAR = 1e-3  # of a cell: how far a coordinate may lie from its place


def is_rasterio(value: object) -> bool:
    """Whether it is an open rasterio dataset; rasterio is not imported for it."""
    return all(hasattr(value, name) for name in ("read", "read_masks", "transform", "crs", "name"))


def spatial_dims(array: xr.DataArray) -> tuple[Hashable, Hashable]:
    """The two last dimensions: rows and columns."""
    if array.ndim < 2:
        raise ValueError(f"an array [..., y, x] is needed, got the dimensions {array.dims}")
    return array.dims[-2], array.dims[-1]


def to_array(raster: Raster) -> xr.DataArray:
    """A raster of any kind as an array [bands, y, x]; an array is handed through."""
    if isinstance(raster, xr.DataArray):
        spatial_dims(raster)
        return raster
    if is_rasterio(raster):
        values = raster.read().astype(np.float32, copy=False)
        valid = raster.read_masks() > 0
        scales = np.asarray(raster.scales, np.float32)[:, None, None]
        offsets = np.asarray(raster.offsets, np.float32)[:, None, None]
        values = values * scales + offsets
        transform, wkt = raster.transform.to_gdal(), raster.crs.to_wkt() if raster.crs else ""
        name, units = None, raster.units[0]
    elif isinstance(raster, (str, os.PathLike, Sequence)):
        text = os.fspath(raster) if isinstance(raster, str | os.PathLike) else ",".join(raster)
        source = _native.Raster(text)
        values, valid = source.read()
        transform, wkt = source.grid.geotransform, source.grid.crs_wkt
        name, units = source.info.bands[0].name or None, source.info.bands[0].units
    else:
        raise ValueError(
            f"an xarray.DataArray, a rasterio dataset or a path is needed, got {type(raster)}"
        )
    return _georeferenced(np.where(valid, values, np.nan), transform, wkt, name, units)


def _georeferenced(
    values: np.ndarray, transform: Sequence[float], wkt: str, name: str | None, units: str | None
) -> xr.DataArray:
    if transform[2] or transform[4]:
        raise ValueError("a rotated raster has no coordinates along its sides; predict its file")
    rows, columns = values.shape[-2:]
    coords = {
        "y": transform[3] + (np.arange(rows) + 0.5) * transform[5],
        "x": transform[0] + (np.arange(columns) + 0.5) * transform[1],
        "spatial_ref": ((), 0, {"crs_wkt": wkt, "spatial_ref": wkt}),
    }
    array = xr.DataArray(
        values.astype(np.float32, copy=False), dims=("band", "y", "x"), coords=coords, name=name
    )
    if units:
        array.attrs["units"] = units
    return array


def valid_of(array: xr.DataArray) -> np.ndarray:
    """Where pixels are observations: finite and not the array's fill value."""
    return valid_values(np.asarray(array.data), fill_value(array))


def fill_value(array: xr.DataArray) -> float | None:
    """The number that marks missing pixels, where the array states one."""
    for key in _FILL:
        if key in array.attrs:
            return float(np.asarray(array.attrs[key]).ravel()[0])
    return None


def valid_values(values: np.ndarray, fill: float | None) -> np.ndarray:
    """As :func:`valid_of`, for a part of the values."""
    valid = np.isfinite(values)
    return valid if fill is None else valid & (values != np.asarray(fill, values.dtype))


def crs_of(array: xr.DataArray) -> str:
    """WKT of the coordinate system, from the grid mapping (CF, rioxarray); empty without one."""
    mapping = array.attrs.get("grid_mapping", array.encoding.get("grid_mapping", "spatial_ref"))
    if mapping in array.coords:
        attributes = array.coords[mapping].attrs
        return str(attributes.get("crs_wkt") or attributes.get("spatial_ref") or "")
    return ""


def grid_of(array: xr.DataArray, otherwise: str = "") -> _native.Grid:
    """Size and place.

    Args:
        array: [..., y, x]; without coordinates along them it has no place.
        otherwise: the coordinate system of an array that names none.

    Raises:
        ValueError: the coordinates are not regular.
    """
    y, x = spatial_dims(array)
    rows, columns = array.sizes[y], array.sizes[x]
    wkt = crs_of(array) or otherwise
    if y not in array.coords or x not in array.coords:
        return _native.Grid(rows, columns, None, wkt)
    top, height = _axis(array, y)
    left, width = _axis(array, x)
    return _native.Grid(rows, columns, [left, width, 0.0, top, 0.0, height], wkt)


def _axis(array: xr.DataArray, dim: Hashable) -> tuple[float, float]:
    """Outer edge and step of a coordinate of pixel centres."""
    centres = np.asarray(array.coords[dim].data, np.float64)
    if len(centres) == 1:
        step = _stated_step(array, dim)
    else:
        step = (centres[-1] - centres[0]) / (len(centres) - 1)
    places = centres[0] + step * np.arange(len(centres))
    if step == 0 or not np.all(np.abs(places - centres) <= _REGULAR * abs(step)):
        raise ValueError(f"the coordinate '{dim}' is not regular; resample the array beforehand")
    return float(centres[0] - step / 2), float(step)


def _stated_step(array: xr.DataArray, dim: Hashable) -> float:
    """Of a single row or column: from the grid mapping's GeoTransform."""
    text = (
        array.coords["spatial_ref"].attrs.get("GeoTransform", "")
        if ("spatial_ref" in array.coords)
        else ""
    )
    numbers = [float(part) for part in str(text).split()]
    if len(numbers) != 6:
        raise ValueError(f"the coordinate '{dim}' has one value, which tells no cell size")
    return numbers[5] if dim == spatial_dims(array)[0] else numbers[1]


def result_coordinates(array: xr.DataArray, scale: int) -> dict[Hashable, Any]:
    """The array's coordinates, those of rows and columns refined."""
    dims = spatial_dims(array)
    coordinates: dict[Hashable, Any] = {}
    for key, coordinate in array.coords.items():
        if key in dims:
            edge, step = _axis(array, key)
            fine = edge + (np.arange(array.sizes[key] * scale) + 0.5) * (step / scale)
            coordinates[key] = (key, fine.astype(np.float64), coordinate.attrs)
        elif not set(coordinate.dims) & set(dims):
            coordinates[key] = coordinate
    mapping = coordinates.get("spatial_ref")
    if mapping is not None and "GeoTransform" in mapping.attrs:
        left, width, a, top, b, height = map(float, str(mapping.attrs["GeoTransform"]).split())
        numbers = (left, width / scale, a, top, b, height / scale)
        mapping = mapping.copy()
        mapping.attrs["GeoTransform"] = " ".join(f"{number:.17g}" for number in numbers)
        coordinates["spatial_ref"] = mapping
    return coordinates


def attributes(array: xr.DataArray, predictor: Predictor) -> dict[str, Any]:
    """The array's attributes without those of its stored form, and what made the result."""
    dropped = {*_FILL, "scale_factor", "add_offset", "valid_range", "valid_min", "valid_max"}
    kept = {key: value for key, value in array.attrs.items() if key not in dropped}
    kept["deeplight_model"] = predictor.card.get("name") or predictor.network.architecture
    kept["deeplight_scale"] = predictor.scale
    kept["deeplight_version"] = _native.__version__
    return kept
