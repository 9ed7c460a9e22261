"""The GrokLST data set as training data: folders of MATLAB files and lists of their indices.

Layout: ``{30m,60m,120m,240m}/{lst,guidance}/*.mat`` (MATLAB v5; ``data`` in kelvin, guides one
variable a field) and ``split/{train,val,test}.txt``, whose lines count files of the sorted listing
from 0. Source: arXiv 2409.19835. :class:`deeplight.training.image_stack.ImageStack` makes training
data of it.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from deeplight import radiometry
from deeplight.training.image_stack import LISTS, list_lines, sorted_files
from deeplight.training.schema import GuideConfig

__all__ = ["GUIDE_FIELDS", "GrokLst"]

#: Order of the guide's channels.
GUIDE_FIELDS = (
    "dem", "deepblue", "blue", "green", "red", "vre", "nir", "ndmvi", "ndvi", "ndwi",
)  # fmt: skip
_LST_FIELD = "data"
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
        return sorted_files(self.root / folder, (".mat",))

    def part(self, part: str, names: Sequence[str]) -> list[int]:
        """Indices of a part's files in the sorted listing.

        Args:
            part: "train", "validation" or "test".
            names: the sorted listing.

        Raises:
            FileNotFoundError: no list.
            ValueError: a line that is no index, out of range, or there twice; file and line are
                named.
        """
        path, count = self.root / "split" / LISTS[part], len(names)
        indices: dict[int, int] = {}
        for number, text in list_lines(path):
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
        return [*indices]

    def image(self, path: str) -> torch.Tensor:
        """:meth:`lst`."""
        return self.lst(path)

    def channels(self, path: str, guide: GuideConfig) -> tuple[torch.Tensor, torch.Tensor]:
        """The fields that a configuration's guide selects (``bands``, from 1), all of them valid.

        Raises:
            ValueError: a band that GrokLST does not have, and what :meth:`guide` refuses.
        """
        values = self.guide(path, _fields(guide))
        return values, torch.ones(values.shape, dtype=torch.bool)

    def described(self, path: str, guide: GuideConfig) -> list[Any]:
        """Names and units of a guide's fields."""
        fields = _fields(guide)
        return [SimpleNamespace(name=f, units="m" if f == "dem" else "1") for f in fields]

    def units(self, path: str) -> str:
        """Kelvin."""
        return "K"

    def cell_size(self, path: str) -> tuple[tuple[float, ...], str]:
        """Metres, from the name of the folder."""
        metres = re.match(r"(\d+)m/", path)
        return ((float(metres[1]),) * 2, "metre") if metres else ((), "")

    def check_pair(self, target: str, other: str, role: str, scale: int) -> None:
        """The files have no georeference: their sizes are all there is to check."""

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


def _fields(guide: GuideConfig) -> list[str]:
    for band in guide.bands:
        if band > len(GUIDE_FIELDS):
            raise ValueError(
                f"guide '{guide.name}' has {len(GUIDE_FIELDS)} fields; 'bands' asks for {band}"
            )
    return [GUIDE_FIELDS[band - 1] for band in guide.bands] or [*GUIDE_FIELDS]


def _size(image: Any) -> str:
    return f"{image.shape[0]}x{image.shape[1]}"
