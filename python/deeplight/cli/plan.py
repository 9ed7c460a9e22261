"""``deeplight plan``: a prediction as a file of work that many machines share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from deeplight.cli import predict_options as options
from deeplight.cli.errors import wrong_use


def plan(
    low_resolution: options.LowResolution,
    weights: options.Weights,
    raster: Annotated[
        Path,
        typer.Option(
            "--raster", "-r", help="The later result; a folder where there are several inputs."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="PLAN", help="The plan, JSON.")],
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
    scratch: options.Scratch = None,
    as_json: options.AsJson = False,
) -> None:
    """Plan a prediction that many machines share.

    [dim]$ deeplight plan ntl.tif -g dmo=dmo.tif -g dem=dem.tif -w black-marble-x8 -r sr.tif
    -o plan.json[/dim]

    [dim]$ deeplight run plan.json --shard 0/2 & deeplight run plan.json --shard 1/2; wait[/dim]

    [dim]$ deeplight merge plan.json[/dim]
    """
    guides = options.parse_guides(guide or [])
    options.check_choice("--consistency", consistency, options.CONSISTENCIES)
    options.check_choice("--compression", compression, options.COMPRESSIONS)
    options.check_choice("--precision", precision, options.PRECISIONS)
    options.check_at_least("--tile", tile, 1)
    options.check_at_least("--batch", batch, 1)
    options.check_quality(qa or [], low_resolution)
    options.check_folder(low_resolution, raster)
    from deeplight.weights import resolve_weights

    with wrong_use():
        paths = [resolve_weights(name) for name in (weights, *(average or []))]
    from deeplight.plan import make_plan

    made = make_plan(
        paths,
        low_resolution,
        guides,
        raster,
        qa=qa,
        align=align,
        tile=tile,
        consistency=consistency,
        non_negative=non_negative,
        self_ensemble=self_ensemble,
        uncertainty=uncertainty,
        nodata=nodata,
        overwrite=overwrite,
        compression=compression,
        format=format,
        precision=precision,
        batch=batch,
        scratch=scratch,
    )
    made.save(output)
    groups = sum(job["groups"] for job in made.jobs)
    if as_json:
        facts = {"plan": str(output), "tiles": made.tiles, "groups": groups, "jobs": made.jobs}
        typer.echo(json.dumps(facts, indent=2))
    else:
        typer.echo(f"{output}: {made.tiles} tiles; up to {groups} shards have work")
