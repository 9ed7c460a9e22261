"""SSIM, UIQI and PIQE on the CPU against scikit-image, torchmetrics, SciPy and pyiqa.

Every rival is checked against a formula or against the others before it is timed. Both sides take
the same float64 image and give one mean. scikit-image and SciPy run on one thread whatever is asked
for. pyiqa is compared where it is installed (it is no dependency); without it PIQE has no row.

    ./dev bench window_metrics                          times, 2048 x 2048, one and two threads
    python benchmarks/window_metrics.py --memory        peak memory of a call, one process each
    python benchmarks/window_metrics.py --large 16384   streamed by blocks: time and peak memory
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from protocol import Row, compare
from scipy import ndimage
from skimage.metrics import structural_similarity

from deeplight import _native, metrics

Images = tuple[np.ndarray, np.ndarray]


def _pair(size: int) -> Images:
    generator = np.random.default_rng(0)
    shape = (size, size)
    truth = generator.gamma(0.7, 60.0, shape).clip(0, 255) * (generator.random(shape) < 0.3)
    return (truth + generator.normal(0, 6, shape)).clip(0, 255), truth


def _own_ssim(p: torch.Tensor, t: torch.Tensor) -> float:
    return metrics.ssim(p, t, data_range=255).item()


def _own_mirrored(p: torch.Tensor, t: torch.Tensor) -> float:
    return metrics.ssim(p, t, data_range=255, padding="reflect").item()


def _own_uiqi(p: torch.Tensor, t: torch.Tensor) -> float:
    return metrics.uiqi(p, t).item()


def _own_piqe(p: torch.Tensor, t: torch.Tensor) -> float:
    return metrics.piqe(p).item()


def _skimage_ssim(p: np.ndarray, t: np.ndarray) -> float:
    return structural_similarity(
        p, t, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )


def _torchmetrics_ssim(p: np.ndarray, t: np.ndarray) -> float:
    from torchmetrics.functional.image import structural_similarity_index_measure

    p, t = (torch.from_numpy(a)[None, None] for a in (p, t))
    return structural_similarity_index_measure(p, t, data_range=255.0).item()


def _scipy_uiqi(p: np.ndarray, t: np.ndarray) -> float:
    def mean(a: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(a, 8, mode="constant")[4:-3, 4:-3]

    mp, mt = mean(p), mean(t)
    variances = mean(p * p) - mp * mp + mean(t * t) - mt * mt
    covariance = mean(p * t) - mp * mt
    return float((4 * covariance * mp * mt / (variances * (mp * mp + mt * mt))).mean())


def _pyiqa_piqe(p: np.ndarray, t: np.ndarray) -> float:
    from pyiqa.archs.piqe_arch import piqe

    image = torch.from_numpy(p)[None, None] / 255
    with torch.no_grad():
        score = piqe(image)
    # Some versions give the masks of the blocks beside the score.
    return float(score[0] if isinstance(score, tuple) else score)


#: item -> own score, rival's name, rival's score, agreement to which it is checked
SCORES: dict[str, tuple[Callable[..., float], str, Callable[..., float], float]] = {
    "ssim": (_own_ssim, "scikit-image", _skimage_ssim, 1e-10),
    "ssim, mirrored": (_own_mirrored, "torchmetrics", _torchmetrics_ssim, 1e-10),
    "uiqi": (_own_uiqi, "SciPy", _scipy_uiqi, 1e-10),
}
if importlib.util.find_spec("pyiqa") is not None:
    # Single precision, and its own sums: some blocks lie on a threshold.
    SCORES["piqe"] = (_own_piqe, "pyiqa", _pyiqa_piqe, 2e-3)


def check() -> None:
    """Every rival gives what the library gives, on an image of 256 x 256."""
    small = _pair(256)
    tensors = [torch.from_numpy(a) for a in small]
    for own, _, rival, digits in SCORES.values():
        np.testing.assert_allclose(own(*tensors), rival(*small), rtol=digits)


def rows(rounds: int) -> list[Row]:
    """One band of 2048 x 2048, on one and on two threads."""
    check()
    arrays = _pair(2048)
    tensors = [torch.from_numpy(a) for a in arrays]
    result = []
    for name, (own, rival, run_rival, _) in SCORES.items():
        for threads in (1, 2):
            torch.set_num_threads(threads)
            measured = compare(
                lambda own=own: own(*tensors),
                lambda run_rival=run_rival: run_rival(*arrays),
                rounds,
            )
            result.append(Row(name, "2048x2048", threads, rival, *measured))
    return result


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _one_call(item: str, side: str, size: int) -> None:
    """Prints what one call adds to the peak memory of this process, in bytes."""
    own, _, rival, _ = SCORES[item]
    arrays = _pair(size)
    images = [torch.from_numpy(a) for a in arrays] if side == "own" else list(arrays)
    run = own if side == "own" else rival
    run(*(image[:256, :256] for image in images))
    # What making the images took must not hide the call: this much is touched again.
    before = _peak()
    with Path("/proc/self/statm").open() as file:
        now = int(file.read().split()[1]) * resource.getpagesize()
    run(*images)
    print(json.dumps({"bytes": max(_peak() - now, 0), "hidden": before - now}))


def memory(size: int) -> None:
    """Prints the peak memory of every contender, each in a process of its own."""
    print(f"peak memory of one call beyond its two images of {size} x {size}, MB")
    for item, (_, rival, _, _) in SCORES.items():
        for side, name in (("own", "deeplight"), ("rival", rival)):
            command = [sys.executable, __file__, "--one", item, side, "--size", str(size)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            result = json.loads(done.stdout)
            bound = "at most " if result["hidden"] >= result["bytes"] else ""
            print(f"{item:16} {name:14} {bound}{result['bytes'] / 1e6:8.1f}")


def large(size: int) -> None:
    """Streams two rasters of size x size through the accumulators, by blocks of 256 rows."""
    with tempfile.TemporaryDirectory() as folder:
        images = [
            np.memmap(Path(folder) / name, np.float32, "w+", shape=(size, size))
            for name in ("p", "t")
        ]
        p, t = _pair(256)
        tile = [np.tile(a.astype(np.float32), (1, -(-size // 256)))[:, :size] for a in (p, t)]
        for row in range(0, size, 256):
            for image, values in zip(images, tile, strict=True):
                image[row : row + 256] = np.roll(values, row % 251, 1)[: size - row]
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for item in ("ssim", "uiqi", "piqe"):
                before = _anonymous()
                start = time.perf_counter()
                value, peak = _stream(item, images, size)
                seconds = time.perf_counter() - start
                print(
                    f"{item} {size}x{size} threads {threads}: {value:.6f}, {seconds:.1f} s, "
                    f"{size * size / seconds / 1e6:.1f} Mpx/s, peak {(peak - before) / 1e6:.0f} MB"
                )


def _anonymous() -> int:
    """Memory of this process that belongs to no file, bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    return 0


