"""``deeplight list``: architectures and shipped weights."""

from __future__ import annotations

import json
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

    result = {
        "models": list(deeplight.list_models()),
        "weights": [_summary(name) for name in deeplight.list_weights()],
    }
    if as_json:
        typer.echo(json.dumps(result, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    models = Table("architecture", box=None, pad_edge=False, header_style="bold")
    for name in result["models"]:
        models.add_row(name)
    console.print(models)
    console.print()
    if not result["weights"]:
        console.print("No weights are shipped with this build.")
        return
    weights = Table(
        "weights",
        "architecture",
        "scale",
        "guides",
        "MB",
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    for row in result["weights"]:
        guides = ", ".join(f"{g['name']} ({g['bands']})" for g in row["guides"]) or "none"
        size = f"{row['bytes'] / 1e6:.1f}"
        weights.add_row(row["name"], row["architecture"], f"x{row['scale']}", guides, size)
    console.print(weights)


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
