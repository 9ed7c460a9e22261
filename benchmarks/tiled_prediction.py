"""Tiled prediction: against the bare network, against a loop in Python, over size, over languages.

Rows of the table (./dev bench tiled_prediction): throughput against the bare network on the very
tensors that the tiles are, and against the loop that people write (rasterio windows, the same
network). Run as a script it prints what no row can hold:

    python benchmarks/tiled_prediction.py --growth         slope of time over 1 to 64 Mpx
    python benchmarks/tiled_prediction.py --memory 4 50    peak memory over 4k and 50k squared
    python benchmarks/tiled_prediction.py --python         Python over C++ for one 64 x 64 tile
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
import torch
from protocol import Row, compare
from rasterio.transform import from_origin
from rasterio.windows import Window

import deeplight
from deeplight import weights
from deeplight.predictor import Predictor

GUIDES = {"dmo": 7, "dem": 1}
SCALE = 8


def write(path: Path, shape: tuple[int, int, int], cell: float, sparse: bool = False) -> None:
    """A raster of random values, or one that stores nothing: all of it one value."""
    bands, rows, columns = shape
    profile = {"driver": "GTiff", "count": bands, "height": rows, "width": columns}
    profile |= {"dtype": "float32", "crs": "EPSG:32622", "tiled": True, "compress": "deflate"}
    profile |= {"transform": from_origin(500000, 9000000, cell, cell), "BIGTIFF": "IF_SAFER"}
    random = np.random.default_rng(1)
    with rasterio.open(path, "w", **profile, SPARSE_OK=sparse) as target:
        for row in range(0, 0 if sparse else rows, 512):
            height = min(512, rows - row)
            values = random.integers(0, 256, (bands, height, columns)).astype(np.float32)
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


def spans(size: int, tile: int, halo: int) -> list[tuple[int, int, int, int]]:
    """(first, length) of owners and of what they read, along one side."""
    found = []
    for start in range(0, size, tile):
        length = min(tile, size - start)
        first = max(start - halo, 0) // 4 * 4
        last = min((start + length + halo + 3) // 4 * 4, size)
        found.append((start, length, first, last - first))
    return found


def bare(predictor: Predictor, rows: int, columns: int, tile: int) -> float:
    """Seconds that the network alone takes for the tensors of all tiles, halo included."""
    net = predictor.network
    low = torch.randn(1, 1, rows, columns)
    statistics = net.image_statistics(low)
    seconds = 0.0
    for _, _, row, height in spans(rows, tile, net.margin):
        for _, _, column, width in spans(columns, tile, net.margin):
            part = low[:, :, row : row + height, column : column + width].contiguous()
            guides = {
                name: torch.randn(1, bands, height * SCALE, width * SCALE)
                for name, bands in predictor.guides.items()
            }
            start = time.perf_counter()
            with torch.no_grad():
                net(part, guides, statistics)
            seconds += time.perf_counter() - start
    return seconds


def python_loop(
    predictor: Predictor, low: Path, guides: dict[str, Path], out: Path, tile: int
) -> None:
    """What people write: windows through rasterio, the network, windows back; one after another."""
    net, halo = predictor.network, predictor.network.margin
    with rasterio.open(low) as source:
        values = torch.from_numpy(source.read())[None]
        profile, (rows, columns) = source.profile, source.shape
    image = (values - 128) / 64
    statistics = net.image_statistics(image)
    profile |= {"height": rows * SCALE, "width": columns * SCALE, "tiled": True}
    profile |= {"compress": "deflate", "predictor": 3, "blockxsize": 256, "blockysize": 256}
    profile["transform"] = from_origin(500000, 9000000, 1000 / SCALE, 1000 / SCALE)
    opened = {name: rasterio.open(path) for name, path in guides.items()}
    with rasterio.open(out, "w", **profile) as target, torch.no_grad():
        for top, height, row, read_rows in spans(rows, tile, halo):
            for left, width, column, read_columns in spans(columns, tile, halo):
                window = Window(*(SCALE * x for x in (column, row, read_columns, read_rows)))
                parts = {
                    name: (torch.from_numpy(source.read(window=window))[None] - 128) / 64
                    for name, source in opened.items()
                }
                part = image[:, :, row : row + read_rows, column : column + read_columns]
                result = net(part.contiguous(), parts, statistics).image * 64 + 128
                y, x = (top - row) * SCALE, (left - column) * SCALE
                owned = result[0, :, y : y + height * SCALE, x : x + width * SCALE]
                place = Window(left * SCALE, top * SCALE, width * SCALE, height * SCALE)
                target.write(owned.numpy(), window=place)
    for source in opened.values():
        source.close()


def rows(rounds: int) -> list[Row]:
    """A raster of 128 x 96 low-resolution pixels in tiles of 64; the margin is that of the network.

    The bar is on the first row: at least 0.95 of the bare network's throughput, I/O included.
    """
    torch.set_num_threads(2)
    predictor = predictor_of(GUIDES, width=16)
    height, width, tile = 128, 96, 64
    halo = predictor.network.margin
    computed = sum(a[3] * b[3] for a in spans(height, tile, halo) for b in spans(width, tile, halo))
    shape = f"{height}x{width} x8, tiles {tile}, halo x{computed / (height * width):.1f}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        guides = scene(folder, height, width, GUIDES)

        def own() -> None:
            predictor.predict(
                folder / "low.tif", guides, folder / "sr.tif",
                tile=tile, overwrite=True, progress=False,
            )  # fmt: skip

        def loop() -> None:
            python_loop(predictor, folder / "low.tif", guides, folder / "loop.tif", tile)

        own()
        loop()
        with rasterio.open(folder / "sr.tif") as a, rasterio.open(folder / "loop.tif") as b:
            np.testing.assert_allclose(a.read(), b.read(), rtol=0, atol=1e-2)
        count = min(rounds, 7)
        networks = compare(own, lambda: bare(predictor, height, width, tile), count)
        loops = compare(own, loop, count)
    return [
        Row("tiled prediction", shape, 2, "the bare network", *networks),
        Row("tiled prediction", shape, 2, "rasterio loop", *loops),
    ]


def growth() -> None:
    """Slope of log time over log pixels, 1 to 64 output megapixels; tiny network, one guide."""
    torch.set_num_threads(2)
    predictor = predictor_of({"dem": 1}, width=8)
    points = []
    with tempfile.TemporaryDirectory() as name:
        for side in (128, 256, 512, 1024):
            folder = Path(name)
            guides = scene(folder, side, side, {"dem": 1})
            best = math.inf
            for _ in range(3 if side < 1024 else 1):
                start = time.perf_counter()
                predictor.predict(
                    folder / "low.tif", guides, folder / "sr.tif",
                    tile=128, overwrite=True, progress=False,
                )  # fmt: skip
                best = min(best, time.perf_counter() - start)
            # Time per pixel that is computed: the halo's share shrinks where the raster ends.
            halo = predictor.network.margin
            read = sum(span[3] for span in spans(side, 128, halo)) ** 2
            points.append((side * side * SCALE * SCALE, read * SCALE * SCALE, best))
            print(f"{points[-1][0] / 1e6:6.1f} Mpx  {best:8.2f} s")
    pixels, computed, seconds = (np.log([point[i] for point in points]) for i in range(3))
    print(f"slope over output pixels   {np.polyfit(pixels, seconds, 1)[0]:.3f}")
    print(f"slope over computed pixels {np.polyfit(computed, seconds, 1)[0]:.3f}")


def memory(sides: list[int]) -> None:
    """Peak memory of a process that predicts a sparse raster of SIDE thousand pixels squared."""
    for side in sides:
        done = subprocess.run(
            [sys.executable, __file__, "--one", str(side)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        facts = json.loads(done.stdout)
        print(f"{side}k squared: peak {facts['peak']:.0f} MiB, {facts['seconds']:.0f} s")


def one(side: int) -> None:
    """What `memory` starts: one sparse raster, its peak as JSON."""
    size = side * 1000 // SCALE // 4 * 4
    predictor = predictor_of({}, width=8)
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name)
        write(folder / "low.tif", (1, size, size), 1000.0, sparse=True)
        start = time.perf_counter()
        predictor.predict(folder / "low.tif", {}, folder / "sr.tif", tile=256, progress=False)
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"peak": peak, "seconds": seconds}))


def python_overhead() -> None:
    """Python's share of one 64 x 64 tile: what is outside the native call."""
    from deeplight import _native

    predictor = predictor_of(GUIDES, width=16)
    native, inside = _native.predict, []

    def timed(*arguments: object, **options: object) -> object:
        start = time.perf_counter()
        try:
            return native(*arguments, **options)
        finally:
            inside.append(time.perf_counter() - start)

    _native.predict = timed
    outside = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        guides = scene(folder, 64, 64, GUIDES)
        for _ in range(7):
            start = time.perf_counter()
            predictor.predict(
                folder / "low.tif", guides, folder / "sr.tif", overwrite=True, progress=False
            )
            outside.append(time.perf_counter() - start)
    _native.predict = native
    shares = [whole / part - 1 for whole, part in zip(outside, inside, strict=True)]
    print(f"Python over C++: {100 * float(np.median(shares)):.2f} % of {np.median(inside):.2f} s")


def main() -> None:
    """Entry of the script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--memory", type=int, nargs="+", metavar="THOUSANDS")
    parser.add_argument("--python", action="store_true")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        one(arguments.one)
    if arguments.growth:
        growth()
    if arguments.memory:
        memory(arguments.memory)
    if arguments.python:
        python_overhead()


if __name__ == "__main__":
    main()
