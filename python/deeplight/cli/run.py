"""``deeplight run``: one shard of a plan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from deeplight.cli import predict_options as options
from deeplight.cli.errors import WrongUseError


def run(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="What `deeplight plan` wrote.")],
    shard: Annotated[
        str, typer.Option("--shard", metavar="I/N", help="Which of N shares, counted from 0.")
    ],
    prefetch: options.Prefetch = 1,
    threads: options.Threads = 0,
    device: options.Devices = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Compute one shard of a plan.

    [dim]$ deeplight run plan.json --shard 3/10[/dim]

    [dim]$ deeplight run plan.json --shard $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT[/dim]

    An interrupted shard goes on where it stopped when it is run again.
    """
    index, count = parse_shard(shard)
    options.check_at_least("--prefetch", prefetch, 0)
    options.check_at_least("--threads", threads, 0)
    from deeplight.plan import load_plan, run_shard

    result = run_shard(
        load_plan(plan),
        index,
        count,
        prefetch=prefetch,
        threads=threads,
        devices=device or (),
        progress=not quiet,
    )
    if as_json:
        typer.echo(json.dumps(result.as_dict(), indent=2))
        return
    for raster in result.rasters:
        kept = f", {raster.resumed} of them from before" if raster.resumed else ""
        typer.echo(f"{raster.output}: {raster.tiles} tiles{kept}, {raster.seconds:.1f} s")


def parse_shard(text: str) -> tuple[int, int]:
    """``"3/10"`` -> ``(3, 10)``.

    Raises:
        WrongUseError: not two numbers, or the first is not below the second.
    """
    first, _, second = text.partition("/")
    if not (first.isdecimal() and second.isdecimal() and int(first) < int(second)):
        raise WrongUseError(f"--shard must be I/N with I from 0 to N - 1, got '{text}'")
    return int(first), int(second)
