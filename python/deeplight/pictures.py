"""Pictures of night-light rasters: side by side, their errors, prediction against truth.

The stretch is ``asinh(value / knee)``: linear in the dark, logarithmic in the cores, so that a
village and a city centre show in one picture. It is for the eye; no score sees it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deeplight.files import whole_file

__all__ = [
    "brightest_window",
    "check_picture_path",
    "comparison_figure",
    "comparison_picture",
    "density_figure",
    "error_figure",
    "save_figure",
]

#: Longer sides are thinned out before drawing; a screen shows no more.
_MOST_PIXELS = 4096
#: Side of the detail, pixels of the fine grid.
_DETAIL = 160
#: The knee of the stretch, as a share of its end.
_KNEE = 1 / 30


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


def comparison_picture(panels: Mapping[str, np.ndarray], path: str | Path, **options: Any) -> None:
    """Writes :func:`comparison_figure` as a picture that appears whole or not at all.

    Args:
        panels: see :func:`comparison_figure`.
        path: ``.png`` or another ending that matplotlib knows.
        **options: of :func:`comparison_figure`.

    Raises:
        OSError: the folder is missing or not writable.
        ValueError: the ending is no picture format.
        ImportError: matplotlib is not installed.
    """
    check_picture_path(path)
    save_figure(comparison_figure(panels, **options), path)


def save_figure(figure: Any, path: str | Path) -> None:
    """Writes a figure under a temporary name and renames it.

    Raises:
        OSError: the folder is missing or not writable.
        ValueError: the ending is no picture format.
    """
    kind = check_picture_path(path)
    with whole_file(path) as partial:
        figure.savefig(partial, format=kind, dpi=110)


def comparison_figure(
    panels: Mapping[str, np.ndarray],
    *,
    title: str = "",
    units: str = "",
    maximum: float | None = None,
    geotransform: tuple[float, ...] | None = None,
) -> Any:
    """Rasters of one extent side by side; under them, a detail where the light is densest.

    Args:
        panels: title -> ``[rows, columns]``, NaN where invalid; sizes may differ by integer factors
            and the last one is the finest. The detail is chosen, and the stretch set, by the last.
        title: above everything.
        units: of the colour bar.
        maximum: end of the stretch; the 99.9th percentile of the last panel's lit pixels when None.
        geotransform: of the last panel, as GDAL orders it; axes then carry coordinates. Left out
            where the grid is rotated.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.colors import AsinhNorm

    finest = list(panels.values())[-1]
    top = maximum or _stretch_end(finest)
    norm = AsinhNorm(linear_width=top * _KNEE, vmin=0.0, vmax=top)
    return _row_of_maps(panels, norm, "inferno", "max", title, units, geotransform)


