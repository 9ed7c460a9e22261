"""Rasters and networks of the benchmark of tiled prediction: random values, sparse light."""

from __future__ import annotations

import math
import random
import tempfile
from pathlib import Path

import numpy as np
import rasterio
import torch
from rasterio.transform import from_origin
from rasterio.windows import Window

import deeplight
from deeplight import weights
from deeplight.predictor import Predictor

SCALE = 8


def write(path: Path, shape: tuple[int, int, int], cell: float, sparse: bool = False) -> None:
    """A raster of random 8-bit values, or one of float32 that stores nothing: all of it zero.

    Float32 so that also 4k squared fills GDAL's cache, whose limit is part of the peak.
    """
    bands, rows, columns = shape
    profile = {"driver": "GTiff", "count": bands, "height": rows, "width": columns}
    profile |= {"dtype": "float32" if sparse else "uint8", "crs": "EPSG:32622", "tiled": True}
    profile |= {"transform": from_origin(500000, 9000000, cell, cell), "BIGTIFF": "IF_SAFER"}
    generator = np.random.default_rng(1)
    with rasterio.open(path, "w", **profile, SPARSE_OK=sparse) as target:
        for row in range(0, 0 if sparse else rows, 512):
            height = min(512, rows - row)
            values = generator.integers(0, 256, (bands, height, columns)).astype(np.uint8)
            target.write(values, window=Window(0, row, columns, height))


def predictor_of(guides: dict[str, int], **options: object) -> Predictor:
    """A network of random weights and a card for 8-bit values."""
    torch.manual_seed(0)
    net = deeplight.create_model("deeplight_sr", scale=SCALE, guides=guides, **options).eval()
    described = [
        {"name": name, "bands": bands, "mean": [128.0] * bands, "std": [64.0] * bands}
        for name, bands in guides.items()
    ]
    image = {"mean": 128.0, "std": 64.0, "minimum": 0.0, "maximum": 255.0}
    card = {
        "name": "benchmark",
        "architecture": "deeplight_sr",
        "options": net.options,
        "scale": SCALE,
        "preprocessing": {"low_resolution": image, "guides": described},
    }
    with tempfile.TemporaryDirectory() as folder:
        return deeplight.load(weights.save(net, card, Path(folder) / "w.safetensors"))


def scene(folder: Path, rows: int, columns: int, guides: dict[str, int]) -> dict[str, Path]:
    """A low-resolution raster and guides of random values."""
    write(folder / "low.tif", (1, rows, columns), 1000.0)
    for name, bands in guides.items():
        write(folder / f"{name}.tif", (bands, rows * SCALE, columns * SCALE), 1000.0 / SCALE)
    return {name: folder / f"{name}.tif" for name in guides}


def write_sparse(path: Path, size: int, tile: int, lit: float) -> int:
    """A raster of nodata, stored sparsely, with light in a share of its tiles: how many.

    Those about the middle first, so that each size computes whole ones.
    """
    tiles = (size + tile - 1) // tile
    wanted = max(16, round(lit * tiles * tiles))
    middle = (tiles - 1) / 2
    places = [(row, column) for row in range(tiles) for column in range(tiles)]
    whole = [place for place in places if max(place) < tiles - 1]
    near = sorted(whole, key=lambda place: math.dist(place, (middle, middle)))[:4]
    others = [place for place in places if place not in near]
    chosen = near + random.Random(1).sample(others, min(wanted - len(near), len(others)))
    profile = {"driver": "GTiff", "count": 1, "height": size, "width": size, "dtype": "float32"}
    profile |= {"crs": "EPSG:32622", "tiled": True, "compress": "deflate", "nodata": -1.0}
    profile |= {"transform": from_origin(500000, 9000000, 1000, 1000), "SPARSE_OK": True}
    values = np.random.default_rng(1)
    with rasterio.open(path, "w", **profile) as target:
        for row, column in chosen:
            rows, columns = (min(tile, size - tile * place) for place in (row, column))
            light = values.integers(0, 256, (1, rows, columns)).astype(np.float32)
            target.write(light, window=Window(tile * column, tile * row, columns, rows))
    return len(chosen)
