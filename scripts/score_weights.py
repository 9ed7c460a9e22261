"""Scores weights on held-out parts of their configuration's split, beside what they must beat.

    python scripts/score_weights.py configs/black_marble_x8.toml                  # shipped weights
    python scripts/score_weights.py configs/*_x8.toml --write                     # the whole family
    python scripts/score_weights.py CONFIG.toml --weights runs/mine/NAME.safetensors --part test

Rows: bilinear, bicubic, bicubic with block-mean consistency (or, with another sensor's low
resolution, times the gain between the sensors), the ridge on the guides (fitted on the training
part, its penalty chosen on the validation part), the network. Intervals are 95 %, from a bootstrap
over blocks of 8 x 8 low-resolution cells; the gain is over bicubic (times the gain, if there is
one), in pairs. The network sees a region alone, nothing of its surroundings; its output is not
clamped. --write puts the tables into the weights' card.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import astuple
from pathlib import Path
from typing import Any

from deeplight.intervals import bootstrap
from deeplight.models import load_network
from deeplight.training import TrainingData, load_config, load_data
from deeplight.training.schema import TrainingConfig
from deeplight.training.scoring import BLOCK, baseline_sums, network_sums
from deeplight.weights import list_weights, resolve_weights, save_card

KEYS = ("lit_psnr", "gain", "lit_ssim", "light", "psnr")


def rows_of(
    config: TrainingConfig, data: TrainingData, network: Any, part: str
) -> dict[str, dict[str, list[float]]]:
    """``{candidate: {score: [value, low, high]}}``."""
    lit_above = config.patches.lit_above
    sums = baseline_sums(data, part, lit_above)
    against = "bicubic x gain" if "bicubic x gain" in sums else "bicubic"
    sums["network"] = network_sums(network, data, part, lit_above)
    return {
        name: {key: [round(v, 4) for v in astuple(scores[key])] for key in KEYS}
        for name, scores in bootstrap(sums, against=against).items()
    }


def show(title: str, rows: dict[str, dict[str, list[float]]]) -> None:
    """Prints one part's table."""
    print(title)
    print(f"{'':22s}" + "".join(f"{key:>26s}" for key in KEYS))
    for name, scores in rows.items():
        cells = (f"{v:.3f} [{low:.3f}, {high:.3f}]" for v, low, high in scores.values())
        print(f"{name:22s}" + "".join(f"{cell:>26s}" for cell in cells))


def main() -> None:
    """Scores every configuration's weights."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("configs", type=Path, nargs="+", metavar="CONFIG.toml")
    parser.add_argument("--weights", type=Path, help="instead of the shipped ones; one CONFIG")
    parser.add_argument("--part", choices=("validation", "test"), action="append")
    parser.add_argument("--data", type=Path, help="folder of the rasters, instead of data.root")
    parser.add_argument("--write", action="store_true", help="put the tables into the card")
    arguments = parser.parse_args()
    if arguments.weights and len(arguments.configs) > 1:
        parser.error("--weights goes with one CONFIG")
    for path in arguments.configs:
        config = load_config(path, {"data.root": str(arguments.data)} if arguments.data else {})
        if len(arguments.configs) > 1 and config.weights.name not in list_weights():
            print(f"{path}: no weights '{config.weights.name}' are shipped", file=sys.stderr)
            continue
        data = load_data(config)
        weights = arguments.weights or resolve_weights(config.weights.name)
        network, card = load_network(weights)
        for part in arguments.part or ("validation", "test"):
            rows = rows_of(config, data, network, part)
            lit = f"truth > {config.patches.lit_above:g}"
            show(f"\n{config.weights.name}, {part}, peak {data.data_range:g}, lit: {lit}", rows)
            card["scores"][part] = {
                "region": f"split.{part} of the training configuration",
                "lit": lit,
                "peak": data.data_range,
                "interval": f"95 %, bootstrap over blocks of {BLOCK} x {BLOCK} cells",
                "rows": rows,
            }
        if arguments.write:
            save_card(Path(weights).with_suffix(".json"), card)


if __name__ == "__main__":
    main()
