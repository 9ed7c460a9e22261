"""Scores trained weights on a part of their configuration's split, beside what they must beat.

    python scripts/score_weights.py configs/black_marble_x8.toml WEIGHTS.safetensors [--part test]

Rows: bicubic, bicubic with block-mean consistency, the ridge on the guides (fitted on the training
region, its penalty chosen on the validation region), the network. The network sees the part alone,
nothing of its surroundings; its output is not clamped. --write puts the table into the weights'
card. The test part is for this command alone: it was never trained on, nor chosen by.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from pathlib import Path
from typing import Any

import torch

import deeplight
from deeplight import baselines
from deeplight.evaluation import score
from deeplight.models import load_network
from deeplight.training import TrainingData, load_config, load_data
from deeplight.training.data import Region
from deeplight.training.schema import TrainingConfig
from deeplight.training.validation import predict_region

KEYS = ("psnr", "ssim", "light", "lit_psnr", "lit_ssim", "lit_rmse", "lit_cc")


def raw_guides(config: TrainingConfig) -> torch.Tensor:
    """All bands of all guides, physical units, ``[bands, H, W]``."""
    bands = []
    for guide in config.data.guides:
        values, _ = deeplight._native.Raster(str(Path(config.data.root) / guide.path)).read()
        bands.append(torch.from_numpy(values))
    return torch.cat(bands)


def part_mask(data: TrainingData, part: str) -> torch.Tensor:
    """True on the pixels of a part, ``[H, W]``."""
    mask = torch.zeros(data.target.shape[1:], dtype=torch.bool)
    for region in data.regions[part]:
        row, column, height, width = (v * data.scale for v in region)
        mask[row : row + height, column : column + width] = True
    return mask & data.valid[0]


def candidates(
    config: TrainingConfig, data: TrainingData, network: torch.nn.Module, region: Region
) -> dict[str, torch.Tensor]:
    """Images ``[r*h, r*w]`` of a region by name."""
    guides = raw_guides(config)[:, : data.target.shape[1], : data.target.shape[2]]
    _, _, rows, columns = region
    whole = (0, 0, data.target.shape[1] // data.scale, data.target.shape[2] // data.scale)
    ridge = baselines.fit_guide_ridge(
        data.low_resolution_of(whole)[0, 0],
        guides,
        data.target[0],
        scale=data.scale,
        training=part_mask(data, "train"),
        validation=part_mask(data, "validation"),
    )
    low = data.low_resolution_of(region)[0, 0]
    smooth = baselines.bicubic(low, data.scale)
    image = predict_region(network, data, region, contextlib.nullcontext)[0, 0]
    assert image.shape == (rows * data.scale, columns * data.scale)
    return {
        "bicubic": smooth,
        "bicubic + block mean": baselines.consistent(smooth, low, data.scale),
        "ridge on guides": ridge.predict(low, data.window(guides, region)[0]),
        "network": image,
    }


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--part", choices=("validation", "test"), default="test")
    parser.add_argument("--data", type=Path, help="folder of the rasters, instead of data.root")
    parser.add_argument("--write", action="store_true", help="put the scores into the card")
    arguments = parser.parse_args()
    overrides = {"data.root": str(arguments.data)} if arguments.data else {}
    config = load_config(arguments.config, overrides)
    data = load_data(config)
    network, card = load_network(arguments.weights)
    rows: dict[str, Any] = {}
    (region,) = data.regions[arguments.part]
    truth = data.window(data.target, region)[0, 0]
    valid = data.window(data.valid, region)[0, 0]
    for name, image in candidates(config, data, network, region).items():
        rows[name] = score(
            image, truth, data_range=data.data_range, valid=valid,
            lit_threshold=config.patches.lit_above,
        )  # fmt: skip
    print(f"{arguments.part}, peak {data.data_range:g}, lit: truth > {config.patches.lit_above:g}")
    print(f"{'':22s}" + "".join(f"{key:>10s}" for key in KEYS))
    for name, scores in rows.items():
        print(f"{name:22s}" + "".join(f"{scores[key]:10.4f}" for key in KEYS))
    if arguments.write:
        card["scores"][arguments.part] = {
            "region": f"split.{arguments.part} of the training configuration",
            "lit": f"truth > {config.patches.lit_above:g}",
            "peak": data.data_range,
            "rows": {
                name: {key: round(scores[key], 4) for key in KEYS} for name, scores in rows.items()
            },
        }
        deeplight.weights.save_card(arguments.weights.with_suffix(".json"), card)
        print(json.dumps(card["scores"][arguments.part]["rows"]["network"]))


if __name__ == "__main__":
    main()
