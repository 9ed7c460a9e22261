"""Spatial parts: rectangles or a chequerboard of blocks, a buffer apart, and what leaks.

Regions are (row, column, height, width) on the low-resolution grid. Neighbouring pixels of a night
image are nearly the same number, so parts are held apart by cells that belong to none.
"""

from __future__ import annotations

import hashlib
import warnings

from deeplight import _native
from deeplight.training.schema import BlocksConfig, RegionConfig, SplitConfig

__all__ = ["PARTS", "Region", "block_regions", "check_reach", "split_regions"]

Region = tuple[int, int, int, int]
"""(row, column, height, width)."""

#: A part gives way to those on its right where blocks of two parts touch.
PARTS = ("train", "validation", "test")


def split_regions(split: SplitConfig, rows: int, columns: int) -> dict[str, list[Region]]:
    """Regions by part, checked against the grid and against each other.

    Args:
        split: of a configuration.
        rows: of the low-resolution grid.
        columns: of the low-resolution grid.

    Raises:
        ValueError: as ``check_split`` of ``deeplight/data/split.hpp``, the part is named; fewer
            blocks than folds.
    """
    if split.blocks.size:
        parts = block_regions(split.blocks, split.buffer, rows, columns)
    else:
        parts = {
            name: [
                _region(region, rows, columns, f"split.{name}[{i}]")
                for i, region in enumerate(getattr(split, name))
            ]
            for name in PARTS
        }
    _native.check_split(
        parts["train"], parts["validation"], parts["test"], rows, columns, split.buffer
    )
    return parts


def block_regions(
    blocks: BlocksConfig, buffer: int, rows: int, columns: int
) -> dict[str, list[Region]]:
    """The parts of a chequerboard whose blocks are dealt to folds at random, evenly.

    A block that touches one of a part further right in :data:`PARTS` gives up ``buffer`` cells on
    that side: held-out blocks stay whole against training, and over all folds (without a test
    fold) each cell is validated once. A last row or column of blocks below half a block joins the
    one before it. Blocks of one part that form a rectangle become one region.

    Raises:
        ValueError: fewer blocks than folds.
    """
    row_edges, column_edges = _edges(rows, blocks.size), _edges(columns, blocks.size)
    height, width = len(row_edges) - 1, len(column_edges) - 1
    if height * width < blocks.folds:
        raise ValueError(
            f"'split.blocks': {rows} rows and {columns} columns of low-resolution cells give "
            f"{height * width} blocks of size {blocks.size}, fewer than folds = {blocks.folds}"
        )
    held_out = {blocks.fold: 1, blocks.test_fold: 2}
    ranks = [held_out.get(fold, 0) for fold in _deal(height * width, blocks.folds, blocks.seed)]

    def gives_way(i: int, j: int, rank: int) -> bool:
        return 0 <= i < height and 0 <= j < width and ranks[i * width + j] > rank

    parts: dict[str, list[Region]] = {name: [] for name in PARTS}
    for i in range(height):
        for j in range(width):
            rank = ranks[i * width + j]
            sides = {(di, dj): gives_way(i + di, j + dj, rank) for di, dj in _SIDES}
            for di, dj in _CORNERS:
                # Corners that touch are 0 cells apart; moving the row side parts them.
                if not (sides[di, 0] or sides[0, dj]):
                    sides[di, 0] = gives_way(i + di, j + dj, rank)
            top, bottom, left, right = (buffer * sides[side] for side in _SIDES)
            first_row, first_column = row_edges[i] + top, column_edges[j] + left
            region = (
                first_row,
                first_column,
                row_edges[i + 1] - bottom - first_row,
                column_edges[j + 1] - right - first_column,
            )
            if region[2] > 0 and region[3] > 0:
                parts[PARTS[rank]].append(region)
    return {name: _joined(regions) for name, regions in parts.items()}


_SIDES = ((-1, 0), (1, 0), (0, -1), (0, 1))
_CORNERS = ((-1, -1), (-1, 1), (1, -1), (1, 1))


