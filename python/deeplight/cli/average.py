"""``deeplight average A B -o OUT.safetensors``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deeplight.cli.errors import WrongUseError, wrong_use

__all__ = ["average"]


def average(
    weights: Annotated[
        list[str],
        typer.Argument(metavar="WEIGHTS...", help="Shipped names or .safetensors files."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The .safetensors file; its card lies beside it.")
    ],
    dtype: Annotated[str, typer.Option("--dtype", help="float32 or float16.")] = "float32",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing output.")
    ] = False,
) -> None:
    """Write the mean of several weights of one family, as one network with its card.

    [dim]$ deeplight average seed0.safetensors seed1.safetensors -o mean.safetensors[/dim]

    Architecture, options and preprocessing must be the same.
    """
    if len(weights) < 2:
        raise WrongUseError(f"an average needs at least two weights, got {len(weights)}")
    if output.suffix != ".safetensors":
        raise WrongUseError(f"--output must end in .safetensors, got '{output}'")
    if dtype not in ("float32", "float16"):
        raise WrongUseError(f"--dtype must be float32 or float16; got '{dtype}'")
    if not overwrite:
        for path in (output, output.with_suffix(".json")):
            if path.exists():
                raise WrongUseError(f"'{path}' exists; --overwrite replaces it")
    from deeplight.weights import resolve_weights

    with wrong_use():
        paths = [resolve_weights(name) for name in weights]
    from deeplight.averaging import average_weights

    print(average_weights(paths, output, dtype))