def _stream(item: str, images: list[np.ndarray], size: int) -> tuple[float, int]:
    scores = _native.metrics
    step, peak = 256, 0
    if item == "piqe":
        score = scores.PiqeAccumulator('{"stretch": "range", "data_range": 255}')
        for row in range(0, size, step):
            top, bottom = (3 if row else 0), (3 if row + step < size else 0)
            rows = torch.from_numpy(np.array(images[0][row - top : row + step + bottom]))
            score.update(rows, top=top, bottom=bottom)
            peak = max(peak, _anonymous())
        return score.compute(), peak
    score = scores.SsimAccumulator(255.0, "{}") if item == "ssim" else scores.UiqiAccumulator("{}")
    for row in range(0, size, step):
        rows = slice(max(0, row - score.overlap), row + step)
        score.update(*(torch.from_numpy(np.array(image[rows])) for image in images))
        peak = max(peak, _anonymous())
    return score.compute(), peak


def main() -> None:
    """Memory and streaming; times are `./dev bench window_metrics`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--memory", action="store_true", help="peak memory of one call")
    parser.add_argument("--large", type=int, metavar="SIDE", help="stream rasters of this side")
    parser.add_argument("--size", type=int, default=2048, help="side for --memory")
    parser.add_argument("--one", nargs=2, metavar=("ITEM", "SIDE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        _one_call(*arguments.one, arguments.size)
        return
    if arguments.memory:
        memory(arguments.size)
    if arguments.large:
        large(arguments.large)
    if not arguments.memory and not arguments.large:
        parser.error("give --memory or --large; times are printed by ./dev bench window_metrics")


if __name__ == "__main__":
    main()
