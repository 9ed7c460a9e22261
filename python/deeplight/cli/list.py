"""``deeplight list``: architectures and shipped weights."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer


def list_(
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable, one object.")] = False,
) -> None:
    """List the architectures and the shipped weights.

    [dim]$ deeplight list[/dim]

    [dim]$ deeplight list --json | jq -r '.weights[].name'[/dim]
    """
    import deeplight
    from deeplight.models import model_info

    models = [asdict(model_info(name)) for name in deeplight.list_models()]
    weights = [_summary(name) for name in deeplight.list_weights()]
    if as_json:
        typer.echo(json.dumps({"models": models, "weights": weights}, indent=2))
    else:
        _print_tables(models, weights)


def _print_tables(models: list[dict[str, Any]], weights: list[dict[str, Any]]) -> None:
    from rich.console import Console

    console = Console()
    table = _table("architecture", "scales", "what")
    for model in models:
        scales = " ".join(f"x{scale}" for scale in model["scales"])
        table.add_row(model["name"], scales, model["summary"])
    console.print(table)
    console.print()
    if not weights:
        console.print("No weights are shipped with this build.")
        return
    table = _table("weights", "architecture", "scale", "guides (bands)", "MB")
    for row in weights:
        guides = ", ".join(f"{g['name']} ({g['bands']})" for g in row["guides"]) or "none"
        size = f"{row['bytes'] / 1e6:.1f}"
        table.add_row(row["name"], row["architecture"], f"x{row['scale']}", guides, size)
    console.print(table)


def _table(*columns: str) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _summary(name: str) -> dict[str, Any]:
    from deeplight.weights import load_card, resolve_weights

    card = load_card(name)
    guides = card["preprocessing"]["guides"]
    return {
        "name": name,
        "architecture": card["architecture"],
        "scale": card["scale"],
        "guides": [{"name": guide["name"], "bands": guide["bands"]} for guide in guides],
        "description": card["description"],
        "bytes": resolve_weights(name).stat().st_size,
    }
