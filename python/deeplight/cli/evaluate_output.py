"""What ``deeplight evaluate`` leaves: the table, CSV, error maps, pictures."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from deeplight.files import whole_file

if TYPE_CHECKING:
    from deeplight.evaluation import Comparison, Image
    from deeplight.score_table import ScoreTable

#: Columns that stand side by side; more are printed one to a line.
_WIDE = 12


def print_comparison(comparison: ScoreTable) -> None:
    """Prints the table on standard output and notes on standard error."""
    from rich.console import Console

    columns = comparison.columns
    table = _side_by_side(comparison) if len(columns) <= _WIDE else _one_to_a_line(comparison)
    # A narrow terminal wraps the lines; cutting a score would make it another score.
    console = Console()
    console.width = max(console.width, 110)
    console.print(table)
    rows, wide = comparison.shape
    console.print(
        f"[dim]{rows}x{wide} pixels, {comparison.valid_share:.1%} of them scored, "
        f"{comparison.lit_share:.1%} of those lit (truth > {comparison.lit_threshold:g}); "
        f"data range {comparison.data_range:g}; light: sum of the row over sum of the truth; "
        f"lit SSIM: mean of the SSIM map at lit centres[/dim]",
        highlight=False,
        soft_wrap=True,
    )
    for note in comparison.notes:
        typer.echo(f"deeplight: warning: {note}", err=True)


def _side_by_side(comparison: ScoreTable) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    for column in comparison.columns:
        table.add_column(column.label, justify="right", no_wrap=True)
    for name, scores in comparison.rows.items():
        cells = [column.text(scores[column.key]) for column in comparison.columns]
        table.add_row(name, *cells, style="bold" if name == "ours" else None)
    return table


def _one_to_a_line(comparison: ScoreTable) -> Any:
    from rich.table import Table

    from deeplight.score_table import grouped

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    for name in comparison.rows:
        table.add_column(name, justify="right", no_wrap=True)
    for group, columns in grouped(comparison.columns):
        table.add_row(f"[dim]{group}[/dim]")
        for column in columns:
            cells = [column.text(scores[column.key]) for scores in comparison.rows.values()]
            table.add_row(f"  {column.label}", *cells)
    return table


def write_csv(comparison: ScoreTable, path: Path) -> None:
    """One line for each candidate; scores with all their digits."""
    keys = [column.key for column in comparison.columns]
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["name", *keys])
        for name, scores in comparison.rows.items():
            writer.writerow([name, *(repr(scores[key]) for key in keys)])


def write_error_map(
    comparison: Comparison,
    path: Path,
    name: str = "ours",
    window: tuple[int, int, int, int] | None = None,
) -> None:
    """Writes prediction - truth as a GeoTIFF on the truth's grid, NaN where either has no value.

    Args:
        comparison: of ``evaluation.compare``.
        path: of the raster; appears whole or not at all, an existing one is replaced.
        name: of the candidate.
        window: the part of the truth's file that the comparison was cropped to.

    Raises:
        OSError: the file cannot be written.
    """
    from deeplight import _native

    truth, image = comparison.truth, comparison.candidates[name]
    band = truth.info.bands[0]
    _native.write_raster(
        path,
        (image.values - truth.values).numpy()[None].astype("float32"),
        truth.info.grid if window is None else truth.info.grid.cropped(window),
        valid=(image.valid & truth.valid).numpy()[None],
        band_names=[f"{name} - truth"],
        units=band.units,
        overwrite=True,
    )


def shown(image: Image) -> Any:
    """Values as NumPy, NaN where invalid."""
    import torch

    return torch.where(image.valid, image.values, math.nan).numpy()


def panels_of(comparison: Comparison) -> dict[str, Any]:
    """Low resolution, bicubic, ours and truth as far as they are there, for a picture."""
    panels = {}
    if comparison.low_resolution is not None:
        panels["low resolution"] = shown(comparison.low_resolution)
    for name in ("bicubic", "ours"):
        if name in comparison.candidates:
            scores = comparison.rows[name]
            label = f"{name}\nlit PSNR {scores['lit_psnr']:.2f} dB"
            panels[label] = shown(comparison.candidates[name])
    panels["truth"] = shown(comparison.truth)
    return panels


def place_of(
    comparison: Comparison, window: tuple[int, int, int, int] | None = None
) -> dict[str, Any]:
    """Units and geotransform of the truth, as pictures take them."""
    info = comparison.truth.info
    geotransform = None
    if info.grid.georeferenced:
        grid = info.grid if window is None else info.grid.cropped(window)
        geotransform = tuple(grid.geotransform)
    return {
        "units": info.bands[0].units or info.bands[0].name or "value",
        "geotransform": geotransform,
    }


def draw_comparison(
    comparison: Comparison, path: Path, window: tuple[int, int, int, int] | None = None
) -> None:
    """Draws low resolution, bicubic, ours and truth as far as they are there.

    Args:
        comparison: of ``evaluation.compare``.
        path: of the picture.
        window: the part of the truth's file that the comparison was cropped to.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: the picture cannot be written.
    """
    from deeplight.pictures import comparison_picture

    comparison_picture(panels_of(comparison), path, **place_of(comparison, window))


def write_evaluation_report(
    comparison: Comparison,
    path: Path,
    facts: dict[str, str],
    window: tuple[int, int, int, int] | None = None,
) -> None:
    """Writes the page of HTML: scores, the maps, their errors, prediction against truth.

    Args:
        comparison: of ``evaluation.compare``.
        path: of the page.
        facts: name -> value, shown above the scores.
        window: the part of the truth's file that the comparison was cropped to.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: the page cannot be written.
    """
    from deeplight import pictures
    from deeplight.report import write_report

    truth, place = shown(comparison.truth), place_of(comparison, window)
    candidates = {name: shown(image) for name, image in comparison.candidates.items()}
    errors = {name: image - truth for name, image in candidates.items()}
    figures = {"Maps": pictures.comparison_figure(panels_of(comparison), **place)}
    if candidates:
        figures["Errors: prediction - truth"] = pictures.error_figure(errors, **place)
        figures["Prediction against truth, number of pixels"] = pictures.density_figure(
            candidates, truth, units=place["units"]
        )
    write_report(comparison, path, title=f"Evaluation: {path.stem}", facts=facts, figures=figures)
