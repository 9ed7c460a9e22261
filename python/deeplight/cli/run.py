"""``deeplight run``: one shard of a plan, or all of them on a Ray cluster."""

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
        str | None,
        typer.Option("--shard", metavar="I/N", help="Which of N shares, counted from 0."),
    ] = None,
    ray: Annotated[
        bool, typer.Option("--ray", help="All shards on a Ray cluster, then merge.")
    ] = False,
    actors: Annotated[
        int, typer.Option(help="With --ray: processes; 0 for as many as there is room for.")
    ] = 0,
    cpus: Annotated[float, typer.Option(help="With --ray: CPUs of an actor.")] = 1,
    gpus: Annotated[float, typer.Option(help="With --ray: GPUs of an actor.")] = 0,
    retries: Annotated[int, typer.Option(help="With --ray: of a lost shard.")] = 3,
    prefetch: options.Prefetch = 1,
    threads: options.Threads = 0,
    device: options.Devices = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Compute one shard of a plan.

    [dim]$ deeplight run plan.json --shard 3/10[/dim]

    [dim]$ deeplight run plan.json --shard $SLURM_ARRAY_TASK_ID/32[/dim]

    [dim]$ deeplight run plan.json --ray --cpus 4[/dim]

    An interrupted shard goes on where it stopped when it is run again. With --ray every shard is
    computed on the cluster, lost ones again, and the rasters are merged.
    """
    if ray == (shard is not None):
        raise WrongUseError("either --shard I/N or --ray is needed")
    if ray:
        _run_on_ray(plan, actors, cpus, gpus, retries, quiet, as_json)
        return
    index, count = parse_shard(shard or "")
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


def _run_on_ray(
    plan: Path, actors: int, cpus: float, gpus: float, retries: int, quiet: bool, as_json: bool
) -> None:
    from deeplight.cluster import run_on_ray
    from deeplight.plan import load_plan

    result = run_on_ray(
        load_plan(plan), actors=actors, cpus=cpus, gpus=gpus, retries=retries, progress=not quiet
    )
    typer.echo(json.dumps(result.as_dict(), indent=2) if as_json else str(result))


def parse_shard(text: str) -> tuple[int, int]:
    """``"3/10"`` -> ``(3, 10)``.

    Raises:
        WrongUseError: not two numbers, or the first is not below the second.
    """
    first, _, second = text.partition("/")
    if not (first.isdecimal() and second.isdecimal() and int(first) < int(second)):
        raise WrongUseError(f"--shard must be I/N with I from 0 to N - 1, got '{text}'")
    return int(first), int(second)
