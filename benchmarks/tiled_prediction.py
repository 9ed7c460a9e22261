"""Tiled prediction: against the bare network, against a loop in Python, over size, over languages.

Rows of the table (./dev bench tiled_prediction): throughput against the bare network on the very
tensors that the tiles are, against the loop that people write (rasterio windows, the same network),
and the native call against the Python one, for one tile of 64 x 64 low-resolution pixels. As a
script it prints what no row can hold, and what takes long:

    python benchmarks/tiled_prediction.py --growth         slope of time over 1 to 64 Mpx
    python benchmarks/tiled_prediction.py --memory 4 50    peak memory over 4k and 50k squared
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from protocol import Row, _interval
from rasterio.transform import from_origin
from rasterio.windows import Window
from tiled_scene import SCALE, predictor_of, scene, write, write_sparse

from deeplight import _native
from deeplight.predictor import Predictor

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # as the command line does

GUIDES = {"dmo": 7, "dem": 1}


def spans(size: int, tile: int, halo: int) -> list[tuple[int, int, int, int]]:
    """(first, length) of owners and of what they read, along one side."""
    found = []
    for start in range(0, size, tile):
        length = min(tile, size - start)
        first = max(start - halo, 0) // 4 * 4
        last = min((start + length + halo + 3) // 4 * 4, size)
        found.append((start, length, first, last - first))
    return found


def bare(predictor: Predictor, low: Path, guides: dict[str, Path], tile: int) -> float:
    """Seconds that the network alone takes for the tensors of all tiles, halo included."""
    net = predictor.network
    image = tensor_of(low)
    fine = {name: tensor_of(path) for name, path in guides.items()}
    statistics = net.image_statistics(image)
    seconds = 0.0
    for top, tall, row, height in spans(image.shape[2], tile, net.margin):
        for left, wide, column, width in spans(image.shape[3], tile, net.margin):
            part = image[:, :, row : row + height, column : column + width].contiguous()
            parts = {
                name: value[:, :, SCALE * row : SCALE * (row + height), SCALE * column :][
                    ..., : SCALE * width
                ].contiguous()
                for name, value in fine.items()
            }
            owned = (top - row, left - column, tall, wide)
            start = time.perf_counter()
            with torch.no_grad():
                net.native.forward_part(part, parts, owned, statistics.for_tile(row, column))
            seconds += time.perf_counter() - start
    return seconds


def tensor_of(path: Path) -> torch.Tensor:
    """A raster of 8-bit values, normalised as the card says."""
    with rasterio.open(path) as source:
        return (torch.from_numpy(source.read().astype(np.float32))[None] - 128) / 64


def python_loop(
    predictor: Predictor, low: Path, guides: dict[str, Path], out: Path, tile: int
) -> None:
    """What people write: windows through rasterio, the network, windows back; one after another."""
    net, halo = predictor.network, predictor.network.margin
    with rasterio.open(low) as source:
        values = torch.from_numpy(source.read().astype(np.float32))[None]
        profile, (rows, columns) = source.profile, source.shape
    image = (values - 128) / 64
    statistics = net.image_statistics(image)
    profile |= {"height": rows * SCALE, "width": columns * SCALE, "tiled": True}
    profile |= {
        "dtype": "float32",
        "compress": "deflate",
        "predictor": 3,
        "blockxsize": 256,
        "blockysize": 256,
    }
    profile["transform"] = from_origin(500000, 9000000, 1000 / SCALE, 1000 / SCALE)
    opened = {name: rasterio.open(path) for name, path in guides.items()}
    with rasterio.open(out, "w", **profile) as target, torch.no_grad():
        for top, height, row, read_rows in spans(rows, tile, halo):
            for left, width, column, read_columns in spans(columns, tile, halo):
                window = Window(*(SCALE * x for x in (column, row, read_columns, read_rows)))
                parts = {
                    name: (
                        torch.from_numpy(source.read(window=window).astype(np.float32))[None] - 128
                    )
                    / 64
                    for name, source in opened.items()
                }
                part = image[:, :, row : row + read_rows, column : column + read_columns]
                seen = statistics.for_tile(row, column)
                result = net(part.contiguous(), parts, seen).image * 64 + 128
                y, x = (top - row) * SCALE, (left - column) * SCALE
                owned = result[0, :, y : y + height * SCALE, x : x + width * SCALE]
                place = Window(left * SCALE, top * SCALE, width * SCALE, height * SCALE)
                target.write(owned.numpy(), window=place)
    for source in opened.values():
        source.close()


def rows(rounds: int) -> list[Row]:
    """A raster of 256 x 192 low-resolution pixels in twelve tiles; the margin is the network's own.

    The whole call, from names of files to the output under its name, against the network alone on
    the tiles' tensors, halo included, which lie in memory. Twelve tiles: of six, what happens once
    (checks, the first tile's guides, the last flush to disk) is several percent of the call.
    The bars: at least 0.95 of the bare network's throughput, I/O included; Python costs below 2 %.
    """
    predictor = predictor_of(GUIDES, fuse={"blocks": 1})
    height, width, tile = 256, 192, 64
    halo = predictor.network.margin
    computed = sum(a[3] * b[3] for a in spans(height, tile, halo) for b in spans(width, tile, halo))
    shape = f"{height}x{width} x{SCALE}, tiles {tile}, halo x{computed / (height * width):.1f}"
    table = []
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

        def network() -> float:
            return bare(predictor, folder / "low.tif", guides, tile)

        for threads in (1, 2):
            torch.set_num_threads(threads)
            start = time.perf_counter()
            own()
            # Three contenders and their warm-ups in about eighty seconds for each thread count.
            count = max(3, min(rounds, int(80 / (3 * (time.perf_counter() - start))) - 2))
            loop()
            with rasterio.open(folder / "sr.tif") as a, rasterio.open(folder / "loop.tif") as b:
                np.testing.assert_allclose(a.read(), b.read(), rtol=0, atol=1e-2)
            times = rounds_of({"own": own, "network": network, "loop": loop}, count)
            for rival, label in (("network", "the bare network"), ("loop", "rasterio loop")):
                table.append(
                    row_of("tiled prediction", shape, threads, label, times["own"], times[rival])
                )
    torch.set_num_threads(2)
    outside, inside = python_and_native(max(rounds, 7))
    shape = "one tile of 64x64 low-resolution pixels x8"
    table.append(row_of("Python over C++", shape, 2, "the native call inside", outside, inside))
    return table


def rounds_of(
    contenders: dict[str, Callable[[], float | None]], count: int
) -> dict[str, list[float]]:
    """Seconds of each contender in `count` rounds of random order; one warm-up.

    A contender that gives a number has measured itself.
    """
    generator = random.Random(0)
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(count + 1):
        order = list(contenders)
        generator.shuffle(order)
        for name in order:
            start = time.perf_counter()
            said = contenders[name]()
            if number > 0:
                times[name].append(time.perf_counter() - start if said is None else said)
    return times


def row_of(
    item: str, shape: str, threads: int, rival: str, own: list[float], other: list[float]
) -> Row:
    """Median of the ratios of rounds, as every benchmark here."""
    ratios = [b / a for a, b in zip(own, other, strict=True)]
    low, high = _interval(ratios, random.Random(0))
    own_ms, rival_ms = 1e3 * statistics.median(own), 1e3 * statistics.median(other)
    return Row(item, shape, threads, rival, own_ms, rival_ms, statistics.median(ratios), low, high)


def python_and_native(count: int) -> tuple[list[float], list[float]]:
    """Seconds of `Predictor.predict` for one tile, and of the native call inside the same call."""
    predictor = predictor_of(GUIDES, fuse={"blocks": 1})
    native = _native.predict
    inside: list[float] = []
    outside: list[float] = []

    def timed(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return native(*arguments, **options)
        finally:
            inside.append(time.perf_counter() - start)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        guides = scene(folder, 64, 64, GUIDES)
        _native.predict = timed
        try:
            for _ in range(count + 1):
                start = time.perf_counter()
                predictor.predict(
                    folder / "low.tif", guides, folder / "sr.tif", overwrite=True, progress=False
                )
                outside.append(time.perf_counter() - start)
        finally:
            _native.predict = native
    return outside[1:], inside[1:]


def growth(repeats: int) -> None:
    """Slope of log time over log pixels, 1 to 64 output megapixels, after one call to warm up.

    A raster's halo ends where the raster ends, so that a small one computes less for each of its
    pixels. The tile is large, so that no raster but the last has more than one, and the slope is
    over the pixels that are computed; the other one is printed too. Not all that is computed costs
    alike: the halo is not refined, which small tiles would show as a slope below 1.
    """
    torch.set_num_threads(2)
    predictor = predictor_of({"dem": 1}, width=8, fuse={"blocks": 1})
    tile, halo = 512, predictor.network.margin
    points = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for side in (128, 256, 512, 1024):
            guides = scene(folder, side, side, {"dem": 1})
            best = math.inf
            for number in range((repeats if side < 1024 else 1) + (side == 128)):
                start = time.perf_counter()
                predictor.predict(
                    folder / "low.tif", guides, folder / "sr.tif",
                    tile=tile, overwrite=True, progress=False,
                )  # fmt: skip
                if side > 128 or number > 0:
                    best = min(best, time.perf_counter() - start)
            read = sum(span[3] for span in spans(side, tile, halo)) ** 2
            points.append((side * side * SCALE * SCALE, read * SCALE * SCALE, best))
            print(
                f"{points[-1][0] / 1e6:6.1f} Mpx, with halos {points[-1][1] / 1e6:7.1f}"
                f"  {best:8.2f} s  {1e9 * best / points[-1][1]:6.1f} ns for each computed",
                flush=True,
            )
    for first, note in ((0, ""), (1, ", without the smallest raster")):
        logs = (np.log([point[i] for point in points[first:]]) for i in range(3))
        pixels, computed, seconds = logs
        print(f"slope over computed pixels {np.polyfit(computed, seconds, 1)[0]:.3f}{note}")
        print(f"slope over output pixels   {np.polyfit(pixels, seconds, 1)[0]:.3f}{note}")


def memory(sides: list[int], lit: float) -> None:
    """Peak memory of a process that predicts a sparse raster of SIDE thousand pixels squared."""
    tile = 128
    for side in sides:
        size = side * 1000 // SCALE // 4 * 4
        with tempfile.TemporaryDirectory(dir=".") as name:
            folder = Path(name)
            count = write_sparse(folder / "low.tif", size, tile, lit)
            write(folder / "dem.tif", (1, size * SCALE, size * SCALE), 1000.0 / SCALE, sparse=True)
            done = subprocess.run(
                [sys.executable, __file__, "--one", name, "--tile", str(tile)],
                stdout=subprocess.PIPE, text=True, check=True,
            )  # fmt: skip
        facts = json.loads(done.stdout)
        print(
            f"{side}k squared: peak {facts['peak']:.1f} MiB (before: {facts['before']:.1f}), "
            f"{facts['tiles']} tiles, {count} of them lit, {facts['seconds']:.0f} s",
            flush=True,
        )


def one(folder: Path, tile: int) -> None:
    """What `memory` starts: the prediction of one raster, its peak as JSON."""
    predictor = predictor_of({"dem": 1}, width=8, fuse={"blocks": 1})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    report = predictor.predict(
        folder / "low.tif", {"dem": folder / "dem.tif"}, folder / "sr.tif",
        tile=tile, progress=False,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    facts = {"peak": peak, "before": before, "seconds": seconds}
    print(json.dumps(facts | {"tiles": report.rasters[0].tiles}))


def main() -> None:
    """Entry of the script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--repeats", type=int, default=3, help="of each size below 64 Mpx")
    parser.add_argument("--memory", type=int, nargs="+", metavar="THOUSANDS")
    parser.add_argument("--lit", type=float, default=0.02, help="share of tiles with light")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--tile", type=int, default=128, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        one(arguments.one, arguments.tile)
    if arguments.growth:
        growth(arguments.repeats)
    if arguments.memory:
        memory(arguments.memory, arguments.lit)


if __name__ == "__main__":
    main()
