"""``deeplight prepare CONFIG.toml``."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from deeplight.cli.errors import WrongUseError, wrong_use
from deeplight.cli.settings import setting

__all__ = ["prepare"]


def prepare(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="Of the later training.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file, .safetensors.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of the rasters, instead of data.root.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A key of the configuration; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable, one object.")] = False,
) -> None:
    """Write everything that training reads of rasters into one file.

    Training from it needs neither the rasters nor raster support, and gives the same bits.

    [dim]$ deeplight prepare CONFIG.toml --data FOLDER -o prepared.safetensors[/dim]

    [dim]$ deeplight train CONFIG.toml --prepared prepared.safetensors -o runs/mine[/dim]

    The tables data, split and init of the configuration must stay as they were; give --set to both.
    """
    if output.suffix != ".safetensors":
        raise WrongUseError(f"--output must end in .safetensors, got '{output}'")
    from deeplight.training import load_config, load_data
    from deeplight.training.prepared import save_prepared

    with wrong_use():
        overrides: dict[str, Any] = dict(setting(text) for text in settings or [])
        if data is not None:
            overrides["data.root"] = str(data)
        configuration = load_config(config, overrides)
    prepared = load_data(configuration)
    for note in prepared.notes:
        warnings.warn(note, stacklevel=1)
    save_prepared(prepared, configuration, output)
    size = output.stat().st_size
    if not as_json:
        typer.echo(f"{output} ({size / 1e6:.1f} MB)")
        return
    rows, columns = prepared.target.shape[-2:]
    typer.echo(
        json.dumps(
            {
                "path": str(output),
                "bytes": size,
                "rows": rows,
                "columns": columns,
                "scale": prepared.scale,
                "guides": {name: guide.shape[0] for name, guide in prepared.guides.items()},
                "regions": {part: len(regions) for part, regions in prepared.regions.items()},
                "gain": prepared.gain,
                "notes": prepared.notes,
                "digest": configuration.data_digest(),
            },
            indent=2,
        )
    )
