"""``deeplight evaluate``: a prediction, or weights, against the truth and against bicubic."""

from __future__ import annotations

import json
import math
import tempfile
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deeplight.cli.errors import WrongUseError, wrong_use
from deeplight.cli.predict import parse_guides

if TYPE_CHECKING:
    from deeplight.evaluation import Image
    from deeplight.score_table import Extras, ScoreTable


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
    error_map: Annotated[
        Path | None, typer.Option(help="Raster of prediction - truth, on the truth's grid.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="One page of HTML: scores, maps, errors.")
    ] = None,
    zones: Annotated[
        Path | None,
        typer.Option(
            help="Cities whose sums of lights are compared (R2, slope): a raster of labels, or "
            "polygons (GeoJSON, GeoPackage, shapefile, FlatGeobuf)."
        ),
    ] = None,
    saturation: Annotated[
        float | None,
        typer.Option(help="Adds errors where the truth is at or above this (63 for DMSP-OLS)."),
    ] = None,
    bins: Annotated[
        str | None,
        typer.Option(help="Adds errors per bin of the truth: ascending edges, e.g. 0,10,50,255."),
    ] = None,
    niqe_model: Annotated[
        Path | None, typer.Option(help="Adds NIQE with a model of metrics.fit_niqe (JSON).")
    ] = None,
    min_peak: Annotated[
        float | None,
        typer.Option(help="Adds widths of isolated sources whose peak in the truth reaches this."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every score instead of those that matter most.")
    ] = False,
    stream: Annotated[
        bool | None,
        typer.Option(
            "--stream/--no-stream",
            help="Read by blocks, for rasters larger than memory; by itself above 64 megapixels.",
        ),
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
    from deeplight import _native, evaluation
    from deeplight.cli.evaluate_output import (
        draw_comparison,
        write_error_map,
        write_evaluation_report,
    )

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
    outputs = [path for path in (picture, csv_path, error_map, report) if path is not None]
    inputs = [prediction, truth, low_resolution, ridge, zones, niqe_model, *guides.values()]
    _check_outputs(outputs, [path for path in inputs if path is not None])
    if picture is not None or report is not None:
        from deeplight.pictures import check_picture_path

        with wrong_use():
            check_picture_path(picture or "report.png")

    extras = _extras(saturation, bins, niqe_model, min_peak)
    if _streamed(stream, truth, ridge):
        from deeplight.cli.evaluate_stream import evaluate_by_blocks

        write = None
        if weights is not None:
            assert low_resolution is not None
            write = partial(
                _predict_file,
                weights,
                low_resolution,
                guides,
                consistency=consistency,
                self_ensemble=self_ensemble,
            )
        table = evaluate_by_blocks(
            prediction,
            truth,
            predict=write,
            data_range=_data_range(data_range, _native.raster_info(truth)),
            low_resolution=low_resolution,
            scale=scale,
            lit_threshold=lit_threshold,
            window=part,
            everything=everything,
            extras=extras,
            zones=zones,
            error_map=error_map,
            picture=picture,
            report=report,
            facts=_facts(weights, prediction, truth, low_resolution),
        )
        _print(table, csv_path, as_json)
        return

    truth_image = evaluation.read_image(truth)
    low = None
    if low_resolution is not None:
        low = evaluation.read_image(low_resolution)
        scale = scale or max(1, round(truth_image.info.grid.columns / low.info.grid.columns))
        evaluation.check_comparable(low.info, truth_image.info, "truth", scale)
    peak = _data_range(data_range, truth_image.info)

    candidates = {}
    if prediction is not None:
        image = evaluation.read_image(prediction)
        evaluation.check_comparable(truth_image.info, image.info, "prediction", 1)
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
        everything=everything,
        extras=extras,
        zones=None if zones is None else _native.read_zones(zones, truth),
    )
    if error_map is not None:
        write_error_map(comparison, error_map, window=part)
    if picture is not None:
        draw_comparison(comparison, picture, part)
    if report is not None:
        facts = _facts(weights, prediction, truth, low_resolution)
        write_evaluation_report(comparison, report, facts, part)
    _print(comparison, csv_path, as_json)


def _print(table: ScoreTable, csv_path: Path | None, as_json: bool) -> None:
    from deeplight.cli.evaluate_output import print_comparison, write_csv

    if csv_path is not None:
        write_csv(table, csv_path)
    if as_json:
        typer.echo(json.dumps(table.as_dict(), indent=2, allow_nan=False))
    else:
        print_comparison(table)


#: Pixels of the truth above which rasters are read by blocks unless --no-stream is given: a pixel
#: takes some 100 bytes when held.
_HELD_PIXELS = 1 << 26


def _streamed(wanted: bool | None, truth: Path, ridge: Path | None) -> bool:
    from deeplight import _native

    if ridge is not None:
        if wanted:
            raise WrongUseError("--ridge holds rasters in memory; leave it or --stream out")
        return False
    if wanted is not None:
        return wanted
    # Of the whole raster: a window is cut after it is read.
    grid = _native.raster_info(truth).grid
    return grid.rows * grid.columns > _HELD_PIXELS


def _extras(
    saturation: float | None, bins: str | None, niqe_model: Path | None, min_peak: float | None
) -> Extras:
    from deeplight import metrics
    from deeplight.score_table import Extras

    if saturation is not None and not math.isfinite(saturation):
        raise WrongUseError(f"--saturation must be finite, got {saturation}")
    if min_peak is not None and not math.isfinite(min_peak):
        raise WrongUseError(f"--min-peak must be finite, got {min_peak}")
    edges: tuple[float, ...] = ()
    if bins is not None:
        with wrong_use():
            try:
                edges = tuple(float(edge) for edge in bins.split(","))
            except ValueError:
                raise ValueError(f"--bins takes numbers with commas, got '{bins}'") from None
            if len(edges) < 2 or any(b <= a for a, b in pairwise(edges)):
                raise ValueError(f"--bins takes two or more ascending edges, got '{bins}'")
    with wrong_use():
        model = None if niqe_model is None else metrics.load_niqe_model(niqe_model)
    return Extras(saturation=saturation, edges=edges, niqe_model=model, min_peak=min_peak)


def _facts(
    weights: str | None, prediction: Path | None, truth: Path, low_resolution: Path | None
) -> dict[str, str]:
    facts = {"Prediction": str(weights or prediction), "Truth": str(truth)}
    if low_resolution is not None:
        facts["Low resolution"] = str(low_resolution)
    return facts


def _check_outputs(outputs: list[Path], inputs: list[Path]) -> None:
    """Outputs replace what stands there: never an input, nor each other."""
    taken = {path.resolve(): path for path in inputs}
    for output in outputs:
        if not output.parent.is_dir():
            raise WrongUseError(f"the folder of '{output}' does not exist")
        if output.resolve() in taken:
            raise WrongUseError(f"'{output}' is an input or another output; name another file")
        taken[output.resolve()] = output


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


def _data_range(given: float | None, truth: Any) -> float:
    if given is not None:
        if not (math.isfinite(given) and given > 0):
            raise WrongUseError(f"--data-range must be finite and above 0, got {given}")
        return given
    dtype = truth.bands[0].dtype
    if dtype.lower() in ("byte", "uint8"):
        return 255.0
    raise WrongUseError(
        f"--data-range is needed: the truth is {dtype}, whose peak is not known (255 for 8-bit "
        "units, 63 for DMSP-OLS, the sensor's peak for radiance)"
    )


def _predict_file(
    weights: str, low_resolution: Path, guides: dict[str, Path], output: Path, **options: Any
) -> None:
    import deeplight
    from deeplight.weights import resolve_weights

    with wrong_use():
        resolve_weights(weights)
    predictor = deeplight.load(weights)
    predictor.predict(low_resolution, guides=guides, out=output, **options)


def _predict(
    weights: str, low_resolution: Path, guides: dict[str, Path], truth: Image, **options: Any
) -> Image:
    from deeplight import evaluation

    with tempfile.TemporaryDirectory(prefix="deeplight-") as folder:
        output = Path(folder) / "prediction.tif"
        _predict_file(weights, low_resolution, guides, output, **options)
        image = evaluation.read_image(output)
    evaluation.check_comparable(truth.info, image.info, "prediction", 1)
    return image


def _ridge(path: Path, low: Image, guides: dict[str, Path], scale: int) -> Image:
    import torch

    from deeplight import _native, baselines, evaluation

    fitted = baselines.GuideRidge.load(path)
    bands, valid = [], low.valid.repeat_interleave(scale, 0).repeat_interleave(scale, 1)
    for name, file in guides.items():
        raster = _native.Raster(str(file))
        evaluation.check_comparable(low.info, raster.info, name, scale)
        values, known = raster.read()
        bands.append(torch.from_numpy(values))
        valid = valid & torch.from_numpy(known).all(0)
    if not bands:
        raise WrongUseError("--ridge needs the guides that it was fitted on")
    return evaluation.Image(fitted.predict(low.values, torch.cat(bands)), valid)