def error_figure(
    errors: Mapping[str, np.ndarray],
    *,
    title: str = "",
    units: str = "",
    maximum: float | None = None,
    geotransform: tuple[float, ...] | None = None,
) -> Any:
    """Errors, prediction - truth, side by side: red where the prediction is too bright.

    Args:
        errors: title -> ``[rows, columns]``, NaN where invalid.
        title: above everything.
        units: of the colour bar.
        maximum: end of the stretch on both sides; the 99.9th percentile of all absolute errors when
            None.
        geotransform: as of :func:`comparison_figure`.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.colors import AsinhNorm

    finite = [np.abs(error[np.isfinite(error)]) for error in errors.values()]
    sizes = np.concatenate(finite) if finite else np.empty(0)
    sizes = sizes[sizes > 0]
    top = maximum or (float(np.percentile(sizes, 99.9)) if sizes.size else 1.0)
    norm = AsinhNorm(linear_width=top * _KNEE, vmin=-top, vmax=top)
    return _row_of_maps(errors, norm, "RdBu_r", "both", title, units, geotransform)


def density_figure(
    predictions: Mapping[str, np.ndarray], truth: np.ndarray, *, units: str = "", bins: int = 120
) -> Any:
    """How often which prediction stands against which truth, logarithmic, with the diagonal.

    Args:
        predictions: title -> ``[rows, columns]``, NaN where invalid.
        truth: the same shape, NaN where invalid.
        units: of the axes.
        bins: along each axis, equally wide under the stretch.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.colors import LogNorm

    top = _stretch_end(truth)
    knee = top * _KNEE
    edges = knee * np.sinh(np.linspace(0, np.arcsinh(top / knee), bins + 1))
    figure = _figure(3.4 * max(len(predictions), 1) + 0.8, 3.6)
    axes = figure.subplots(1, max(len(predictions), 1), squeeze=False)[0]
    for axis, (name, prediction) in zip(axes, predictions.items(), strict=False):
        both = np.isfinite(prediction) & np.isfinite(truth)
        given, wanted = prediction[both].clip(0, top), truth[both].clip(0, top)
        counts = np.histogram2d(wanted, given, bins=(edges, edges))[0]
        if counts.any():
            axis.pcolormesh(edges, edges, np.ma.masked_equal(counts.T, 0), norm=LogNorm())
        axis.plot([0, top], [0, top], color="0.4", linewidth=0.8)
        for scale in (axis.set_xscale, axis.set_yscale):
            scale("asinh", linear_width=knee)
        axis.set(xlim=(0, top), ylim=(0, top), xlabel=f"truth, {units}", aspect="equal")
        axis.set_title(name, fontsize=9)
        axis.tick_params(labelsize=7)
    axes[0].set_ylabel(f"prediction, {units}")
    return figure


def _stretch_end(image: np.ndarray) -> float:
    lit = image[np.nan_to_num(image) > 0]
    return float(np.percentile(lit, 99.9)) if lit.size else 1.0


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _row_of_maps(
    panels: Mapping[str, np.ndarray],
    norm: Any,
    colors: str,
    extend: str,
    title: str,
    units: str,
    geotransform: tuple[float, ...] | None,
) -> Any:
    finest = list(panels.values())[-1]
    detail = brightest_window(np.abs(finest), _DETAIL)
    factor = max(finest.shape[0] // image.shape[0] for image in panels.values())
    detail = tuple(value // factor * factor for value in detail)  # type: ignore[assignment]
    lines = 2 if min(finest.shape) > 1.5 * _DETAIL else 1
    wide = 3.4 * min(max(finest.shape[1] / finest.shape[0], 0.7), 2.0)
    tall = wide * finest.shape[0] / finest.shape[1]
    figure = _figure(wide * len(panels) + 1.2, tall + (wide if lines == 2 else 0) + 0.9)
    ratios = [tall, wide][:lines]
    axes = figure.subplots(lines, len(panels), squeeze=False, height_ratios=ratios)
    extent = _extent(geotransform, finest.shape)
    drawn: Any = None
    for column, (name, image) in enumerate(panels.items()):
        step = max(1, max(image.shape) // _MOST_PIXELS)
        drawn = axes[0, column].imshow(
            np.ma.masked_invalid(image[::step, ::step]),
            norm=norm,
            cmap=colors,
            extent=extent,
            interpolation="antialiased",
        )
        axes[0, column].set_title(name, fontsize=9)
        if lines == 2:
            part = _cut(image, detail, finest.shape[0] // image.shape[0])
            axes[1, column].imshow(
                np.ma.masked_invalid(part), norm=norm, cmap=colors, interpolation="nearest"
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
    figure.colorbar(drawn, ax=axes, shrink=0.8, pad=0.01, label=units, extend=extend)
    if title:
        figure.suptitle(title)
    return figure


def _extent(
    geotransform: tuple[float, ...] | None, shape: tuple[int, ...]
) -> tuple[float, float, float, float] | None:
    if geotransform is None or geotransform[2] or geotransform[4]:
        return None
    x, width, _, y, _, height = geotransform
    return x, x + width * shape[1], y + height * shape[0], y
