"""Many aligned images as training data: stacked along the rows, one region of the split each.

Folders list the same file names; ``split/{train,val,test}.txt`` says which belong where. Patches
and predictions lie within one region, so they never cross from one image to another. What a file
is, and what a line of a list means, is the source's business: :class:`GeoTiffFolders` here,
:class:`deeplight.training.groklst.GrokLst` there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from deeplight import _native
from deeplight.training.rasters import physical
from deeplight.training.schema import DataConfig, GuideConfig

__all__ = ["LISTS", "GeoTiffFolders", "ImageSource", "ImageStack", "list_lines", "sorted_files"]

#: Part of a configuration's split -> list of the data set.
LISTS = {"train": "train.txt", "validation": "val.txt", "test": "test.txt"}


class ImageSource(Protocol):
    """Reads the files of a data set; paths are below ``root``."""

    @property
    def root(self) -> Path:
        """The folder of the data set."""

    def names(self, folder: str) -> list[str]:
        """File names of a folder, sorted."""

    def part(self, part: str, names: Sequence[str]) -> list[int]:
        """Places in ``names`` of the files of a part."""

    def image(self, path: str) -> torch.Tensor:
        """Light or temperature ``[H, W]`` float32, NaN where missing."""

    def channels(self, path: str, guide: GuideConfig) -> tuple[torch.Tensor, torch.Tensor]:
        """Values and validity ``[bands, H, W]`` of a guide."""

    def described(self, path: str, guide: GuideConfig) -> list[Any]:
        """``name`` and ``units`` of the guide's bands."""

    def units(self, path: str) -> str:
        """Of an image."""

    def cell_size(self, path: str) -> tuple[tuple[float, ...], str]:
        """Of an image, and its units; empty where nothing is known."""

    def check_pair(self, target: str, other: str, role: str, scale: int) -> None:
        """Raises ValueError unless ``other``, ``scale`` times finer, is on the target's grid."""


