"""Scores temperature downscaling on a held-out part: baselines, and weights where they are given.

    python scripts/make_lst_scene.py ../shared/data/landsat5_thermal build/landsat5_lst
    python scripts/score_lst.py configs/landsat5_lst_x4.toml
    python scripts/score_lst.py configs/landsat5_lst_x4.toml --weights runs/lst/0/NAME.safetensors

Scores are in kelvin over all valid pixels of the part. Gains are in RMSE over bicubic, with 95 %
intervals from a bootstrap over blocks of 3 x 3 low-resolution cells. Several --weights, of one
architecture and several seeds, are rows of their own, and the mean of their images another.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from deeplight.cli.settings import setting
from deeplight.downscaling import (
    averaged,
    baseline_candidates,
    lines,
    network_candidate,
    prepared_alike,
    score,
    worst_cells,
)  # fmt: skip
from deeplight.models import load_network
from deeplight.training import load_config, load_data


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, metavar="CONFIG.toml")
    parser.add_argument("--weights", type=Path, nargs="*", default=[])
    parser.add_argument("--part", choices=("train", "validation", "test"), default="test")
    parser.add_argument("--data", type=Path, help="folder of the rasters, instead of data.root")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("--index", default="ndvi", help="guide band that sharpening uses")
    parser.add_argument("--per-image", action="store_true", help="score each region, then average")
    parser.add_argument("--cells", type=int, default=0, help="also print so many worst cells")
    parser.add_argument("--json", action="store_true", help="machine-readable, one object")
    arguments = parser.parse_args()
    overrides = dict(setting(text) for text in arguments.settings)
    if arguments.data:
        overrides["data.root"] = str(arguments.data)
    config = load_config(arguments.config, overrides)
    data = load_data(config)
    candidates = baseline_candidates(data, arguments.index)
    networks = {}
    for path in arguments.weights:
        network, card = load_network(path)
        if not prepared_alike(card["preprocessing"], data.preprocessing):
            raise SystemExit(f"'{path}' was trained on data that were prepared otherwise")
        networks[f"{card['name']} ({path.parent.name})"] = network_candidate(network, data)
    candidates |= networks
    if len(networks) > 1:
        candidates["mean of the networks"] = averaged([*networks.values()])
    rows = score(data, arguments.part, candidates)
    if arguments.json:
        print(json.dumps({name: asdict(row) for name, row in rows.items()}, indent=1))
        return
    cells = sum(height * width for _, _, height, width in data.regions[arguments.part])
    print(f"{config.weights.name}, {arguments.part}: {cells} low-resolution cells")
    print("\n".join(lines(rows, averaged_images=arguments.per_image)))
    for name, candidate in candidates.items() if arguments.cells else ():
        against, count = candidates["bicubic"], arguments.cells
        found = worst_cells(data, arguments.part, candidate, against, count)
        print(
            f"{name}: {found.closer:.0%} of the pixels are closer than bicubic's; {count} cells "
            f"hold {found.share:.0%} of the squared error: (row, column) {found.cells}; guides "
            f"there up to {found.guide_extreme:.0f} standard deviations, in training "
            f"{found.known_extreme:.0f}"
        )


if __name__ == "__main__":
    main()
