#!/usr/bin/env python3
"""Fits the ridge regression on guides and prints the baselines' table.

    scripts/fit_ridge.py FOLDER --training 0:107,139:175 --validation 122:137 --test 110:120

FOLDER holds ntl_lr_x8.tif, ntl_hr.tif, dmo.tif and dem.tif; columns are low-resolution columns,
half open. The penalty is chosen on the validation columns; the test columns are only scored.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from deeplight import _native, baselines, evaluation
from deeplight.cli.evaluate_output import print_comparison


def parts(text: str) -> list[tuple[int, int]]:
    """`0:107,141:175` as pairs."""
    return [tuple(int(end) for end in part.split(":")) for part in text.split(",")]  # type: ignore[misc]


def mask(columns: list[tuple[int, int]], scale: int, shape: torch.Size) -> torch.Tensor:
    """True in the given low-resolution columns of the fine grid."""
    chosen = torch.zeros(shape, dtype=torch.bool)
    for first, last in columns:
        chosen[:, first * scale : last * scale] = True
    return chosen


def main() -> None:
    """Fits, saves and scores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--low-resolution", default="ntl_lr_x8.tif")
    parser.add_argument("--training", type=parts, required=True)
    parser.add_argument("--validation", type=parts, required=True)
    parser.add_argument("--test", type=parts, required=True)
    parser.add_argument("--data-range", type=float, default=255.0)
    parser.add_argument("--out", type=Path, help="where to save the regression, as JSON")
    arguments = parser.parse_args()

    low = evaluation.read_image(arguments.folder / arguments.low_resolution)
    truth = evaluation.read_image(arguments.folder / "ntl_hr.tif")
    scale = truth.values.shape[0] // low.values.shape[0]
    evaluation.check_same_extent(low.info, truth.info, "truth", scale)
    guides = torch.cat(
        [
            torch.from_numpy(_native.Raster(str(arguments.folder / f"{name}.tif")).read()[0])
            for name in ("dmo", "dem")
        ]
    )
    shape = truth.values.shape
    ridge = baselines.fit_guide_ridge(
        low.values,
        guides,
        truth.values,
        scale=scale,
        training=mask(arguments.training, scale, shape),
        validation=mask(arguments.validation, scale, shape),
    )
    if arguments.out:
        ridge.save(arguments.out)
    image = ridge.predict(low.values, guides)
    candidates = {
        "ridge": evaluation.Image(image, truth.valid),
        "ridge + block mean": evaluation.Image(
            baselines.consistent(image, low.values, scale), truth.valid
        ),
    }
    print(f"penalty {ridge.penalty:g}")
    for name in ("validation", "test"):
        for first, last in getattr(arguments, name):
            window = (0, first * scale, shape[0], (last - first) * scale)
            comparison = evaluation.compare(
                truth,
                candidates,
                data_range=arguments.data_range,
                low_resolution=low,
                window=window,
            )
            print(f"\n{name}: low-resolution columns {first}:{last}", flush=True)
            print_comparison(comparison)


if __name__ == "__main__":
    main()
