"""A Landsat scene in a folder: its bands as kelvin, reflectance and indices with one validity.

Read are Collection 2 level 2 (``SR_B*``, ``ST_B10``/``ST_B6``) and level 1 (``B*``) of Landsat 5, 8
and 9, named as USGS names them. Arrays are ``[rows, columns]`` float64, NaN where no value is.
Which file is what follows from its name; numbers are decoded by :mod:`deeplight.radiometry`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from deeplight import _native, radiometry

__all__ = ["INDICES", "REFLECTIVE", "LandsatScene", "block_mean", "write_layers"]

INDICES = ("ndvi", "ndwi", "ndmvi")
_OLI = {"coastal": 1, "blue": 2, "green": 3, "red": 4, "nir": 5, "swir1": 6, "swir2": 7}
_TM = {"blue": 1, "green": 2, "red": 3, "nir": 4, "swir1": 5, "swir2": 7}
#: Names of reflective bands; Landsat 5 has no ``coastal``.
REFLECTIVE = tuple(_OLI)
_BAND = re.compile(r"(?:^|_)(SR_B|ST_B|B)(\d{1,2})\.TIF$", re.IGNORECASE)
_SATELLITE = re.compile(r"^L[A-Z](?:0?([5789]))")
_OLD_NAME = re.compile(r"^LT5\d{6}(\d{4})\d{3}")
_NEW_NAME = re.compile(r"^L[A-Z]0\d_[A-Z0-9]{4}_\d{6}_(\d{4})\d{4}_")


@dataclass
class LandsatScene:
    """The files of a scene; :meth:`open` finds them.

    Attributes:
        folder: of the files.
        satellite: 5, 8 or 9.
        level: 1 or 2.
        bands: number of a band -> its file; of level 2 those of reflectance.
        thermal: number of a thermal band -> its file.
        quality: QA_PIXEL or BQA, or None.
        saturation: QA_RADSAT, or None.
        mtl: the metadata file, or None.
        sun_elevation: degrees; the metadata file's where there is one. 90 leaves level-1
            reflectance multiplied by the sine of the elevation, which no index notices.
        distance: earth to sun, astronomical units; for Landsat 5 without a metadata file.
    """

    folder: Path
    satellite: int
    level: int
    year: int
    bands: dict[int, Path]
    thermal: dict[int, Path]
    quality: Path | None = None
    saturation: Path | None = None
    mtl: Any = None
    sun_elevation: float | None = None
    distance: float = 1.0
    clear: bool = True  #: leave out what the quality band does not call clear
    grid: Any = field(default=None, repr=False)
    _clear: np.ndarray | None = field(default=None, repr=False)

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        sun_elevation: float | None = None,
        distance: float = 1.0,
        clear: bool = True,
    ) -> LandsatScene:
        """Finds the files of one scene.

        Raises:
            FileNotFoundError: no such folder, or no Landsat band in it.
            ValueError: two scenes, two levels, a quality band of another collection, or a satellite
                that is not read.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise FileNotFoundError(f"no such folder: '{folder}'")
        found: dict[str, dict[int, Path]] = {"SR_B": {}, "ST_B": {}, "B": {}}
        for path in sorted(folder.iterdir()):
            match = _BAND.search(path.name)
            if match:
                kind, number = match[1].upper(), int(match[2])
                if number in found[kind]:
                    raise ValueError(f"two scenes in one folder: '{path}', '{found[kind][number]}'")
                found[kind][number] = path
        level = 2 if found["SR_B"] or found["ST_B"] else 1
        if level == 2 and found["B"]:
            raise ValueError(f"'{folder}' holds bands of level 1 and of level 2")
        files = [path for group in found.values() for path in group.values()]
        if not files:
            raise FileNotFoundError(f"no Landsat band in '{folder}': expected names as ..._B4.TIF")
        quality = _single(folder, "_QA_PIXEL.TIF", "BQA.TIF", "_pixel_qa.tif")
        if quality is not None:
            radiometry.quality_scheme(str(quality))
        metadata = _single(folder, "_MTL.txt")
        mtl = None if metadata is None else radiometry.Mtl(metadata)
        satellite, year = _identity(files[0], mtl)
        _check_collection(mtl, quality)
        thermal = found["ST_B"] if level == 2 else _pick(found["B"], _thermal_numbers(satellite))
        if sun_elevation is None and mtl is not None and level == 1:
            sun_elevation = mtl.sun_elevation
        return cls(
            folder, satellite, level, year,
            found["SR_B"] if level == 2 else found["B"], thermal, quality,
            _single(folder, "_QA_RADSAT.TIF"), mtl, sun_elevation, distance, clear,
        )  # fmt: skip

    @property
    def names(self) -> list[str]:
        """Layers that the scene's files can give."""
        known = [name for name, number in self._numbers().items() if number in self.bands]
        indices = [index for index in INDICES if set(_PARTS[index]) <= set(known)]
        return [*(["temperature"] if self.thermal else []), *known, *indices]

    def temperature(self, band: int | None = None) -> np.ndarray:
        """Surface temperature (level 2) or brightness temperature (level 1), K.

        Args:
            band: of Landsat 8 and 9 level 1 10 or 11; 10 when None.

        Raises:
            FileNotFoundError: the scene has no such band.
            ValueError: values outside 100 to 400 K, another grid, no constants for it.
        """
        number = band or (6 if self.satellite == 5 else 10)
        path = self._file(self.thermal, number, "thermal band")
        dn, valid = self._read(path)
        if self.level == 2:
            kelvin = radiometry.level2_temperature(dn)
        else:
            gain, k1, k2 = self._thermal_constants(number)
            kelvin = radiometry.brightness_temperature(dn, gain, k1, k2)
        kelvin = np.where(valid & self._clear_mask(dn.shape), kelvin, np.nan)
        seen = kelvin[np.isfinite(kelvin)]
        if seen.size == 0:
            raise ValueError(f"'{path}' holds no valid pixel of clear sky")
        radiometry.check_kelvin(float(seen.min()), float(seen.max()), str(path))
        return kelvin

    def reflectance(self, name: str) -> np.ndarray:
        """Reflectance of a band: at the surface (level 2) or the top of the atmosphere (level 1).

        Args:
            name: of :data:`REFLECTIVE`.

        Raises:
            FileNotFoundError: the scene has no such band.
            ValueError: unknown name; level 1 without the sun's elevation; another grid.
        """
        numbers = self._numbers()
        if name not in numbers:
            raise ValueError(f"unknown band '{name}'; Landsat {self.satellite} has {[*numbers]}")
        path = self._file(self.bands, numbers[name], f"band '{name}'")
        dn, valid = self._read(path)
        if self.level == 2:
            values = radiometry.level2_reflectance(dn)
        elif self.sun_elevation is None:
            raise ValueError(
                f"'{path}': reflectance of level 1 needs the sun's elevation, and '{self.folder}' "
                "holds no MTL file; give it"
            )
        else:
            gain = self._reflectance_gain(numbers[name])
            values = radiometry.toa_reflectance(dn, gain, self.sun_elevation)
        return np.where(valid & self._clear_mask(dn.shape), values, np.nan)

    def layers(self, names: Sequence[str], coarsen: int = 1) -> np.ndarray:
        """Layers ``[layers, rows, columns]``, averaged over ``coarsen`` x ``coarsen`` pixels.

        Temperatures and reflectances are averaged, indices computed of the averages. A cell has a
        value where all its pixels have one; what is left over at the right and the bottom is cut.

        Args:
            names: "temperature", of :data:`REFLECTIVE`, or of :data:`INDICES`.
            coarsen: pixels of a cell along each side.

        Raises:
            ValueError: an unknown name, or a cell larger than the scene.
        """
        unknown = [name for name in names if name not in ("temperature", *REFLECTIVE, *INDICES)]
        if unknown:
            raise ValueError(
                f"unknown layer '{unknown[0]}'; known: temperature, "
                f"{', '.join([*REFLECTIVE, *INDICES])}"
            )
        needed = {part for name in names for part in _PARTS.get(name, (name,))}
        # The sun's elevation cancels in every index; only a reflectance that is asked for needs it.
        asked = self.sun_elevation
        if asked is None and not set(names) & set(REFLECTIVE):
            self.sun_elevation = 90.0
        try:
            base = {
                part: block_mean(
                    self.temperature() if part == "temperature" else self.reflectance(part), coarsen
                )
                for part in sorted(needed)
            }
        finally:
            self.sun_elevation = asked
        return np.stack([_layer(name, base) for name in names])

    def coarse_grid(self, coarsen: int = 1) -> Any:
        """The grid of :meth:`layers`, once a band was read."""
        g = self.grid
        transform = list(g.geotransform)
        for place in (1, 2, 4, 5):
            transform[place] *= coarsen
        return _native.Grid(g.rows // coarsen, g.columns // coarsen, transform, g.crs_wkt)

    def _numbers(self) -> dict[str, int]:
        return _TM if self.satellite == 5 else _OLI

    def _file(self, files: dict[int, Path], number: int, what: str) -> Path:
        if number not in files:
            raise FileNotFoundError(f"'{self.folder}' has no {what} (B{number})")
        return files[number]

    def _read(self, path: Path) -> tuple[np.ndarray, np.ndarray]:
        """Digital numbers and validity ``[rows, columns]``."""
        raster = _native.Raster(str(path))
        if len(raster.info.bands) != 1:
            raise ValueError(f"'{path}' has {len(raster.info.bands)} bands, expected 1")
        if self.grid is None:
            self.grid, self._info = raster.grid, raster.info
        else:
            _native.check_guide(self._info, raster.info, path.name, 1)
        values, valid = raster.read()
        described = raster.info.bands[0]
        # A file that states scale and offset is read decoded; the digital numbers come back.
        numbers = np.rint((values[0].astype(np.float64) - described.offset) / described.scale)
        return numbers, np.broadcast_to(valid[0], numbers.shape)

    def _clear_mask(self, shape: tuple[int, ...]) -> np.ndarray:
        if not self.clear or self.quality is None:
            return np.ones(shape, dtype=bool)
        if self._clear is None:
            values, valid = self._read(self.quality)
            bits = np.where(valid, values, 1).astype(np.uint16)  # bit 0 is fill in both collections
            scheme = radiometry.quality_scheme(str(self.quality))
            self._clear = radiometry.clear_sky(bits, scheme, str(self.quality))
            if self.saturation is not None:
                saturated, known = self._read(self.saturation)
                self._clear &= ~known | (saturated == 0)
        return self._clear

    def _thermal_constants(self, number: int) -> Any:
        if self.mtl is not None:
            return self.mtl.thermal(str(number))
        if self.satellite == 9:
            raise ValueError(f"'{self.folder}': Landsat 9 needs its MTL file for kelvin")
        return radiometry.thermal_band("tm5_band6" if self.satellite == 5 else f"tirs_band{number}")

    def _reflectance_gain(self, number: int) -> tuple[float, float]:
        if self.mtl is not None:
            return self.mtl.reflectance(str(number))
        if self.satellite == 5:
            return radiometry.tm5_reflectance_gain(number, self.year, self.distance)
        return radiometry.OLI_REFLECTANCE_GAIN


_PARTS = {"ndvi": ("nir", "red"), "ndwi": ("green", "nir"), "ndmvi": ("nir", "red")}


def _layer(name: str, base: dict[str, np.ndarray]) -> np.ndarray:
    if name not in _PARTS:
        return base[name]
    parts = [base[part] for part in _PARTS[name]]
    if name == "ndmvi":
        least = [float(np.nanmin(part)) for part in parts]
        return radiometry.ndmvi(*parts, *least)
    return getattr(radiometry, name)(*parts)


def block_mean(values: np.ndarray, size: int) -> np.ndarray:
    """Means ``[rows // size, columns // size]`` over size x size pixels; NaN where one is NaN.

    Raises:
        ValueError: a size below 1 or above the image's.
    """
    rows, columns = (side // size if size > 0 else 0 for side in values.shape)
    if rows < 1 or columns < 1:
        raise ValueError(
            f"blocks of {size} x {size} do not fit {values.shape[0]}x{values.shape[1]}"
        )
    cut = values[: rows * size, : columns * size]
    return cut.reshape(rows, size, columns, size).mean(axis=(1, 3))


def write_layers(
    scene: LandsatScene,
    names: Sequence[str],
    path: str | Path,
    *,
    coarsen: int = 1,
    overwrite: bool = False,
) -> np.ndarray:
    """Writes layers as one float32 GeoTIFF, nodata NaN, units "K" or "1" of every band.

    Returns:
        What was written, ``[layers, rows, columns]``.

    Raises:
        ValueError: temperature together with other layers, which have other units.
        OSError: the file exists, or cannot be written.
    """
    if "temperature" in names and len(names) > 1:
        raise ValueError("temperature is in kelvin, other layers have no unit: write two files")
    values = scene.layers(names, coarsen)
    source = "surface" if scene.level == 2 else "top of the atmosphere"
    _native.write_raster(
        path,
        values.astype(np.float32),
        scene.coarse_grid(coarsen),
        valid=np.isfinite(values),
        band_names=[*names],
        units="K" if "temperature" in names else "1",
        metadata={"DEEPLIGHT_SOURCE": f"Landsat {scene.satellite} level {scene.level}, {source}"},
        overwrite=overwrite,
    )
    return values


def _single(folder: Path, *endings: str) -> Path | None:
    found = [
        path
        for path in sorted(folder.iterdir())
        if any(path.name.upper().endswith(ending.upper()) for ending in endings)
    ]
    if len(found) > 1:
        raise ValueError(f"'{folder}' holds both '{found[0].name}' and '{found[1].name}'")
    return found[0] if found else None


def _pick(files: dict[int, Path], numbers: Sequence[int]) -> dict[int, Path]:
    return {number: files[number] for number in numbers if number in files}


def _thermal_numbers(satellite: int) -> tuple[int, ...]:
    return (6,) if satellite == 5 else (10, 11)


def _identity(path: Path, mtl: Any) -> tuple[int, int]:
    """Satellite and year, from a band's name; the metadata file must not contradict it."""
    match = _SATELLITE.match(path.name.upper())
    old, new = (pattern.match(path.name.upper()) for pattern in (_OLD_NAME, _NEW_NAME))
    year = int((old or new)[1]) if old or new else 0  # type: ignore[index]
    satellite = int(match[1]) if match else 0
    if mtl is not None:
        stated = mtl.spacecraft
        if not stated.startswith("LANDSAT_") or not stated[8:].isdigit():
            raise ValueError(
                f"'{mtl.name}': SPACECRAFT_ID is '{stated}', expected LANDSAT_<number>"
            )
        if satellite and int(stated[8:]) != satellite:
            raise ValueError(f"'{path}' is of Landsat {satellite}, '{mtl.name}' says {stated}")
        satellite = int(stated[8:])
    if satellite not in (5, 8, 9):
        raise ValueError(
            f"'{path}': Landsat 5, 8 and 9 are read, and its name says "
            f"{f'Landsat {satellite}' if satellite else 'none of them'}"
        )
    return satellite, year


def _check_collection(mtl: Any, quality: Path | None) -> None:
    if mtl is None or quality is None or "COLLECTION_NUMBER" not in mtl:
        return
    scheme = radiometry.quality_scheme(str(quality))
    expected = 2 if scheme == "qa_pixel" else 1
    if mtl.collection != expected:
        raise ValueError(
            f"'{quality}' is of collection {expected}, '{mtl.name}' of collection {mtl.collection}"
        )
