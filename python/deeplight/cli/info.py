"""``deeplight info``: what a weights file or a raster says about itself."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from deeplight.cli.errors import wrong_use


def info(
    source: Annotated[
        str, typer.Argument(metavar="FILE", help="Weights (a name or a file) or a raster.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable, one object.")] = False,
) -> None:
    """Describe weights or a raster.

    [dim]$ deeplight info black-marble-x8[/dim]

    [dim]$ deeplight info ntl.tif --json[/dim]
    """
    result = describe_weights(source) if _is_weights(source) else describe_raster(source)
    if as_json:
        typer.echo(json.dumps(result, indent=2, allow_nan=False))
    else:
        _print_table(result)


def _is_weights(source: str) -> bool:
    """Whether `source` is meant as weights: by shipped name, by suffix, or for lack of a file."""
    from deeplight.weights import list_weights

    path = Path(source)
    if source in list_weights():
        return True
    kinds = {".safetensors", ".pt", ".pth", ".ckpt"}
    if path.suffix.lower() in kinds or (path.suffix == ".json" and path.exists()):
        return True
    return not path.exists() and len(path.parts) == 1 and not path.suffix


def describe_weights(source: str) -> dict[str, Any]:
    """Card, tensors and network of a weights file or shipped name, as plain data.

    Raises:
        WrongUseError: no such file or name.
        ValueError: damaged weights or card; the file is named.
    """
    from deeplight.weights import load_card, resolve_weights

    with wrong_use():
        path = resolve_weights(source)
    from deeplight import _native

    tensors = _native.read_safetensors(str(path))
    card = load_card(path)
    network = _network_facts(card)
    stored_hash = card["weights_sha256"]
    return {
        "kind": "weights",
        "path": os.fspath(path),
        "bytes": path.stat().st_size,
        "name": card["name"],
        "description": card["description"],
        "architecture": card["architecture"],
        "options": card["options"],
        "parameters": network["parameters"],
        "stored_values": sum(math.prod(shape) for _, shape in tensors.values()),
        "storage": sorted({dtype for dtype, _ in tensors.values()}),
        "scale": card["scale"],
        "low_resolution": card["preprocessing"]["low_resolution"],
        "output": card["preprocessing"]["output"],
        "guides": card["preprocessing"]["guides"],
        "nodata_rule": card["nodata_rule"],
        "cell_size": card["cell_size"],
        "cell_size_units": card["cell_size_units"],
        "margin": card["margin"],
        "image_statistics": network["image_statistics"],
        "auxiliary_target": card["auxiliary_target"],
        "training": card["training"],
        "scores": card["scores"],
        "credits": card["credits"],
        "license": card["license"],
        "intact": not stored_hash or stored_hash == _native.safetensors_sha256(str(path)),
    }


def _network_facts(card: dict[str, Any]) -> dict[str, Any]:
    import deeplight

    network = deeplight.create_model(card["architecture"], **(card["options"] or {}))
    return {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "image_statistics": network.native.statistic_names(),
    }


def describe_raster(source: str) -> dict[str, Any]:
    """Grid, bands, nodata and units of a raster, as plain data.

    Raises:
        WrongUseError: no such file.
        ValueError: not a raster, or damaged; the file is named.
        RuntimeError: this build reads no rasters.
    """
    with wrong_use():
        if not Path(source).exists():
            raise FileNotFoundError(f"no such file: '{source}'")
    from deeplight import _native

    if not _native.has_raster:
        raise RuntimeError("this build of deeplight reads no rasters (built without GDAL)")
    raster = _native.raster_info(source)
    grid = raster.grid
    return {
        "kind": "raster",
        "path": source,
        "driver": raster.driver,
        "rows": grid.rows,
        "columns": grid.columns,
        "crs": grid.crs if grid.georeferenced else None,
        "geotransform": list(grid.geotransform) if grid.georeferenced else None,
        "cell_size": list(grid.cell_size) if grid.georeferenced else None,
        "block": list(raster.block),
        "alpha": raster.has_alpha,
        "bands": [
            {
                "name": band.name,
                "units": band.units,
                "dtype": band.dtype,
                "nodata": _plain(band.nodata),
                "scale": band.scale,
                "offset": band.offset,
            }
            for band in raster.bands
        ],
        "metadata": dict(raster.metadata),
    }


def _plain(value: float | None) -> float | str | None:
    """JSON knows no NaN, which is the commonest nodata value."""
    return str(value) if value is not None and not math.isfinite(value) else value


def _print_table(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    lists = ("guides", "bands")
    for key, value in result.items():
        if key == "image_statistics" and not value:
            value = "none"  # worth saying: tiles need nothing from the rest of the raster
        if key in lists or value in (None, "", [], {}):
            continue
        for label, text in _rows(key, value):
            table.add_row(label, escape(text))
    console.print(table)
    for key in lists:
        if result.get(key):
            console.print()
            console.print(_list_table(key, result[key]))


def _rows(key: str, value: Any, prefix: str = "") -> list[tuple[str, str]]:
    label = prefix + key.replace("_", " ")
    if isinstance(value, dict):
        rows = [(label, "")]
        for name, inner in value.items():
            if inner not in (None, "", [], {}):
                rows += _rows(name, inner, prefix + "  ")
        return rows
    if isinstance(value, bool):
        return [(label, "yes" if value else "no")]
    if isinstance(value, float):
        return [(label, f"{value:.10g}")]
    if isinstance(value, int):
        return [(label, f"{value:,}")]
    if isinstance(value, list):
        if any(isinstance(element, dict) for element in value):
            return [(label, json.dumps(value))]
        return [(label, ", ".join(str(element) for element in value))]
    return [(label, str(value))]


def _list_table(title: str, entries: list[dict[str, Any]]) -> Any:
    from rich.markup import escape
    from rich.table import Table

    usual = {"scale": 1, "offset": 0, "transform": "linear", "transform_scale": 1}
    columns = [
        key
        for key in entries[0]
        if any(entry[key] not in (None, "", [], usual.get(key)) for entry in entries)
    ]
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for entry in entries:
        table.add_row(*(escape(_cell(entry[column])) for column in columns))
    return table


def _cell(value: Any) -> str:
    if isinstance(value, list):
        shown = ", ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in value[:4])
        return shown + (", …" if len(value) > 4 else "")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.10g}"
    return "" if value is None else str(value)
