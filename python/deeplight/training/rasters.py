"""The rasters of ``[data]``, all on the target's grid: values and validity as tensors.

Whatever lies on another grid is refused, or with ``data.align`` warped in memory as ``deeplight
predict --align`` warps guides.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from deeplight import _native
from deeplight.training.schema import DataConfig, GuideConfig

__all__ = ["RasterStack", "cell_units", "physical"]


class RasterStack:
    """Opens and reads the rasters of a configuration.

    Attributes:
        rows: of the low-resolution grid; what is left over at the target's end is not read.
        columns: of the low-resolution grid.
        grid: the target's, native.

    Raises:
        FileNotFoundError: the target is missing.
        ValueError: the target is no raster, or smaller than one low-resolution cell.
        RuntimeError: the package was built without rasters.
    """

    def __init__(self, data: DataConfig) -> None:
        if not _native.has_raster:
            raise RuntimeError(
                "this build of deeplight has no raster support; train on what `deeplight prepare` "
                "wrote elsewhere (--prepared FILE)"
            )
        self._data, self._scale = data, data.scale
        self._target = self._open(data.target, "target")
        self.grid = self._target.grid
        self.rows, self.columns = self.grid.rows // data.scale, self.grid.columns // data.scale
        if self.rows < 1 or self.columns < 1:
            raise ValueError(
                f"target '{self.path(data.target)}' is {self.grid.rows}x{self.grid.columns} "
                f"pixels, smaller than one {data.scale}x{data.scale} low-resolution cell"
            )

    @property
    def cell_size(self) -> tuple[float, float]:
        """Of a target pixel, in :attr:`cell_size_units`."""
        return self.grid.cell_size

    @property
    def cell_size_units(self) -> str:
        """Of the target's coordinate system; empty where it names none."""
        return cell_units(self.grid.crs_wkt)

    def path(self, name: str) -> str:
        """Of a raster of the configuration, for messages."""
        return str(Path(self._data.root) / name)

    def target(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Values and validity ``[1, H, W]``; pixels that ``data.valid`` leaves out are invalid.

        Raises:
            FileNotFoundError: ``data.valid`` is missing.
            ValueError: several bands; ``data.valid`` on another grid; a temperature whose units
                are not known, or below 100 or above 400 K.
        """
        values, valid = self._single(self._target, self._data.target)
        values = physical(
            self._data, values, valid, self._target.info, self.path(self._data.target)
        )
        if self._data.valid:
            mask, known, _ = self.layer(self._data.valid, "valid", "nearest")
            valid = valid & known & (mask != 0)
        return values, valid

    def low_resolution(self) -> tuple[torch.Tensor, str]:
        """The real low resolution ``[1, h, w]``, NaN where invalid, and the units it states.

        Raises:
            FileNotFoundError: it is missing.
            ValueError: several bands; not the target's grid made coarser by the scale.
        """
        raster = self._open(self._data.low_resolution, "low resolution")
        _native.check_guide(raster.info, self._target.info, "target", self._scale)
        values, valid = self._single(raster, self._data.low_resolution, 1)
        values = physical(
            self._data, values, valid, raster.info, self.path(self._data.low_resolution)
        )
        return torch.where(valid, values, math.nan), raster.info.bands[0].units

    def guide(self, guide: GuideConfig) -> tuple[torch.Tensor, torch.Tensor, list[Any]]:
        """Values and validity ``[bands, H, W]`` and the files' words on the chosen bands.

        Raises:
            FileNotFoundError: it is missing.
            ValueError: another grid; a band that it does not have.
        """
        role = f"guide '{guide.name}'"
        raster = self._open(guide.path, role)
        described = raster.info.bands
        for band in guide.bands:
            if band > len(described):
                raise ValueError(
                    f"{role} ('{self.path(guide.path)}') has {len(described)} "
                    f"band{'s' * (len(described) != 1)}; 'bands' asks for band {band}"
                )
        chosen = [band - 1 for band in guide.bands] or [*range(len(described))]
        raster = self._aligned(raster, guide.path, guide.name, "automatic")
        values, valid = self._read(raster, chosen, self._scale)
        return values, valid, [described[band] for band in chosen]

    def layer(
        self, name: str, role: str, resampling: str = "automatic"
    ) -> tuple[torch.Tensor, torch.Tensor, list[Any]]:
        """Values and validity ``[1, H, W]`` of a raster of one band on the target's grid.

        Raises:
            FileNotFoundError: it is missing.
            ValueError: several bands; another grid.
        """
        raster = self._open(name, role)
        described = raster.info.bands
        raster = self._aligned(raster, name, role, resampling)
        return *self._single(raster, name), described

    def kernel(self) -> torch.Tensor:
        """The measured point spread ``[k, k']`` float64 of ``data.degradation.kernel``, sum 1.

        Raises:
            FileNotFoundError: it is missing.
            ValueError: several bands, even sides, an invalid or negative value, sum 0.
        """
        key, name = "'data.degradation.kernel'", self._data.degradation.kernel
        raster = self._open(name, key)
        if len(raster.info.bands) != 1:
            raise ValueError(
                f"{key} '{self.path(name)}' has {len(raster.info.bands)} bands, expected 1"
            )
        values, valid = (torch.from_numpy(array)[0] for array in raster.read())
        try:
            return _native.point_spread_kernel(torch.where(valid, values, math.nan))
        except ValueError as error:
            raise ValueError(f"{key} '{self.path(name)}': {error}") from None

    def _open(self, name: str, role: str) -> Any:
        path = Path(self._data.root) / name
        if not path.is_file():
            raise FileNotFoundError(
                f"{role} '{path}' does not exist (data.root is '{self._data.root}'; --data gives "
                "another)"
            )
        return _native.Raster(str(path))

    def _aligned(self, raster: Any, name: str, role: str, resampling: str) -> Any:
        try:
            _native.check_guide(self._target.info, raster.info, role, 1)
        except ValueError as error:
            if not self._data.align:
                raise ValueError(f"{error}; 'data.align' = true warps it") from None
        else:
            return raster
        return _native.align_guide(self.path(name), self.grid, 1, resampling)

    def _single(
        self, raster: Any, name: str, scale: int | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        count = len(raster.info.bands)
        if count != 1:
            raise ValueError(f"'{self.path(name)}' has {count} bands, expected 1")
        return self._read(raster, [0], scale or self._scale)

    def _read(self, raster: Any, bands: list[int], scale: int) -> tuple[torch.Tensor, torch.Tensor]:
        window = (0, 0, self.rows * scale, self.columns * scale)
        values, valid = raster.read(window=window, bands=bands)
        return torch.from_numpy(values), torch.from_numpy(valid).expand(values.shape)


def physical(
    data: DataConfig, values: torch.Tensor, valid: torch.Tensor, info: Any, path: str
) -> torch.Tensor:
    """Temperatures in kelvin, 0 where invalid; anything else as it is.

    Args:
        data: of the configuration; ``light.units = "K"`` says that these are temperatures.
        values: of one band.
        valid: the same shape.
        info: what the file says of itself.
        path: for messages.

    Raises:
        ValueError: units that are not known or no temperature; below 100 or above 400 K.
    """
    if data.light.units != "K" or not valid.any():
        return values
    from deeplight import radiometry

    units = radiometry.temperature_units(info.bands[0].units, data.temperature, path)
    kelvin = values + 273.15 if units == "celsius" else values
    seen = kelvin[valid]
    radiometry.check_kelvin(float(seen.min()), float(seen.max()), path)
    return torch.where(valid, kelvin, 0)


def cell_units(wkt: str) -> str:
    """Of a coordinate system's axes; empty where none is named."""
    if not wkt:
        return ""
    return "degree" if wkt.lstrip().startswith(("GEOGCS", "GEOGCRS")) else "metre"
