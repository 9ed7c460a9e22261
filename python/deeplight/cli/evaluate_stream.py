"""``deeplight evaluate`` of rasters that are read by blocks, with pictures of every k-th pixel."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deeplight.evaluation import Image
    from deeplight.score_table import ScoreTable

#: Pixels of a picture's longer side, about.
_SIDE = 1200


def evaluate_by_blocks(
    prediction: Path | None,
    truth: Path,
    *,
    predict: Callable[[Path], None] | None,
    picture: Path | None,
    report: Path | None,
    facts: dict[str, str],
    low_resolution: Path | None,
    window: tuple[int, int, int, int] | None,
    **options: Any,
) -> ScoreTable:
    """The table of ``evaluation.compare_files``, and what is to be drawn.

    Args:
        prediction: the raster; None where `predict` writes it.
        truth: the truth on the same grid.
        predict: writes the prediction as the raster that it is given.
        picture: to draw, or None.
        report: page of HTML to write, or None.
        facts: of the report.
        low_resolution: adds the bicubic rows.
        window: part of the truth that is scored.
        options: of ``evaluation.compare_files``.
    """
    from deeplight import evaluation

    with tempfile.TemporaryDirectory(prefix="deeplight-") as folder:
        if predict is not None:
            prediction = Path(folder) / "prediction.tif"
            predict(prediction)
        assert prediction is not None
        table = evaluation.compare_files(
            truth,
            {"ours": prediction},
            low_resolution=low_resolution,
            window=window,
            **options,
        )
        if picture is not None or report is not None:
            _draw(table, prediction, truth, low_resolution, window, picture, report, facts)
    return table


def _draw(
    table: ScoreTable,
    prediction: Path,
    truth: Path,
    low_resolution: Path | None,
    window: tuple[int, int, int, int] | None,
    picture: Path | None,
    report: Path | None,
    facts: dict[str, str],
) -> None:
    from deeplight import _native
    from deeplight.cli.evaluate_output import draw_comparison, write_evaluation_report
    from deeplight.evaluation import Comparison

    grid = _native.raster_info(truth).grid
    part = window or (0, 0, grid.rows, grid.columns)
    step = max(1, -(-max(part[2:]) // _SIDE))
    fine = read_every(truth, part, step)
    low = None
    if low_resolution is not None:
        coarse = _native.raster_info(low_resolution).grid
        factor = max(1, grid.columns // coarse.columns)
        area = tuple(value // factor for value in part)
        low = read_every(low_resolution, area, max(1, step // factor))
    ours = read_every(prediction, part, step)
    thin = Comparison(
        rows=table.rows,
        columns=table.columns,
        shape=table.shape,
        data_range=table.data_range,
        lit_threshold=table.lit_threshold,
        valid_share=table.valid_share,
        lit_share=table.lit_share,
        notes=list(table.notes),
        truth=fine,
        candidates={"ours": ours},
        valid=fine.valid & ours.valid,
        low_resolution=low,
    )
    if step > 1:
        thin.notes.append(f"pictures show every {step}th pixel; scores are of all")
    if picture is not None:
        draw_comparison(thin, picture)
    if report is not None:
        write_evaluation_report(thin, report, facts)


def read_every(path: Path, window: tuple[int, ...], step: int) -> Image:
    """Every `step`-th pixel of every `step`-th row of a window, one row of blocks at a time."""
    import numpy as np
    import torch

    from deeplight import _native
    from deeplight.evaluation import Image

    raster = _native.Raster(str(path))
    row, column, rows, columns = window
    values, valid = [], []
    height = max(step, (1 << 21) // columns // step * step)
    for first in range(0, rows, height):
        count = min(height, rows - first)
        block, known = raster.read(window=(row + first, column, count, columns), bands=[0])
        values.append(np.array(block[0, ::step, ::step]))
        valid.append(np.array(known[0, ::step, ::step]))
    return Image(
        torch.from_numpy(np.concatenate(values)).double(),
        torch.from_numpy(np.concatenate(valid)).bool(),
        _Sparse(raster.info, window, step),
    )


class _Sparse:
    """What pictures ask of a raster's description, for every `step`-th pixel of a window."""

    def __init__(self, info: Any, window: tuple[int, ...], step: int) -> None:
        self.bands = info.bands
        self.grid = _SparseGrid(info.grid, window, step)


class _SparseGrid:
    def __init__(self, grid: Any, window: tuple[int, ...], step: int) -> None:
        left, dx, skew, top, tilt, dy = grid.cropped(tuple(window)).geotransform
        self.georeferenced = grid.georeferenced
        self.geotransform = (left, dx * step, skew * step, top, tilt * step, dy * step)