class ImageStack:
    """The images of a configuration, as :class:`deeplight.training.rasters.RasterStack` answers.

    Attributes:
        rows: of the low-resolution stack.
        columns: of the low-resolution stack.
        regions: part -> one region of the low-resolution stack for each image.
        cell_size: of a target pixel; empty where nothing is known.
        cell_size_units: of ``cell_size``.

    Raises:
        FileNotFoundError: a folder, list or file is missing.
        ValueError: listings that differ, an image in two lists or of another size, sizes that the
            scale does not divide, grids that do not fit, and what the source refuses.
    """

    def __init__(self, data: DataConfig, source: ImageSource) -> None:
        self._data, self._scale, self._source = data, data.scale, source
        names = source.names(data.target)
        others = [data.low_resolution] if data.low_resolution else []
        for folder in (*others, *(guide.path for guide in data.guides)):
            self._check_listing(names, folder)
        parts = {part: source.part(part, names) for part in LISTS}
        _check_disjoint(parts, names, source.root)
        self._names = [names[place] for places in parts.values() for place in places]
        self._size = self._first_size()
        self._cells = (self._size[0] // self._scale, self._size[1] // self._scale)
        self.rows, self.columns = self._cells[0] * len(self._names), self._cells[1]
        self.cell_size, self.cell_size_units = source.cell_size(self._first(data.target))
        starts = iter(range(0, self.rows, self._cells[0]))
        self.regions = {
            part: [(next(starts), 0, *self._cells) for _ in places]
            for part, places in parts.items()
        }

    def path(self, name: str) -> str:
        """Of a folder or file of the configuration, for messages."""
        return str(self._source.root / name)

    def target(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Values and validity ``[1, images * H, W]``."""
        values = self._stacked(self._data.target, self._size, 1)[None]
        valid = values.isfinite()
        return torch.where(valid, values, 0), valid

    def low_resolution(self) -> tuple[torch.Tensor, str]:
        """Values ``[1, images * h, w]``, NaN where missing, and the units of the first."""
        folder = self._data.low_resolution
        values = self._stacked(folder, self._cells, self._scale)[None]
        return values, self._source.units(self._first(folder))

    def guide(self, guide: GuideConfig) -> tuple[torch.Tensor, torch.Tensor, list[Any]]:
        """Values and validity ``[bands, images * H, W]`` and what is known of the bands."""
        described = self._source.described(self._first(guide.path), guide)
        height, width = self._size
        shape = (len(described), height * len(self._names), width)
        values, valid = torch.empty(shape), torch.empty(shape, dtype=torch.bool)
        for row, name in self._files(height):
            path = f"{guide.path}/{name}"
            image, known = self._source.channels(path, guide)
            if image.shape[0] != len(described):
                raise ValueError(
                    f"'{self.path(path)}' has {image.shape[0]} bands, the first of its folder "
                    f"{len(described)}"
                )
            self._check_size(image[0], self._size, path)
            self._source.check_pair(f"{self._data.target}/{name}", path, f"guide '{guide.name}'", 1)
            values[:, row : row + height], valid[:, row : row + height] = image, known
        return values, valid, described

    def _first(self, folder: str) -> str:
        return f"{folder}/{self._names[0]}"

    def _files(self, height: int) -> Iterator[tuple[int, str]]:
        for place, name in enumerate(self._names):
            yield place * height, name

    def _stacked(self, folder: str, size: tuple[int, int], scale: int) -> torch.Tensor:
        values = torch.empty(size[0] * len(self._names), size[1])
        for row, name in self._files(size[0]):
            path = f"{folder}/{name}"
            image = self._source.image(path)
            self._check_size(image, size, path)
            if scale != 1:
                target = f"{self._data.target}/{name}"
                self._source.check_pair(target, path, "low resolution", scale)
            values[row : row + size[0]] = image
        return values

    def _first_size(self) -> tuple[int, int]:
        path = self._first(self._data.target)
        rows, columns = self._source.image(path).shape
        if rows % self._scale or columns % self._scale:
            raise ValueError(
                f"'{self.path(path)}' is {rows}x{columns}: scale {self._scale} does not divide it"
            )
        return rows, columns

    def _check_size(self, image: torch.Tensor, size: tuple[int, int], path: str) -> None:
        if tuple(image.shape) != size:
            raise ValueError(
                f"'{self.path(path)}' is {image.shape[0]}x{image.shape[1]}, expected "
                f"{size[0]}x{size[1]} (target {self._size[0]}x{self._size[1]}, scale {self._scale})"
            )

    def _check_listing(self, names: list[str], folder: str) -> None:
        other = self._source.names(folder)
        if other == names:
            return
        lacking = sorted(set(names) ^ set(other))[0]
        absent = folder if lacking in names else self._data.target
        raise ValueError(
            f"'{self.path(absent)}' has no file '{lacking}': every folder must list the same files"
        )


class GeoTiffFolders:
    """Folders of aligned GeoTIFFs (``.tif``, ``.tiff``); lists hold file names.

    Args:
        data: of a configuration with ``kind = "folders"``.

    Raises:
        RuntimeError: the package was built without rasters.
    """

    def __init__(self, data: DataConfig) -> None:
        if not _native.has_raster:
            raise RuntimeError("this build of deeplight has no raster support")
        self.root = Path(data.root)
        self._data = data

    def names(self, folder: str) -> list[str]:
        """File names of a folder, sorted."""
        return sorted_files(self.root / folder, (".tif", ".tiff"))

    def part(self, part: str, names: Sequence[str]) -> list[int]:
        """Places of a part's files.

        Raises:
            FileNotFoundError: no list.
            ValueError: a name that is not there, or twice.
        """
        path = self.root / "split" / LISTS[part]
        places = {name: place for place, name in enumerate(names)}
        found: dict[str, int] = {}
        for number, text in list_lines(path):
            if text not in places:
                raise ValueError(
                    f"'{path}', line {number}: '{self.root / self._data.target}' has no file "
                    f"'{text[:80]}'"
                )
            if text in found:
                raise ValueError(f"'{path}', line {number}: '{text}' stands on an earlier line too")
            found[text] = places[text]
        return [*found.values()]

    def image(self, path: str) -> torch.Tensor:
        """One band, NaN where missing; a temperature in kelvin.

        Raises:
            ValueError: several bands; a temperature whose units are not known, or below 100 or
                above 400 K.
        """
        raster = self._open(path)
        if len(raster.info.bands) != 1:
            raise ValueError(f"'{self.root / path}' has {len(raster.info.bands)} bands, expected 1")
        values, valid = (torch.from_numpy(array)[0] for array in raster.read())
        values = physical(self._data, values, valid, raster.info, str(self.root / path))
        return torch.where(valid, values, torch.nan)

    def channels(self, path: str, guide: GuideConfig) -> tuple[torch.Tensor, torch.Tensor]:
        """The chosen bands of a guide."""
        raster = self._open(path)
        chosen = self._chosen(raster, path, guide)
        values, valid = (torch.from_numpy(array) for array in raster.read(bands=chosen))
        return values, valid.expand(values.shape)

    def described(self, path: str, guide: GuideConfig) -> list[Any]:
        """What a guide's file says of the chosen bands."""
        raster = self._open(path)
        return [raster.info.bands[band] for band in self._chosen(raster, path, guide)]

    def units(self, path: str) -> str:
        """That the file states; kelvin where temperatures are read."""
        if self._data.light.units == "K":
            return "K"
        return self._open(path).info.bands[0].units

    def cell_size(self, path: str) -> tuple[tuple[float, ...], str]:
        """Of a file's grid."""
        from deeplight.training.rasters import cell_units

        grid = self._open(path).grid
        return tuple(grid.cell_size), cell_units(grid.crs_wkt)

    def check_pair(self, target: str, other: str, role: str, scale: int) -> None:
        """Georeferences agree."""
        fine, coarse = self._open(target).info, self._open(other).info
        if scale == 1:
            _native.check_guide(fine, coarse, role, 1)
        else:
            _native.check_guide(coarse, fine, f"target of {role}", scale)

    def _open(self, path: str) -> Any:
        return _native.Raster(str(self.root / path))

    def _chosen(self, raster: Any, path: str, guide: GuideConfig) -> list[int]:
        count = len(raster.info.bands)
        for band in guide.bands:
            if band > count:
                raise ValueError(
                    f"guide '{guide.name}' ('{self.root / path}') has {count} bands; 'bands' asks "
                    f"for {band}"
                )
        return [band - 1 for band in guide.bands] or [*range(count)]


def sorted_files(folder: Path, suffixes: tuple[str, ...]) -> list[str]:
    """Names of a folder's files with one of the suffixes.

    Raises:
        FileNotFoundError: no such folder, or no such file in it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"folder '{folder}' does not exist")
    names = sorted(file.name for file in folder.iterdir() if file.suffix.lower() in suffixes)
    if not names:
        raise FileNotFoundError(f"folder '{folder}' holds no {' or '.join(suffixes)} file")
    return names


def list_lines(path: Path) -> list[tuple[int, str]]:
    """Numbered lines of a list, from 1, without empty ones.

    Raises:
        FileNotFoundError: no such file.
        ValueError: nothing in it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"split file '{path}' does not exist")
    numbered = enumerate(path.read_text("utf-8", "replace").splitlines(), 1)
    lines = [(number, line.strip()) for number, line in numbered if line.strip()]
    if not lines:
        raise ValueError(f"'{path}' is empty")
    return lines


def _check_disjoint(parts: dict[str, list[int]], names: Sequence[str], root: Path) -> None:
    owner: dict[int, str] = {}
    for part, places in parts.items():
        for place in places:
            if place in owner:
                raise ValueError(
                    f"'{root / 'split' / LISTS[part]}' lists '{names[place]}', which "
                    f"'{LISTS[owner[place]]}' lists too: the split leaks"
                )
            owner[place] = part
