"""``deeplight study STUDY.toml``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from deeplight.cli.errors import wrong_use

__all__ = ["study"]


def study(
    path: Annotated[
        Path, typer.Argument(metavar="STUDY.toml", help="Rows, seeds, and their base.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the runs; runs/NAME if absent.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of the rasters, instead of data.root.")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Runs at a time.")] = 1,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Of each run; all of them / jobs.")
    ] = None,
    results: Annotated[
        Path | None, typer.Option("--results", help="Also write the table to this JSON file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Train a configuration with one thing changed at a time, over several seeds.

    Prints gains over bicubic with 95 % intervals over the seeds. Stopped at any moment, it goes on
    where it stood when called again; finished runs are kept.

    [dim]$ deeplight study configs/ablations.toml --jobs 2[/dim]
    """
    from deeplight.files import write_whole
    from deeplight.training.study import load_study, run_study, summarise

    with wrong_use():
        described = load_study(path)
    folder = output or Path("runs") / path.stem

    def report(name: str, done: int, of: int) -> None:
        if not quiet:
            typer.echo(f"{done} of {of}: {name}", err=True)

    found = run_study(
        path, folder, data=str(data) if data else None, jobs=jobs, threads=threads, report=report
    )
    rows = list(summarise(described, found))
    table = {
        "title": described.title, "seeds": list(described.seeds), "parts": list(described.parts),
        "rows": rows,
    }  # fmt: skip
    text = json.dumps(_without_nan(table), indent=1) + "\n"
    if results is not None:
        write_whole(results, text.encode())
    if as_json:
        typer.echo(text, nl=False)
    else:
        _print(table)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _print(table: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    def number(estimate: dict[str, float], digits: int = 2, sign: str = "+") -> str:
        text = f"{estimate['mean']:{sign}.{digits}f}"
        width = estimate["half_width"]
        return text if math.isnan(width) else f"{text} ± {width:.{digits}f}"

    shown = Table(title=table["title"] or None)
    for column in ("", "parameters"):
        shown.add_column(column)
    for part in table["parts"]:
        for column in ("gain dB", "change dB", "lit SSIM"):
            shown.add_column(f"{part}\n{column}", justify="right")
    for row in table["rows"]:
        cells = [row["name"], f"{row['parameters']:,}"]
        for part in table["parts"]:
            scores = row[part]
            cells += [number(scores["gain"]), number(scores["change"])]
            cells.append(number(scores["lit_ssim"], 3, ""))
        shown.add_row(*cells)
    Console(width=max(120, Console().width)).print(shown)
