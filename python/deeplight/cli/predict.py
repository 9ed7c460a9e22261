"""``deeplight predict``: rasters in, super-resolved rasters out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from deeplight.cli.errors import WrongUseError, wrong_use

_CONSISTENCIES = ("none", "additive", "multiplicative")
_COMPRESSIONS = ("deflate", "lzw", "zstd", "none")


def predict(
    low_resolution: Annotated[
        list[Path],
        typer.Argument(metavar="LR.tif...", help="Low-resolution rasters of one band."),
    ],
    weights: Annotated[
        str, typer.Option("--weights", "-w", help="A shipped name or a .safetensors file.")
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The result; a folder where there are several inputs."),
    ],
    guide: Annotated[
        list[str] | None,
        typer.Option(
            "--guide", "-g", metavar="NAME=FILE", help="A guide raster; once for each guide."
        ),
    ] = None,
    average: Annotated[
        list[str] | None,
        typer.Option(
            "--average",
            metavar="WEIGHTS",
            help="Further weights of one family; the mean of all predicts. May be repeated.",
        ),
    ] = None,
    align: Annotated[
        bool, typer.Option("--align", help="Warp guides that lie on another grid.")
    ] = False,
    consistency: Annotated[
        str,
        typer.Option(
            help="Make block means equal the input: none, additive or multiplicative.",
        ),
    ] = "none",
    self_ensemble: Annotated[
        bool,
        typer.Option("--self-ensemble", help="Average over eight flips and rotations; slower."),
    ] = False,
    tile: Annotated[
        int, typer.Option(help="Side of a tile in low-resolution pixels; smaller: less memory.")
    ] = 256,
    nodata: Annotated[
        float | None,
        typer.Option(help="Nodata of the output; else the input's where negative, or NaN."),
    ] = None,
    compression: Annotated[str, typer.Option(help="deflate, lzw, zstd or none.")] = "deflate",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing output.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable, one object.")] = False,
) -> None:
    """Super-resolve rasters with trained weights.

    [dim]$ deeplight predict ntl.tif --guide dmo=dmo.tif --guide dem=dem.tif -w black-marble-x8
    -o sr.tif[/dim]

    [dim]$ deeplight predict jan.tif feb.tif mar.tif -g dmo=dmo.tif -g dem=dem.tif
    -w model.safetensors -o results/[/dim]

    [dim]$ deeplight predict ntl.tif -g dem=dem.tif -w seed0.safetensors
    --average seed1.safetensors -o sr.tif[/dim]

    Any size and any coordinate system; the output keeps both. Nothing is written under the
    output's name until it is whole.
    """
    guides = parse_guides(guide or [])
    _choice("--consistency", consistency, _CONSISTENCIES)
    _choice("--compression", compression, _COMPRESSIONS)
    if tile < 1:
        raise WrongUseError(f"--tile must be at least 1, got {tile}")
    if len(low_resolution) > 1 and not output.is_dir():
        raise WrongUseError(
            f"{len(low_resolution)} inputs need a folder as output; '{output}' is none"
        )
    from deeplight.weights import resolve_weights

    with wrong_use():
        path = resolve_weights(weights)
        others = [resolve_weights(name) for name in average or []]
    from deeplight.predictor import load

    predictor = load(path, average=others)
    unknown = [name for name in guides if name not in predictor.guides]
    missing = [name for name in predictor.guides if name not in guides]
    if unknown or missing:
        raise WrongUseError(_guide_message(unknown, missing, predictor.guides))
    result = predictor.predict(
        low_resolution,
        guides,
        output,
        align=align,
        tile=tile,
        consistency=consistency,
        self_ensemble=self_ensemble,
        nodata=nodata,
        overwrite=overwrite,
        compression=compression,
        progress=not quiet,
    )
    typer.echo(json.dumps(result.as_dict(), indent=2) if as_json else str(result))


def parse_guides(values: list[str]) -> dict[str, Path]:
    """``["dem=dem.tif"]`` -> ``{"dem": Path("dem.tif")}``.

    Raises:
        WrongUseError: no ``=``, an empty side, a name given twice.
    """
    guides: dict[str, Path] = {}
    for value in values:
        name, sign, file = value.partition("=")
        if not (name and sign and file):
            raise WrongUseError(f"--guide must be NAME=FILE, got '{value}'")
        if name in guides:
            raise WrongUseError(f"guide '{name}' is given twice")
        guides[name] = Path(file)
    return guides


def _choice(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise WrongUseError(f"{option} must be one of {', '.join(known)}; got '{value}'")


def _guide_message(unknown: list[str], missing: list[str], known: dict[str, int]) -> str:
    parts = [f"guide '{name}' is not known" for name in unknown]
    parts += [
        f"guide '{name}' ({known[name]} band{'' if known[name] == 1 else 's'}) is missing: "
        f"--guide {name}=FILE"
        for name in missing
    ]
    return f"{'; '.join(parts)}. These weights take: {', '.join(known) or 'no guides'}"
