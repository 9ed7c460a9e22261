"""``deeplight merge``: the shards of a plan become its rasters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from deeplight.cli import predict_options as options


def merge(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="What `deeplight plan` wrote.")],
    as_json: options.AsJson = False,
) -> None:
    """Assemble the rasters of a plan from its shards.

    [dim]$ deeplight merge plan.json[/dim]

    Every tile must be there, whole, and of the planned job; the result has the bytes of
    `deeplight predict` on one machine. The shards are removed.
    """
    from deeplight.plan import load_plan
    from deeplight.plan import merge as merge_plan

    result = merge_plan(load_plan(plan))
    typer.echo(json.dumps(result.as_dict(), indent=2) if as_json else str(result))
