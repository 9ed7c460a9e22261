"""Pictures of night-light rasters side by side, with one shared stretch.

The stretch is ``asinh(value / knee)``: linear in the dark, logarithmic in the cores, so that a
village and a city centre show in one picture. It is for the eye; no score sees it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["brightest_window", "check_picture_path", "comparison_picture"]

#: Longer sides are thinned out before drawing; a screen shows no more.
_MOST_PIXELS = 4096
#: Side of the detail, pixels of the fine grid.
_DETAIL = 160


def check_picture_path(path: str | Path) -> str:
    """The picture format of a path, before work begins.

    Raises:
        ImportError: matplotlib is not installed; names what to install.
        ValueError: the ending is no picture format.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError as error:
        raise ImportError("a picture needs matplotlib: pip install 'deeplight[plot]'") from error
    kind = Path(path).suffix[1:].lower() or "png"
    if kind not in FigureCanvasAgg.get_supported_filetypes():
        raise ValueError(f"'{path}': '.{kind}' is no picture format; use .png")
    return kind


def brightest_window(image: np.ndarray, side: int) -> tuple[int, int, int, int]:
    """The square with the most light, on a raster of half its side.

    Args:
        image: ``[rows, columns]``, NaN counts as dark.
        side: of the square, pixels; the image's own sides where it is smaller.

    Returns:
        (row, column, rows, columns).
    """
    rows, columns = min(side, image.shape[0]), min(side, image.shape[1])
    sums = np.zeros((image.shape[0] + 1, image.shape[1] + 1))
    sums[1:, 1:] = np.nan_to_num(image).cumsum(0).cumsum(1)
    top = np.unique(np.append(np.arange(0, image.shape[0] - rows, rows // 2 or 1), 0))
    left = np.unique(np.append(np.arange(0, image.shape[1] - columns, columns // 2 or 1), 0))
    bottom, right = top + rows, left + columns
    light = (
        sums[np.ix_(bottom, right)]
        - sums[np.ix_(top, right)]
        - sums[np.ix_(bottom, left)]
        + sums[np.ix_(top, left)]
    )
    row, column = np.unravel_index(light.argmax(), light.shape)
    return int(top[row]), int(left[column]), rows, columns


def _cut(image: np.ndarray, window: tuple[int, int, int, int], scale: int) -> np.ndarray:
    row, column, rows, columns = (value // scale for value in window)
    return image[row : row + max(rows, 1), column : column + max(columns, 1)]


def comparison_picture(
    panels: Mapping[str, np.ndarray],
    path: str | Path,
    *,
    title: str = "",
    units: str = "",
    maximum: float | None = None,
    geotransform: tuple[float, ...] | None = None,
) -> None:
    """Draws rasters of one extent side by side; under them, a detail where the light is densest.

    Args:
        panels: title -> ``[rows, columns]``, NaN where invalid; sizes may differ by integer factors
            and the last one is the finest. The detail is chosen, and the stretch set, by the last.
        path: of the picture, ``.png`` or another ending that matplotlib knows. Appears whole or not
            at all.
        title: above everything.
        units: of the colour bar.
        maximum: end of the stretch; the 99.9th percentile of the last panel's lit pixels when None.
        geotransform: of the last panel, as GDAL orders it; axes then carry coordinates. Left out
            where the grid is rotated.

    Raises:
        OSError: the folder is missing or not writable.
        ValueError: the ending is no picture format.
        ImportError: matplotlib is not installed.
    """
    path = Path(path)
    kind = check_picture_path(path)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import AsinhNorm
    from matplotlib.figure import Figure

    finest = list(panels.values())[-1]
    lit = finest[np.nan_to_num(finest) > 0]
    top = maximum or (float(np.percentile(lit, 99.9)) if lit.size else 1.0)
    norm = AsinhNorm(linear_width=top / 30, vmin=0.0, vmax=top)

    detail = brightest_window(finest, _DETAIL)
    factor = max(finest.shape[0] // image.shape[0] for image in panels.values())
    detail = tuple(value // factor * factor for value in detail)  # type: ignore[assignment]
    lines = 2 if min(finest.shape) > 1.5 * _DETAIL else 1
    wide = 3.4 * min(max(finest.shape[1] / finest.shape[0], 0.7), 2.0)
    tall = wide * finest.shape[0] / finest.shape[1]
    size = (wide * len(panels) + 1.2, tall + (wide if lines == 2 else 0) + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    ratios = [tall, wide][:lines]
    axes = figure.subplots(lines, len(panels), squeeze=False, height_ratios=ratios)
    extent = _extent(geotransform, finest.shape)
    drawn: Any = None
    for column, (name, image) in enumerate(panels.items()):
        step = max(1, max(image.shape) // _MOST_PIXELS)
        drawn = axes[0, column].imshow(
            np.ma.masked_invalid(image[::step, ::step]),
            norm=norm,
            cmap="inferno",
            extent=extent,
            interpolation="antialiased",
        )
        axes[0, column].set_title(name, fontsize=9)
        if lines == 2:
            part = _cut(image, detail, finest.shape[0] // image.shape[0])
            axes[1, column].imshow(
                np.ma.masked_invalid(part), norm=norm, cmap="inferno", interpolation="nearest"
            )
            axes[1, column].set_xticks([])
            axes[1, column].set_yticks([])
        axes[0, column].tick_params(labelsize=7)
        if extent is None or column:
            axes[0, column].set_yticks([])
        if extent is None:
            axes[0, column].set_xticks([])
    for axis in axes.flat:
        axis.set_facecolor("0.35")
    figure.colorbar(drawn, ax=axes, shrink=0.8, pad=0.01, label=units, extend="max")
    if title:
        figure.suptitle(title)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        figure.savefig(partial, format=kind, dpi=110)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _extent(
    geotransform: tuple[float, ...] | None, shape: tuple[int, ...]
) -> tuple[float, float, float, float] | None:
    if geotransform is None or geotransform[2] or geotransform[4]:
        return None
    x, width, _, y, _, height = geotransform
    return x, x + width * shape[1], y + height * shape[0], y
