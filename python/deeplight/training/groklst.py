"""The GrokLST data set as training data: folders of MATLAB files and lists of their indices.

Layout: ``{30m,60m,120m,240m}/{lst,guidance}/*.mat`` (MATLAB v5; ``data`` in kelvin, guides one
variable a field) and ``split/{train,val,test}.txt``, whose lines count files of the sorted listing
from 0. Source: arXiv 2409.19835. Images are stacked along the rows, one region each, so that
patches and predictions never cross from one to another.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from deeplight import radiometry
from deeplight.training.schema import DataConfig, GuideConfig

__all__ = ["GUIDE_FIELDS", "GrokLst", "GrokLstStack"]

#: Order of the guide's channels.
GUIDE_FIELDS = (
    "dem", "deepblue", "blue", "green", "red", "vre", "nir", "ndmvi", "ndvi", "ndwi",
)  # fmt: skip
_LST_FIELD = "data"
#: Part of a configuration's split -> list of the data set.
_LISTS = {"train": "train.txt", "validation": "val.txt", "test": "test.txt"}
#: What SciPy raises on damaged or hostile files.
_DAMAGED = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, OSError, MemoryError,
    RuntimeError, OverflowError, zlib.error, struct.error,
)  # fmt: skip


@dataclass(frozen=True)
class GrokLst:
    """Reads a folder in the layout of GrokLST.

    Attributes:
        root: holds the folders of resolutions and ``split``.
    """

    root: Path

    def names(self, folder: str) -> list[str]:
        """File names of ``folder`` (e.g. "30m/lst"), sorted.

        Raises:
            FileNotFoundError: no such folder, or no ``.mat`` file in it.
        """
        path = self.root / folder
        if not path.is_dir():
            raise FileNotFoundError(f"GrokLST folder '{path}' does not exist")
        names = sorted(file.name for file in path.iterdir() if file.suffix == ".mat")
        if not names:
            raise FileNotFoundError(f"GrokLST folder '{path}' holds no .mat file")
        return names

    def part(self, part: str, count: int) -> list[int]:
        """Indices of a part's files in the sorted listing of ``count`` files.

        Args:
            part: "train", "validation" or "test".
            count: files of the listing.

        Raises:
            FileNotFoundError: no list.
            ValueError: a line that is no index, out of range, or there twice; file and line are
                named.
        """
        path = self.root / "split" / _LISTS[part]
        if not path.is_file():
            raise FileNotFoundError(f"GrokLST split file '{path}' does not exist")
        indices: dict[int, int] = {}
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
            text = line.strip()
            if not text:
                continue
            if not (text.isascii() and text.isdigit()):
                raise ValueError(f"'{path}', line {number}: '{text[:40]}' is no index")
            index = int(text)
            if index >= count:
                raise ValueError(
                    f"'{path}', line {number}: index {index} is out of range: the listing holds "
                    f"{count} files, 0 to {count - 1}"
                )
            if index in indices:
                raise ValueError(
                    f"'{path}', line {number}: index {index} stands on line {indices[index]} too"
                )
            indices[index] = number
        if not indices:
            raise ValueError(f"'{path}' holds no index")
        return [*indices]

    def lst(self, path: str) -> torch.Tensor:
        """Temperature ``[H, W]`` float32 in kelvin, NaN where missing; ``path`` below the root.

        Raises:
            FileNotFoundError: no such file.
            ValueError: damaged, without ``data``, or values outside 100 to 400 K.
        """
        (values,) = self._read(path, [_LST_FIELD])
        seen = values[np.isfinite(values)]
        if seen.size == 0:
            raise ValueError(f"'{self.root / path}' holds no finite temperature")
        radiometry.check_kelvin(float(seen.min()), float(seen.max()), str(self.root / path))
        return torch.from_numpy(np.where(np.isfinite(values), values, np.nan).astype(np.float32))

    def guide(self, path: str, fields: Sequence[str] = GUIDE_FIELDS) -> torch.Tensor:
        """Guide ``[fields, H, W]`` float32 in the order of ``fields``.

        Raises:
            FileNotFoundError: no such file.
            ValueError: damaged, a missing field, fields of several sizes, a value that is not
                finite.
        """
        bands = self._read(path, fields)
        for name, band in zip(fields, bands, strict=True):
            if band.shape != bands[0].shape:
                raise ValueError(
                    f"'{self.root / path}': field '{name}' is {_size(band)}, '{fields[0]}' "
                    f"{_size(bands[0])}"
                )
            missing = int((~np.isfinite(band)).sum())
            if missing:
                raise ValueError(
                    f"'{self.root / path}': field '{name}' holds {missing} values that are not "
                    "finite; guides must be whole"
                )
        return torch.from_numpy(np.stack(bands).astype(np.float32))

    def _read(self, path: str, fields: Sequence[str]) -> list[np.ndarray]:
        """Two-dimensional numeric arrays of a MATLAB file."""
        file = self.root / path
        if not file.is_file():
            raise FileNotFoundError(f"GrokLST file '{file}' does not exist")
        try:
            from scipy.io.matlab import MatReadError, loadmat
        except ModuleNotFoundError:
            raise ImportError("GrokLST needs SciPy: pip install 'deeplight[groklst]'") from None
        try:
            found = loadmat(file, variable_names=[*fields], mat_dtype=False)
        except (MatReadError, *_DAMAGED) as error:
            raise ValueError(
                f"'{file}' is no readable MATLAB v5 file: {str(error) or type(error).__name__}"
            ) from error
        arrays = []
        for name in fields:
            if name not in found:
                raise ValueError(f"'{file}' has no field '{name}'")
            array = found[name]
            if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
                raise ValueError(f"'{file}': field '{name}' holds no numbers")
            if array.ndim != 2 or min(array.shape) < 1:
                raise ValueError(f"'{file}': field '{name}' is {array.shape}, expected [H, W]")
            arrays.append(array.astype(np.float64))
        return arrays


class GrokLstStack:
    """The images of a configuration with ``data.kind = "groklst"``, stacked along the rows.

    It answers as :class:`deeplight.training.rasters.RasterStack` does. ``data.target`` and
    ``data.low_resolution`` are folders such as "30m/lst" and "240m/lst", a guide's path is one such
    as "30m/guidance"; a guide's ``bands`` select and order fields of :data:`GUIDE_FIELDS`, from 1.

    Attributes:
        rows: of the low-resolution stack.
        columns: of the low-resolution stack.
        regions: part -> one region of the low-resolution stack for each image.
        cell_size: of a target pixel, metres, from its folder's name; empty where that says none.
        cell_size_units: "metre".

    Raises:
        FileNotFoundError: a folder, list or file is missing.
        ValueError: listings that differ, an image of another size, sizes that the scale does not
            divide, and what :class:`GrokLst` refuses.
    """

    def __init__(self, data: DataConfig) -> None:
        self._data, self._scale = data, data.scale
        self._set = GrokLst(Path(data.root))
        names = self._set.names(data.target)
        for folder in (data.low_resolution, *(guide.path for guide in data.guides)):
            self._check_listing(names, folder)
        parts = {part: self._set.part(part, len(names)) for part in _LISTS}
        _check_disjoint(parts, self._set.root)
        self._names = [names[index] for indices in parts.values() for index in indices]
        metres = re.match(r"(\d+)m(?:/|$)", data.target)
        self.cell_size = (float(metres[1]),) * 2 if metres else ()
        self.cell_size_units = "metre" if metres else ""
        self._size = self._first_size()
        self._cells = (self._size[0] // self._scale, self._size[1] // self._scale)
        self.rows, self.columns = self._cells[0] * len(self._names), self._cells[1]
        starts = iter(range(0, self.rows, self._cells[0]))
        self.regions = {
            part: [(next(starts), 0, *self._cells) for _ in indices]
            for part, indices in parts.items()
        }

    def path(self, name: str) -> str:
        """Of a folder of the configuration, for messages."""
        return str(self._set.root / name)

    def target(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Temperature, K, and validity ``[1, images * H, W]``."""
        return _split_missing(self._stacked(self._data.target, self._size)[None])

    def low_resolution(self) -> tuple[torch.Tensor, str]:
        """Temperature ``[1, images * h, w]``, NaN where missing, and its units."""
        return self._stacked(self._data.low_resolution, self._cells)[None], "K"

    def guide(self, guide: GuideConfig) -> tuple[torch.Tensor, torch.Tensor, list[Any]]:
        """Values and validity ``[fields, images * H, W]`` and what is known of the fields.

        Raises:
            ValueError: a band that GrokLST does not have.
        """
        for band in guide.bands:
            if band > len(GUIDE_FIELDS):
                raise ValueError(
                    f"guide '{guide.name}' has {len(GUIDE_FIELDS)} fields; 'bands' asks for {band}"
                )
        fields = [GUIDE_FIELDS[b - 1] for b in guide.bands] or [*GUIDE_FIELDS]
        height, width = self._size
        values = torch.empty(len(fields), height * len(self._names), width)
        for row, path in self._files(guide.path, height):
            image = self._set.guide(path, fields)
            self._check_size(image[0], self._size, path)
            values[:, row : row + height] = image
        described = [SimpleNamespace(name=f, units="m" if f == "dem" else "1") for f in fields]
        return (
            values,
            torch.ones(1, *values.shape[1:], dtype=torch.bool).expand_as(values),
            described,
        )

    def _files(self, folder: str, height: int) -> Iterator[tuple[int, str]]:
        for place, name in enumerate(self._names):
            yield place * height, f"{folder}/{name}"

    def _stacked(self, folder: str, size: tuple[int, int]) -> torch.Tensor:
        values = torch.empty(size[0] * len(self._names), size[1])
        for row, path in self._files(folder, size[0]):
            image = self._set.lst(path)
            self._check_size(image, size, path)
            values[row : row + size[0]] = image
        return values

    def _first_size(self) -> tuple[int, int]:
        path = f"{self._data.target}/{self._names[0]}"
        rows, columns = self._set.lst(path).shape
        if rows % self._scale or columns % self._scale:
            raise ValueError(
                f"'{self.path(path)}' is {rows}x{columns}: scale {self._scale} does not divide it"
            )
        return rows, columns

    def _check_size(self, image: torch.Tensor, size: tuple[int, int], path: str) -> None:
        if tuple(image.shape) != size:
            raise ValueError(
                f"'{self.path(path)}' is {_size(image)}, expected {size[0]}x{size[1]} (target "
                f"{self._size[0]}x{self._size[1]}, scale {self._scale})"
            )

    def _check_listing(self, names: list[str], folder: str) -> None:
        other = self._set.names(folder)
        if other == names:
            return
        lacking = sorted(set(names) ^ set(other))[0]
        absent = folder if lacking in names else self._data.target
        raise ValueError(
            f"'{self.path(absent)}' has no file '{lacking}': every folder must list the same files"
        )


def _check_disjoint(parts: dict[str, list[int]], root: Path) -> None:
    owner: dict[int, str] = {}
    for part, indices in parts.items():
        for index in indices:
            if index in owner:
                raise ValueError(
                    f"'{root / 'split' / _LISTS[part]}' lists {index}, which "
                    f"'{_LISTS[owner[index]]}' lists too: the split leaks"
                )
            owner[index] = part


def _split_missing(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    valid = values.isfinite()
    return torch.where(valid, values, 0), valid


def _size(image: Any) -> str:
    return f"{image.shape[0]}x{image.shape[1]}"
