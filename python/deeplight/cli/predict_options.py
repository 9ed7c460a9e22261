"""Options that ``deeplight predict`` and ``deeplight plan`` share, and their checks."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from deeplight.cli.errors import WrongUseError

CONSISTENCIES = ("none", "additive", "multiplicative")
COMPRESSIONS = ("deflate", "lzw", "zstd", "none")
PRECISIONS = ("float32", "bfloat16")

LowResolution = Annotated[
    list[Path],
    typer.Argument(metavar="LR.tif...", help="Low-resolution rasters of one band."),
]
Weights = Annotated[
    str, typer.Option("--weights", "-w", help="A shipped name or a .safetensors file.")
]
GuideFiles = Annotated[
    list[str] | None,
    typer.Option("--guide", "-g", metavar="NAME=FILE", help="A guide raster; once for each guide."),
]
Average = Annotated[
    list[str] | None,
    typer.Option(
        "--average",
        metavar="WEIGHTS",
        help="Further weights of one family; the mean of all predicts. May be repeated.",
    ),
]
Quality = Annotated[
    list[str] | None,
    typer.Option(
        "--qa",
        metavar="FILE:BITS",
        help="Pixels of which any of these quality bits is set are invalid, such as "
        "qa.tif:0,1,4-7; FILE@BAND:BITS for another band, counted from 0. One for all inputs, or "
        "once for each.",
    ),
]
Align = Annotated[bool, typer.Option("--align", help="Warp guides that lie on another grid.")]
ConsistencyName = Annotated[
    str,
    typer.Option(
        "--consistency",
        help="Make block means equal the input: none, additive or multiplicative.",
    ),
]
NonNegative = Annotated[bool, typer.Option("--non-negative", help="No output below 0.")]
SelfEnsemble = Annotated[
    bool, typer.Option("--self-ensemble", help="Average over eight flips and rotations; slower.")
]
Uncertainty = Annotated[
    bool,
    typer.Option("--uncertainty", help="A second band: the spread of the self-ensemble."),
]
TileSide = Annotated[
    int,
    typer.Option("--tile", help="Side of a tile in low-resolution pixels; smaller: less memory."),
]
Batch = Annotated[int, typer.Option("--batch", help="Tiles that are computed together.")]
PrecisionName = Annotated[
    str, typer.Option("--precision", help="float32, or bfloat16 (autocast): faster, less exact.")
]
Nodata = Annotated[
    float | None,
    typer.Option("--nodata", help="Nodata of the output; else the input's where negative, or NaN."),
]
CompressionName = Annotated[str, typer.Option("--compression", help="deflate, lzw, zstd or none.")]
Format = Annotated[
    str,
    typer.Option(
        "--format",
        help="gtiff, gtiff-overviews, cog, vrt or zarr; by the name of the output if absent.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]
Scratch = Annotated[
    Path | None,
    typer.Option("--scratch", help="Folder for finished tiles; beside the output if absent."),
]
Threads = Annotated[int, typer.Option("--threads", help="Of the computation; 0: as PyTorch says.")]
Prefetch = Annotated[
    int, typer.Option("--prefetch", help="Tiles read ahead; each takes its guides' memory.")
]
Devices = Annotated[
    list[str] | None,
    typer.Option("--device", help="cpu, cuda or cuda:N; repeat for several."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable, one object.")]


def check_choice(option: str, value: str, known: tuple[str, ...]) -> None:
    """Raises WrongUseError unless `value` is one of `known`."""
    if value not in known:
        raise WrongUseError(f"{option} must be one of {', '.join(known)}; got '{value}'")


def check_at_least(option: str, value: int, least: int) -> None:
    """Raises WrongUseError for a value below `least`."""
    if value < least:
        raise WrongUseError(f"{option} must be at least {least}, got {value}")


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


def check_guides(
    guides: Mapping[str, Path], known: Mapping[str, int], unused: Collection[str] = ()
) -> None:
    """Raises WrongUseError unless the `known` guides are given; `unused` ones may be left out."""
    unknown = [name for name in guides if name not in known]
    missing = [name for name in known if name not in guides and name not in unused]
    if not unknown and not missing:
        return
    parts = [f"guide '{name}' is not known" for name in unknown]
    parts += [
        f"guide '{name}' ({known[name]} band{'' if known[name] == 1 else 's'}) is missing: "
        f"--guide {name}=FILE"
        for name in missing
    ]
    raise WrongUseError(
        f"{'; '.join(parts)}. These weights take: {', '.join(known) or 'no guides'}"
    )


def check_quality(masks: list[str], low_resolution: list[Path]) -> None:
    """Raises WrongUseError for a text that is no FILE:BITS, and for a wrong number of them."""
    for mask in masks:
        file, _, bits = mask.rpartition(":")
        if not (file and re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", bits)):
            raise WrongUseError(f"--qa must be FILE:BITS such as qa.tif:0,1,4-7, got '{mask}'")
    if len(masks) > 1 and len(masks) != len(low_resolution):
        raise WrongUseError(
            f"{len(masks)} --qa for {len(low_resolution)} inputs; give one for all, or one for each"
        )


def check_folder(low_resolution: list[Path], output: Path) -> None:
    """Raises WrongUseError where several inputs have no folder as output."""
    if len(low_resolution) > 1 and not output.is_dir():
        raise WrongUseError(
            f"{len(low_resolution)} inputs need a folder as output; '{output}' is none"
        )


@contextlib.contextmanager
def says_how_to_resume(outputs: Sequence[Path], scratch: Path | None) -> Iterator[None]:
    """A sentence on standard error when the enclosed work ends early and left finished tiles."""
    try:
        yield
    except BaseException:
        from deeplight.predictor import scratch_folder

        kept = [path for path in outputs if scratch_folder(path, scratch).exists()]
        if kept:
            text = f"finished tiles of '{kept[0]}' are kept; the same command with --resume goes on"
            print(f"deeplight: {text}", file=sys.stderr)
        raise
