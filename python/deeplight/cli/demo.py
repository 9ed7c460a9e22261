"""``deeplight demo``: the shipped weights on the shipped sample rasters, beside bicubic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deeplight.cli.errors import wrong_use

if TYPE_CHECKING:
    from deeplight.evaluation import Comparison

_SAMPLES = Path(__file__).parents[1] / "sample_data" / "black_marble"
_DATA_RANGE = 255.0  # of 8-bit display units


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the results.")] = Path(
        "demo-output"
    ),
    weights: Annotated[
        str, typer.Option("--weights", "-w", help="A shipped name or a .safetensors file.")
    ] = "black-marble-x8",
) -> None:
    """Super-resolve the sample rasters and compare with bicubic.

    [dim]$ deeplight demo[/dim]

    Writes sr.tif and comparison.png into demo-output and prints the scores.
    """
    from deeplight import evaluation
    from deeplight.cli.evaluate_output import print_comparison
    from deeplight.weights import load_card

    with wrong_use():
        card = load_card(weights)
    scale = card["scale"]
    low_path, truth_path = _SAMPLES / f"ntl_lr_x{scale}.tif", _SAMPLES / "ntl_hr.tif"
    guides = {
        guide["name"]: _SAMPLES / f"{guide['name']}.tif"
        for guide in card["preprocessing"]["guides"]
    }
    with wrong_use():
        for path in (low_path, truth_path, *guides.values()):
            if not path.exists():
                raise FileNotFoundError(
                    f"the sample has no '{path.name}', which the weights '{card['name']}' need"
                )
    output.mkdir(parents=True, exist_ok=True)
    prediction = output / "sr.tif"

    low, truth = evaluation.read_image(low_path), evaluation.read_image(truth_path)
    _say(
        f"Night lights over {_place(truth.info.grid)}: {_size(low)} cells -> {_size(truth)}, "
        f"with {' and '.join(guides) or 'no'} as guides.",
        f"Weights '{card['name']}'{_provenance(weights)}.",
        "The sample's values are 8-bit display units (0..255), not radiance; its low resolution",
        f"is the {scale}x{scale} block mean of the truth: a simulation, not another sensor.",
    )
    _predict(weights, low_path, guides, prediction)
    comparison = evaluation.compare(
        truth,
        {"ours": evaluation.read_image(prediction)},
        data_range=_DATA_RANGE,
        low_resolution=low,
        scale=scale,
    )
    print_comparison(comparison)
    typer.echo(_verdict(comparison))
    typer.echo(f"{prediction}")
    picture = _draw(comparison, output / "comparison.png")
    if picture:
        typer.echo(f"{picture}")


def _predict(weights: str, low: Path, guides: dict[str, Path], output: Path) -> None:
    import deeplight

    predictor = deeplight.load(weights)
    predictor.predict(low, guides, output, overwrite=True)


def _provenance(weights: str) -> str:
    from deeplight.weights import list_weights

    # Of weights that are not ours nobody knows what they were trained on.
    shipped = weights in list_weights()
    return ", trained and chosen without this block" if shipped else ""


def _say(*lines: str) -> None:
    for line in lines:
        typer.echo(line, err=True)


def _size(image: Any) -> str:
    rows, columns = image.values.shape
    return f"{rows}x{columns}"


def _place(grid: Any) -> str:
    left, width, _, top, _, height = grid.geotransform
    right, bottom = left + width * grid.columns, top + height * grid.rows
    return f"{_degrees(left, 'EW')} to {_degrees(right, 'EW')}, " + (
        f"{_degrees(bottom, 'NS')} to {_degrees(top, 'NS')}"
    )


def _degrees(value: float, directions: str) -> str:
    return f"{abs(value):.1f} {directions[value < 0]}"


def _verdict(comparison: Comparison) -> str:
    ours, bicubic = comparison.rows["ours"], comparison.rows["bicubic"]
    gain = ours["lit_psnr"] - bicubic["lit_psnr"]
    return (
        f"Where there is light (truth > 0), ours is {gain:+.2f} dB from bicubic; its total light "
        f"is {ours['light']:.3f} of the truth's. Most pixels are dark: read the lit columns."
    )


def _draw(comparison: Comparison, path: Path) -> Path | None:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        _say("no picture: pip install 'deeplight[plot]' brings matplotlib")
        return None
    from deeplight.cli.evaluate_output import draw_comparison

    draw_comparison(comparison, path)
    return path