def _edges(cells: int, size: int) -> list[int]:
    edges = [*range(0, cells, size)]
    if len(edges) > 1 and 2 * (cells - edges[-1]) < size:
        edges.pop()
    return [*edges, cells]


def _deal(count: int, folds: int, seed: int) -> list[int]:
    """The fold of each block; a function of the arguments alone, on every machine."""

    def card(index: int) -> bytes:
        return hashlib.sha256(f"{seed}/{index}".encode()).digest()

    folds_of = [0] * count
    for place, index in enumerate(sorted(range(count), key=card)):
        folds_of[index] = place % folds
    return folds_of


def _joined(regions: list[Region]) -> list[Region]:
    """The same cells in fewer rectangles: a patch must lie within one."""
    rows: list[Region] = []
    for row, column, height, width in sorted(regions, key=lambda r: (r[0], r[2], r[1])):
        if rows and rows[-1][::2] == (row, height) and rows[-1][1] + rows[-1][3] == column:
            width += rows[-1][3]
            column = rows.pop()[1]
        rows.append((row, column, height, width))
    result: list[Region] = []
    for row, column, height, width in sorted(rows, key=lambda r: (r[1], r[3], r[0])):
        if result and result[-1][1::2] == (column, width) and result[-1][0] + result[-1][2] == row:
            height += result[-1][2]
            row = result.pop()[0]
        result.append((row, column, height, width))
    return sorted(result)


def check_reach(
    split: SplitConfig,
    regions: dict[str, list[Region]],
    data_margin: int,
    network_margin: int = 0,
) -> None:
    """Refuses parts that are closer than what is read across their borders.

    A patch and, without ``split.context``, the image of a held-out part are computed from their own
    region alone, so that only the preparation of the data reaches across a border. With context
    the network reads its margin of the surroundings too.

    Args:
        split: of a configuration.
        regions: from :func:`split_regions`.
        data_margin: low-resolution cells that the simulated low resolution (point spread) and the
            preparation of guides (contrast) read around a cell.
        network_margin: the network's, in low-resolution cells; counts with ``split.context``.

    Raises:
        ValueError: naming both regions, their distance and the reach, without ``split.force``;
            with it, the same text is a warning.
    """
    reach = data_margin + (network_margin if split.context else 0)
    for number, first in enumerate(PARTS):
        for second in PARTS[number + 1 :]:
            close = min(
                ((_between(a, b), a, b) for a in regions[first] for b in regions[second]),
                default=None,
            )
            if close is None or close[0] >= reach:
                continue
            distance, a, b = close
            sources = f"{data_margin} by the preparation of the data"
            if split.context:
                sources += f", {network_margin} by the network (split.context)"
            message = (
                f"the {first} region {_text(a)} and the {second} region {_text(b)} are {distance} "
                f"low-resolution cells apart, but {reach} are read across a border ({sources})"
            )
            if not split.force:
                raise ValueError(
                    f"{message}: the split leaks; raise 'split.buffer' to {reach} and move them "
                    "apart, or accept it with 'split.force' = true"
                )
            warnings.warn(f"{message}; accepted by 'split.force'", stacklevel=2)


def _between(a: Region, b: Region) -> int:
    rows = max(b[0] - a[0] - a[2], a[0] - b[0] - b[2])
    columns = max(b[1] - a[1] - a[3], a[1] - b[1] - b[3])
    return max(rows, columns)


def _text(region: Region) -> str:
    row, column, height, width = region
    return f"rows {row}..{row + height - 1}, columns {column}..{column + width - 1}"


def _region(region: RegionConfig, rows: int, columns: int, where: str) -> Region:
    def axis(name: str, given: tuple[int, ...], size: int) -> tuple[int, int]:
        if not given:
            return 0, size
        if len(given) != 2 or given[1] < given[0]:
            raise ValueError(
                f"'{where}.{name}' must be [first, last] with first <= last, got {list(given)}"
            )
        return given[0], given[1] - given[0] + 1

    row, height = axis("rows", region.rows, rows)
    column, width = axis("columns", region.columns, columns)
    return row, column, height, width
