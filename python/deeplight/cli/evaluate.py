"""``deeplight evaluate``: a prediction, or weights, against the truth and against bicubic."""

from __future__ import annotations

import csv
import json
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deeplight.cli.errors import WrongUseError, wrong_use
from deeplight.cli.predict import parse_guides

if TYPE_CHECKING:
    from deeplight.evaluation import Comparison, Image


def evaluate(
    prediction: Annotated[
        Path | None, typer.Argument(metavar="[SR]", help="Super-resolved raster.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Argument(metavar="[HR]", help="The truth on the same grid.")
    ] = None,
    truth_option: Annotated[
        Path | None, typer.Option("--truth", help="The truth, when --weights are evaluated.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Evaluate weights (a name or a file) instead of a raster.")
    ] = None,
    low_resolution: Annotated[
        Path | None,
        typer.Option("--low-resolution", "-l", help="Adds bicubic rows; needed with --weights."),
    ] = None,
    guide: Annotated[
        list[str] | None, typer.Option("--guide", "-g", help="NAME=FILE, for --weights; repeat.")
    ] = None,
    consistency: Annotated[
        str,
        typer.Option(help="For --weights: none, or additive or multiplicative block means."),
    ] = "none",
    self_ensemble: Annotated[
        bool, typer.Option("--self-ensemble", help="For --weights: eight flips and rotations.")
    ] = False,
    ridge: Annotated[
        Path | None,
        typer.Option(help="Adds a fitted ridge on the guides (JSON of scripts/fit_ridge.py)."),
    ] = None,
    scale: Annotated[
        int | None, typer.Option(min=1, help="Integer factor; that of the sizes when left out.")
    ] = None,
    data_range: Annotated[
        float | None,
        typer.Option(help="Peak of the units, for PSNR and SSIM; 255 when the truth is 8-bit."),
    ] = None,
    lit_threshold: Annotated[
        float, typer.Option(help="Lit pixels are those with truth above this.")
    ] = 0.0,
    window: Annotated[
        str | None,
        typer.Option(help="ROW,COLUMN,ROWS,COLUMNS of the truth to score; the whole otherwise."),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Low resolution, bicubic, ours, truth as a picture.")
    ] = None,
    csv_path: Annotated[Path | None, typer.Option("--csv", help="The table as a CSV file.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help='Machine-readable; NaN is null, infinity is "inf".')
    ] = False,
) -> None:
    """Score a super-resolved raster, or weights, against the truth.

    [dim]$ deeplight evaluate sr.tif hr.tif --low-resolution lr.tif --picture sr.png[/dim]

    [dim]$ deeplight evaluate --weights black-marble-x8 --low-resolution lr.tif
    --guide dmo=dmo.tif --guide dem=dem.tif --truth hr.tif --json[/dim]

    On night lights most pixels are dark, and an all-dark image scores well over all pixels: read
    the lit columns and the light ratio.
    """
    from deeplight import evaluation

    truth = _one_truth(truth, truth_option, weights, prediction)
    if weights is None:
        if prediction is None or truth is None:
            raise WrongUseError("name the super-resolved raster and the truth, or --weights")
        if guide and ridge is None:
            raise WrongUseError("--guide needs --weights or --ridge")
        if consistency != "none" or self_ensemble:
            raise WrongUseError("--consistency and --self-ensemble need --weights")
    elif low_resolution is None or truth is None:
        raise WrongUseError("--weights needs --low-resolution and --truth")
    if ridge is not None and low_resolution is None:
        raise WrongUseError("--ridge needs --low-resolution")
    guides = parse_guides(guide or [])
    part = _window(window)
    for output in (picture, csv_path):
        if output is not None and not output.parent.is_dir():
            raise WrongUseError(f"the folder of '{output}' does not exist")
    if picture is not None:
        from deeplight.pictures import check_picture_path

        with wrong_use():
            check_picture_path(picture)

    truth_image = evaluation.read_image(truth)
    low = None
    if low_resolution is not None:
        low = evaluation.read_image(low_resolution)
        scale = scale or max(1, round(truth_image.info.grid.columns / low.info.grid.columns))
        evaluation.check_same_extent(low.info, truth_image.info, "truth", scale)
    peak = _data_range(data_range, truth_image)

    candidates = {}
    if prediction is not None:
        image = evaluation.read_image(prediction)
        evaluation.check_same_extent(truth_image.info, image.info, "prediction", 1)
        candidates["ours"] = image
    else:
        assert low_resolution is not None
        candidates["ours"] = _predict(
            str(weights),
            low_resolution,
            guides,
            truth_image,
            consistency=consistency,
            self_ensemble=self_ensemble,
        )
    if ridge is not None:
        assert low is not None
        candidates["ridge on guides"] = _ridge(ridge, low, guides, scale or 1)

    comparison = evaluation.compare(
        truth_image,
        candidates,
        data_range=peak,
        low_resolution=low,
        scale=scale,
        lit_threshold=lit_threshold,
        window=part,
    )
    if csv_path is not None:
        _write_csv(comparison, csv_path)
    if picture is not None:
        draw_comparison(comparison, picture, scale or 1, part)
    if as_json:
        typer.echo(json.dumps(comparison.as_dict(), indent=2, allow_nan=False))
    else:
        print_comparison(comparison)


def _one_truth(
    positional: Path | None, named: Path | None, weights: str | None, prediction: Path | None
) -> Path | None:
    if weights is not None and prediction is not None:
        raise WrongUseError("give a super-resolved raster or --weights, not both")
    if positional is not None and named is not None:
        raise WrongUseError(f"two truths: '{positional}' and '{named}'")
    return positional or named


def _window(text: str | None) -> tuple[int, int, int, int] | None:
    if text is None:
        return None
    with wrong_use():
        try:
            row, column, rows, columns = (int(number) for number in text.split(","))
        except ValueError:
            raise ValueError(f"--window takes ROW,COLUMN,ROWS,COLUMNS, got '{text}'") from None
    return row, column, rows, columns


def _data_range(given: float | None, truth: Image) -> float:
    if given is not None:
        if not (math.isfinite(given) and given > 0):
            raise WrongUseError(f"--data-range must be finite and above 0, got {given}")
        return given
    dtype = truth.info.bands[0].dtype
    if dtype.lower() in ("byte", "uint8"):
        return 255.0
    raise WrongUseError(
        f"--data-range is needed: the truth is {dtype}, whose peak is not known (255 for 8-bit "
        "units, 63 for DMSP-OLS, the sensor's peak for radiance)"
    )


def _predict(
    weights: str, low_resolution: Path, guides: dict[str, Path], truth: Image, **options: Any
) -> Image:
    import deeplight
    from deeplight import evaluation
    from deeplight.weights import resolve_weights

    with wrong_use():
        resolve_weights(weights)
    predictor = deeplight.load(weights)
    with tempfile.TemporaryDirectory(prefix="deeplight-") as folder:
        output = Path(folder) / "prediction.tif"
        predictor.predict(low_resolution, guides=guides, out=output, **options)
        image = evaluation.read_image(output)
    evaluation.check_same_extent(truth.info, image.info, "prediction", 1)
    return image


def _ridge(path: Path, low: Image, guides: dict[str, Path], scale: int) -> Image:
    import torch

    from deeplight import _native, baselines, evaluation

    fitted = baselines.GuideRidge.load(path)
    bands, valid = [], low.valid.repeat_interleave(scale, 0).repeat_interleave(scale, 1)
    for name, file in guides.items():
        raster = _native.Raster(str(file))
        evaluation.check_same_extent(low.info, raster.info, name, scale)
        values, known = raster.read()
        bands.append(torch.from_numpy(values))
        valid = valid & torch.from_numpy(known).all(0)
    if not bands:
        raise WrongUseError("--ridge needs the guides that it was fitted on")
    return evaluation.Image(fitted.predict(low.values, torch.cat(bands)), valid)


def _cell(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def print_comparison(comparison: Comparison) -> None:
    """Prints the table on standard output and notes on standard error."""
    from rich.console import Console
    from rich.table import Table

    from deeplight.evaluation import COLUMNS

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    for column in COLUMNS:
        table.add_column(column.label, justify="right", no_wrap=True)
    for name, scores in comparison.rows.items():
        cells = [_cell(scores[column.key], column.digits) for column in COLUMNS]
        table.add_row(name, *cells, style="bold" if name == "ours" else None)
    # A narrow terminal wraps the lines; cutting a score would make it another score.
    console = Console()
    console.width = max(console.width, 110)
    console.print(table)
    rows, columns = comparison.truth.values.shape
    console.print(
        f"[dim]{rows}x{columns} pixels, {comparison.valid_share:.1%} of them scored, "
        f"{comparison.lit_share:.1%} of those lit (truth > {comparison.lit_threshold:g}); "
        f"data range {comparison.data_range:g}; light: sum of the row over sum of the truth; "
        f"lit SSIM: mean of the SSIM map at lit centres[/dim]",
        highlight=False,
        soft_wrap=True,
    )
    for note in comparison.notes:
        typer.echo(f"deeplight: warning: {note}", err=True)


def _write_csv(comparison: Comparison, path: Path) -> None:
    from deeplight.evaluation import COLUMNS

    keys = [column.key for column in COLUMNS]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", *keys])
        for name, scores in comparison.rows.items():
            writer.writerow([name, *(repr(scores[key]) for key in keys)])


def draw_comparison(
    comparison: Comparison,
    path: Path,
    scale: int,
    window: tuple[int, int, int, int] | None = None,
) -> None:
    """Draws low resolution, bicubic, ours and truth as far as they are there.

    Args:
        comparison: of ``evaluation.compare``.
        path: of the picture.
        scale: fine pixels per low-resolution pixel along each side.
        window: the part of the truth's file that the comparison was cropped to.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: the picture cannot be written.
    """
    import torch

    from deeplight.pictures import comparison_picture

    def shown(image: Image) -> Any:
        return torch.where(image.valid, image.values, math.nan).numpy()

    panels = {}
    if comparison.low_resolution is not None:
        panels["low resolution"] = shown(comparison.low_resolution)
    for name in ("bicubic", "ours"):
        if name in comparison.candidates:
            scores = comparison.rows[name]
            label = f"{name}\nlit PSNR {_cell(scores['lit_psnr'], 2)} dB"
            panels[label] = shown(comparison.candidates[name])
    panels["truth"] = shown(comparison.truth)
    info = comparison.truth.info
    geotransform = None
    if info.grid.georeferenced:
        grid = info.grid if window is None else info.grid.cropped(window)
        geotransform = tuple(grid.geotransform)
    units = info.bands[0].units or info.bands[0].name or "value"
    comparison_picture(panels, path, units=units, geotransform=geotransform)
