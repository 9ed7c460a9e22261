"""``deeplight predict``: rasters in, super-resolved rasters out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from deeplight.cli import predict_options as options
from deeplight.cli.errors import wrong_use
from deeplight.cli.predict_options import parse_guides

__all__ = ["parse_guides", "predict"]


def predict(
    low_resolution: options.LowResolution,
    weights: options.Weights,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The result; a folder where there are several inputs."),
    ],
    guide: options.GuideFiles = None,
    qa: options.Quality = None,
    average: options.Average = None,
    align: options.Align = False,
    consistency: options.ConsistencyName = "none",
    non_negative: options.NonNegative = False,
    self_ensemble: options.SelfEnsemble = False,
    uncertainty: options.Uncertainty = False,
    tile: options.TileSide = 256,
    batch: options.Batch = 1,
    precision: options.PrecisionName = "float32",
    nodata: options.Nodata = None,
    compression: options.CompressionName = "deflate",
    format: options.Format = "",
    overwrite: options.Overwrite = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted run; the same bytes result.")
    ] = False,
    scratch: options.Scratch = None,
    prefetch: options.Prefetch = 1,
    threads: options.Threads = 0,
    device: options.Devices = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Super-resolve rasters with trained weights.

    [dim]$ deeplight predict ntl.tif --guide dmo=dmo.tif --guide dem=dem.tif -w black-marble-x8
    -o sr.tif[/dim]

    [dim]$ deeplight predict jan.tif feb.tif mar.tif -g dmo=dmo.tif -g dem=dem.tif
    -w model.safetensors -o results/[/dim]

    [dim]$ deeplight predict ntl.tif -g dem=dem.tif -w seed0.safetensors
    --average seed1.safetensors -o sr.tif[/dim]

    [dim]$ deeplight predict jan.tif feb.tif --qa jan_qa.tif:1-3 --qa feb_qa.tif:1-3
    -g dem=dem.tif -w model.safetensors -o results/[/dim]

    Any size and any coordinate system; the output keeps both. Nothing is written under the
    output's name until it is whole. What an interrupted run finished is kept for --resume.
    """
    guides = parse_guides(guide or [])
    options.check_choice("--consistency", consistency, options.CONSISTENCIES)
    options.check_choice("--compression", compression, options.COMPRESSIONS)
    options.check_choice("--precision", precision, options.PRECISIONS)
    for name, value, least in (
        ("--tile", tile, 1),
        ("--batch", batch, 1),
        ("--prefetch", prefetch, 0),
        ("--threads", threads, 0),
    ):
        options.check_at_least(name, value, least)
    options.check_quality(qa or [], low_resolution)
    options.check_folder(low_resolution, output)
    from deeplight.weights import resolve_weights

    with wrong_use():
        path = resolve_weights(weights)
        others = [resolve_weights(name) for name in average or []]
    from deeplight.predictor import load

    predictor = load(path, average=others)
    options.check_guides(guides, predictor.guides, predictor.unused_guides)
    outputs = predictor.outputs(low_resolution, output, format)
    with options.says_how_to_resume(outputs, scratch):
        result = predictor.predict(
            low_resolution,
            guides,
            outputs,
            qa=qa,
            align=align,
            tile=tile,
            consistency=consistency,
            non_negative=non_negative,
            self_ensemble=self_ensemble,
            uncertainty=uncertainty,
            nodata=nodata,
            overwrite=overwrite,
            resume=resume,
            compression=compression,
            format=format,
            precision=precision,
            batch=batch,
            prefetch=prefetch,
            threads=threads,
            devices=device or (),
            scratch=scratch,
            progress=not quiet,
        )
    typer.echo(json.dumps(result.as_dict(), indent=2) if as_json else str(result))
