"""A network's image of a region of the training rasters, window by window.

Windows are owners with a halo of the network's own margin, as in ``deeplight/infer``: the result
does not depend on them, and memory does not grow with the region.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from deeplight.training.data import Region, TrainingData

__all__ = ["frame_of", "predict_region"]

#: Low-resolution cells that one window predicts, at most.
_CELLS = 8192


def frame_of(data: TrainingData, region: Region, context: bool) -> Region:
    """What a prediction of a region may read: the region alone, or the whole raster."""
    if not context:
        return region
    rows, columns = data.target.shape[-2:]
    return 0, 0, rows // data.scale, columns // data.scale


def predict_region(
    network: Any,
    data: TrainingData,
    region: Region,
    autocast: Any,
    *,
    context: bool = False,
    self_ensemble: bool = False,
    cells: int = _CELLS,
) -> torch.Tensor:
    """The network's image of a region ``[1, 1, r*h, r*w]``, physical units, not clamped.

    Args:
        network: a :class:`deeplight.models.NativeNetwork`, in evaluation mode.
        data: prepared rasters.
        region: of the low-resolution grid.
        autocast: makes the context in which the network computes.
        context: read the surroundings too, which may belong to other parts of the split.
        self_ensemble: mean over the eight flips and rotations.
        cells: of a window at most; changes memory and time, not the result, unless the network
            pools inside: then the middle window's values serve all of them.
    """
    frame = frame_of(data, region, context)
    preprocessor, r = data.preprocessor(), data.scale
    device = next(network.parameters()).device
    low = preprocessor.low_resolution(data.low_resolution_of(frame))
    symmetries = _SYMMETRIES if self_ensemble else _SYMMETRIES[:1]
    row, column, height, width = region
    corner = (row - frame[0], column - frame[1])
    owners = list(_owners(height, width, cells))
    with torch.no_grad(), autocast():
        statistics = [network.image_statistics(s.apply(low).to(device)) for s in symmetries]
        if network.needs_representative_pass:
            top, left, rows, columns = owners[len(owners) // 2]
            middle = (corner[0] + top, corner[1] + left, rows, columns)
            for symmetry, whole in zip(symmetries, statistics, strict=True):
                part, guides, _, read = _window(network, data, frame, low, middle, symmetry, device)
                seen = whole.for_tile(read[0], read[1])
                whole.pooled = network.representative_statistics(part, guides, seen).pooled
    result = torch.empty(1, 1, height * r, width * r)
    for top, left, rows, columns in owners:
        owner = (corner[0] + top, corner[1] + left, rows, columns)
        image: Any = 0.0
        for symmetry, whole in zip(symmetries, statistics, strict=True):
            image = image + _predict_window(
                network, data, frame, low, owner, symmetry, whole, device, autocast
            )
        result[:, :, top * r : (top + rows) * r, left * r : (left + columns) * r] = (
            preprocessor.restore(image / len(symmetries))
        )
    return result


def _window(
    network: Any, data: TrainingData, frame: Region, low: torch.Tensor, owner: Region,
    symmetry: _Symmetry, device: torch.device,
) -> tuple[torch.Tensor, dict[str, torch.Tensor], Region, Region]:  # fmt: skip
    """Inputs of ``owner`` with its halo, seen through a symmetry; where both lie."""
    native = network.native
    _, _, rows, columns = frame
    turned = symmetry.place(owner, rows, columns)
    size = (columns, rows) if symmetry.transpose else (rows, columns)
    read = _read_window(turned, *size, native.margin(), native.tile_multiple())
    top, left, height, width = symmetry.origin(read, rows, columns)
    part = symmetry.apply(low[:, :, top : top + height, left : left + width]).to(device)
    window = (frame[0] + top, frame[1] + left, height, width)
    guides = {
        name: symmetry.apply(data.window(guide, window)).to(device)
        for name, guide in data.guides.items()
    }
    owned = (turned[0] - read[0], turned[1] - read[1], turned[2], turned[3])
    return part, guides, owned, read


def _predict_window(
    network: Any, data: TrainingData, frame: Region, low: torch.Tensor, owner: Region,
    symmetry: _Symmetry, statistics: Any, device: torch.device, autocast: Any,
) -> torch.Tensor:  # fmt: skip
    """Normalised image of ``owner``, a region of the frame, seen through a symmetry."""
    part, guides, owned, read = _window(network, data, frame, low, owner, symmetry, device)
    seen = statistics.for_tile(read[0], read[1])
    with torch.no_grad(), autocast():
        image = network.native.forward_part(part, guides, owned, seen)
    return symmetry.undo(image.float().cpu())


def _owners(height: int, width: int, cells: int) -> Iterator[Region]:
    """Windows of at most ``cells`` that cover a region, each cell once; as square as can be."""
    side = max(1, int(cells**0.5))
    rows = min(height, max(side, cells // width))
    columns = min(width, max(side, cells // rows))
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            yield top, left, min(rows, height - top), min(columns, width - left)


def _read_window(owner: Region, rows: int, columns: int, halo: int, multiple: int) -> Region:
    """``owner`` with a halo, aligned to ``multiple``, clipped; as ``TilePlan::read_window``."""

    def along(start: int, length: int, limit: int) -> tuple[int, int]:
        first = max(start - halo, 0) // multiple * multiple
        last = min(-(-(start + length + halo) // multiple) * multiple, limit)
        return first, last - first

    row, height = along(owner[0], owner[2], rows)
    column, width = along(owner[1], owner[3], columns)
    return row, column, height, width


@dataclass(frozen=True)
class _Symmetry:
    """A flip or rotation: transposed first, then reversed; as ``infer/self_ensemble.hpp``."""

    transpose: bool
    reverse_rows: bool
    reverse_columns: bool

    def apply(self, image: torch.Tensor) -> torch.Tensor:
        turned = image.transpose(-2, -1) if self.transpose else image
        return self._reversed(turned).contiguous()

    def undo(self, image: torch.Tensor) -> torch.Tensor:
        straight = self._reversed(image)
        return (straight.transpose(-2, -1) if self.transpose else straight).contiguous()

    def place(self, window: Region, rows: int, columns: int) -> Region:
        """Where a window of an image of rows x columns comes to lie."""
        if self.transpose:
            window, rows, columns = _transposed(window), columns, rows
        return self._moved(window, rows, columns)

    def origin(self, window: Region, rows: int, columns: int) -> Region:
        """Undoes :meth:`place`."""
        if self.transpose:
            return _transposed(self._moved(window, columns, rows))
        return self._moved(window, rows, columns)

    def _reversed(self, image: torch.Tensor) -> torch.Tensor:
        axes = [a for a, on in ((-2, self.reverse_rows), (-1, self.reverse_columns)) if on]
        return image.flip(axes) if axes else image

    def _moved(self, window: Region, rows: int, columns: int) -> Region:
        row, column, height, width = window
        if self.reverse_rows:
            row = rows - row - height
        if self.reverse_columns:
            column = columns - column - width
        return row, column, height, width


def _transposed(window: Region) -> Region:
    row, column, height, width = window
    return column, row, width, height


_SYMMETRIES = [_Symmetry(*flags) for flags in itertools.product((False, True), repeat=3)]
