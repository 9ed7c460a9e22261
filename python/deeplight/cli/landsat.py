"""``deeplight landsat FOLDER --layers temperature -o LST.tif``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from deeplight.cli.errors import WrongUseError

__all__ = ["landsat"]


def landsat(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The files of one scene.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="GeoTIFF to write.")],
    layers: Annotated[
        str,
        typer.Option(
            "--layers", help="temperature, or of blue,green,red,nir,swir1,swir2,ndvi,ndwi,ndmvi."
        ),
    ] = "temperature",
    coarsen: Annotated[
        int, typer.Option("--coarsen", min=1, help="Average over this many pixels a side.")
    ] = 1,
    sun_elevation: Annotated[
        float | None,
        typer.Option("--sun-elevation", help="Degrees; the MTL file's where there is one."),
    ] = None,
    keep_clouds: Annotated[
        bool, typer.Option("--keep-clouds", help="Do not read the quality band.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing output.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable, one object.")] = False,
) -> None:
    """Decode a Landsat scene: kelvin, reflectance, indices, clouds as nodata.

    [dim]$ deeplight landsat SCENE -o lst.tif[/dim]

    [dim]$ deeplight landsat SCENE --layers green,red,nir,ndvi --coarsen 4 -o guides.tif[/dim]

    Collection 2 level 2, and level 1 of Landsat 5, 8 and 9. Temperature stands in a file of its
    own: it is in kelvin, the others have no unit.
    """
    names = [name.strip() for name in layers.split(",") if name.strip()]
    if not names:
        raise WrongUseError("--layers names no layer")
    import numpy as np

    from deeplight.landsat import LandsatScene, write_layers

    scene = LandsatScene.open(folder, sun_elevation=sun_elevation, clear=not keep_clouds)
    values = write_layers(scene, names, output, coarsen=coarsen, overwrite=overwrite)
    table = []
    for name, layer in zip(names, values, strict=True):
        seen = layer[np.isfinite(layer)]
        table.append(
            {
                "name": name,
                "units": "K" if name == "temperature" else "1",
                "valid": float(seen.size / layer.size),
                "minimum": float(seen.min()) if seen.size else None,
                "mean": float(seen.mean()) if seen.size else None,
                "maximum": float(seen.max()) if seen.size else None,
            }
        )
    if as_json:
        described = {"path": str(output), "satellite": scene.satellite, "level": scene.level}
        typer.echo(json.dumps({**described, "layers": table}, indent=2))
        return
    typer.echo(f"{output}: Landsat {scene.satellite} level {scene.level}")
    for row in table:
        spread = "no value"
        if row["minimum"] is not None:
            spread = f"{row['minimum']:.4g} to {row['maximum']:.4g}, mean {row['mean']:.4g}"
        unit = " K" if row["units"] == "K" else ""
        typer.echo(f"  {row['name']}: {spread}{unit}, {row['valid']:.1%} of the pixels")
