"""SSIM, UIQI and PIQE on the CPU against scikit-image, SciPy, NumPy, torchmetrics and pyiqa.

Own score and rival take the same image in the rival's usual type: float64 for scikit-image, SciPy
and NumPy, which run on one thread whatever is asked for; float32 for torchmetrics and pyiqa, whose
convolutions would need 20 GB in float64. Before anything is timed, every contender is checked
against the formula in float64, window by window, on 256 x 256 pixels.

pyiqa is no dependency (it brings some 60 packages); without it its rows are left out. To have them:

    python -m venv FOLDER && FOLDER/bin/pip install pyiqa==0.1.16
    DEEPLIGHT_PYIQA=FOLDER/lib/python3.11/site-packages ./dev bench window_metrics

    ./dev bench window_metrics                          times, 2048 x 2048, one and two threads
    python benchmarks/window_metrics.py --memory        peak memory of a call, one process each
    python benchmarks/window_metrics.py --large 16384   streamed by blocks: time and peak memory
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from protocol import Row, compare
from scipy import ndimage

from deeplight import _native, metrics

Array = np.ndarray
Images = tuple[Array, Array]

#: A call of more than this many seconds is timed in a third of the rounds, at least five.
SLOW = 0.7

#: Multiply-adds of a pixel's separable windows over its moments; UIQI's sums of 2, 4, 8 only add.
MACS = {
    "ssim": 4 * 22,
    "ssim, mirrored": 4 * 22,
    "uiqi": 4 * 6,
    "uiqi, Gaussian": 4 * 22,
    "piqe": 2 * 14,
}

# The formulas in float64, for the check; `taps` is the window's side of weights.


def _gaussian(size: int, sigma: float) -> Array:
    taps = np.exp(-((np.arange(size) - size // 2) ** 2) / (2 * sigma**2))
    return taps / taps.sum()


def _moments(p: Array, t: Array, taps: Array) -> tuple[Array, ...]:
    """Means, variances' sum and covariance of every window, each from its own pixels."""
    weights = np.outer(taps, taps)
    x, y = (np.lib.stride_tricks.sliding_window_view(a, weights.shape) for a in (p, t))
    mx, my = (np.einsum("ijkl,kl->ij", a, weights) for a in (x, y))
    dx, dy = x - mx[..., None, None], y - my[..., None, None]
    variances = np.einsum("ijkl,ijkl,kl->ij", dx, dx, weights)
    variances += np.einsum("ijkl,ijkl,kl->ij", dy, dy, weights)
    return mx, my, variances, np.einsum("ijkl,ijkl,kl->ij", dx, dy, weights)


def _ssim_formula(p: Array, t: Array) -> float:
    mx, my, variances, covariance = _moments(p, t, _gaussian(11, 1.5))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * mx * my + c1) * (2 * covariance + c2)
    return float((top / ((mx * mx + my * my + c1) * (variances + c2))).mean())


def _mirrored_formula(p: Array, t: Array) -> float:
    return _ssim_formula(*(np.pad(a, 5, "reflect") for a in (p, t)))


def _uiqi_formula(p: Array, t: Array, taps: Array) -> float:
    mx, my, variances, covariance = _moments(p, t, taps)
    bottom = variances * (mx * mx + my * my)
    # Nothing in either image's window: 1. (One of them dark: the top is 0.)
    nothing = (mx == 0) & (my == 0)
    quality = 4 * covariance * mx * my / np.where(bottom == 0, 1, bottom)
    return float(np.where(nothing, 1.0, quality).mean())


def _piqe_formula(p: Array, t: Array) -> float:
    """MATLAB's steps, one block after the other; windows written out, sides multiples of 16."""
    x = np.pad(np.floor(255 * (p / p.max()) + 0.5), 3, "edge")
    weights = np.outer(_gaussian(7, 7 / 6), _gaussian(7, 7 / 6))
    windows = np.lib.stride_tricks.sliding_window_view(x, (7, 7))
    mean, square = (np.einsum("ijkl,kl->ij", a, weights) for a in (windows, windows**2))
    z = (x[3:-3, 3:-3] - mean) / (np.sqrt(np.abs(square - mean * mean)) + 1)
    total = active = 0.0
    for i, j in np.ndindex(z.shape[0] // 16, z.shape[1] // 16):
        block = z[16 * i : 16 * i + 16, 16 * j : 16 * j + 16]
        variance = block.var(ddof=1)
        if variance <= 0.1:
            continue
        edges = (block[0], block[-1], block[:, 0], block[:, -1])
        flat = any(edge[k : k + 6].std(ddof=1) < 0.1 for edge in edges for k in range(11))
        ratio = block[:, 7:9].std(ddof=1) / np.delete(block, (7, 9), 1).std(ddof=1)
        sigma = np.sqrt(variance)
        noisy = sigma > 2 * abs(sigma - ratio) / max(sigma, ratio)
        total, active = total + (1 - variance) * flat + variance * noisy, active + 1
    return float(100 * (total + 1) / (active + 1))


# Rivals.


def _skimage_ssim(p: Array, t: Array) -> float:
    from skimage.metrics import structural_similarity

    return structural_similarity(
        p, t, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )


def _scipy_ssim(p: Array, t: Array) -> float:
    def mean(a: Array) -> Array:
        return ndimage.gaussian_filter(a, 1.5, radius=5)[5:-5, 5:-5]

    mp, mt = mean(p), mean(t)
    product, both = mp * mt, mp * mp + mt * mt
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * product + c1) * (2 * (mean(p * t) - product) + c2)
    return float((top / ((both + c1) * (mean(p * p + t * t) - both + c2))).mean())


def _as_tensors(*images: Array) -> list[torch.Tensor]:
    return [torch.from_numpy(a)[None, None] for a in images]


def _torchmetrics_ssim(p: Array, t: Array) -> float:
    from torchmetrics.functional.image import structural_similarity_index_measure

    return structural_similarity_index_measure(*_as_tensors(p, t), data_range=255.0).item()


def _pyiqa_ssim(p: Array, t: Array) -> float:
    from pyiqa.archs.ssim_arch import ssim

    with torch.no_grad():
        return ssim(*_as_tensors(p, t), data_range=255).item()


def _uiqi_of(mean: Callable[[Array], Array], p: Array, t: Array) -> float:
    mp, mt = mean(p), mean(t)
    product, both = mp * mt, mp * mp + mt * mt
    variances = mean(p * p + t * t) - both
    with np.errstate(invalid="ignore"):
        quality = 4 * (mean(p * t) - product) * product / (variances * both)
    quality[both == 0] = 1
    return float(quality.mean())


def _scipy_uiqi(p: Array, t: Array) -> float:
    def mean(a: Array) -> Array:
        return ndimage.uniform_filter(a, 8, mode="constant")[4:-3, 4:-3]

    return _uiqi_of(mean, p, t)


def _numpy_uiqi(p: Array, t: Array) -> float:
    """The library's own way of adding, written in NumPy: the hardest rival that we know of."""

    def mean(a: Array) -> Array:
        for k in (1, 2, 4):
            a = a[k:] + a[:-k]
        for k in (1, 2, 4):
            a = a[:, k:] + a[:, :-k]
        return a / 64

    return _uiqi_of(mean, p, t)


def _torchmetrics_uiqi(p: Array, t: Array) -> float:
    from torchmetrics.functional.image import universal_image_quality_index

    return universal_image_quality_index(*_as_tensors(p, t)).item()


def _scipy_piqe(p: Array, t: Array) -> float:
    """MATLAB's steps with whole-image arrays, for sides that are multiples of 16."""
    x = np.floor(255 * (p / p.max()) + 0.5)
    mean, square = (ndimage.gaussian_filter(a, 7 / 6, radius=3, mode="nearest") for a in (x, x * x))
    z = (x - mean) / (np.sqrt(np.abs(square - mean * mean)) + 1)
    blocks = z.reshape(z.shape[0] // 16, 16, -1, 16).swapaxes(1, 2)
    blocks = blocks[blocks.var((2, 3), ddof=1) > 0.1]
    variance = blocks.var((1, 2), ddof=1)
    edges = np.stack([blocks[:, 0], blocks[:, -1], blocks[:, :, 0], blocks[:, :, -1]], 1)
    segments = np.lib.stride_tricks.sliding_window_view(edges, 6, -1).std(-1, ddof=1)
    flat = (segments < 0.1).any((1, 2))
    centre = blocks[:, :, 7:9].std((1, 2), ddof=1)
    surround = np.delete(blocks, (7, 9), 2).std((1, 2), ddof=1)
    ratio, sigma = np.nan_to_num(centre / surround), np.sqrt(variance)
    noisy = sigma > 2 * np.abs(sigma - ratio) / np.maximum(sigma, ratio)
    total = ((1 - variance) * flat + variance * noisy).sum()
    return float(100 * (total + 1) / (len(blocks) + 1))


def _pyiqa_piqe(p: Array, t: Array) -> float:
    from pyiqa.archs.piqe_arch import piqe

    with torch.no_grad():
        score = piqe(_as_tensors(p)[0] / 255)
    # Version 0.1.16 gives the masks of the blocks beside the score.
    return float(score[0] if isinstance(score, tuple) else score)


@dataclass(frozen=True)
class Match:
    """One rival and the own call that means the same score."""

    item: str
    rival: str
    own: Callable[..., torch.Tensor]
    run_rival: Callable[..., float]
    formula: Callable[..., float]
    dtype: type
    rtol: float  # of the rival, against the formula; own: 1e-10


def _own_ssim(p: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return metrics.ssim(p, t, data_range=255)


def _own_mirrored(p: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return metrics.ssim(p, t, data_range=255, padding="reflect")


def _own_gaussian_uiqi(p: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return metrics.uiqi(p, t, window="gaussian", window_size=11, sigma=1.5)


def _own_piqe(p: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return metrics.piqe(p)


def _uniform_formula(p: Array, t: Array) -> float:
    return _uiqi_formula(p, t, np.full(8, 1 / 8))


def _gaussian_formula(p: Array, t: Array) -> float:
    return _uiqi_formula(p, t, _gaussian(11, 1.5))


_F64, _F32 = np.float64, np.float32
MATCHES = [
    Match("ssim", "scikit-image", _own_ssim, _skimage_ssim, _ssim_formula, _F64, 1e-10),
    Match("ssim", "SciPy", _own_ssim, _scipy_ssim, _ssim_formula, _F64, 1e-10),
    Match(
        "ssim, mirrored", "torchmetrics", _own_mirrored, _torchmetrics_ssim, _mirrored_formula,
        _F32, 1e-4,
    ),
    Match("uiqi", "SciPy", metrics.uiqi, _scipy_uiqi, _uniform_formula, _F64, 1e-9),
    Match("uiqi", "NumPy, sums of 2, 4, 8", metrics.uiqi, _numpy_uiqi, _uniform_formula, _F64,
          1e-9),
    Match(
        "uiqi, Gaussian", "torchmetrics", _own_gaussian_uiqi, _torchmetrics_uiqi,
        _gaussian_formula, _F32, 1e-3,
    ),
    Match("piqe", "SciPy", _own_piqe, _scipy_piqe, _piqe_formula, _F64, 1e-10),
]  # fmt: skip

if "DEEPLIGHT_PYIQA" in os.environ:
    # Last: what is installed here comes first.
    sys.path.append(os.environ["DEEPLIGHT_PYIQA"])
if importlib.util.find_spec("pyiqa") is not None:
    MATCHES += [
        Match("ssim", "pyiqa", _own_ssim, _pyiqa_ssim, _ssim_formula, _F32, 1e-4),
        # In single precision some blocks lie on the other side of a threshold.
        Match("piqe", "pyiqa", _own_piqe, _pyiqa_piqe, _piqe_formula, _F32, 2e-3),
    ]
MATCHES.sort(key=lambda match: ("ssim", "uiqi", "piqe").index(match.item.split(",")[0]))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _pair(size: int, dtype: type = np.float64) -> Images:
    """A noisy prediction of sparse lights, and the lights."""
    generator = np.random.default_rng(0)
    shape = (size, size)
    truth = generator.gamma(0.7, 60.0, shape).clip(0, 255) * (generator.random(shape) < 0.3)
    prediction = (truth + generator.normal(0, 6, shape)).clip(0, 255)
    return prediction.astype(dtype), truth.astype(dtype)


def check() -> None:
    """Own score and rival give what the formula gives in float64, on 256 x 256 pixels."""
    for match in MATCHES:
        images = _pair(256, match.dtype)
        want = match.formula(*(a.astype(np.float64) for a in images))
        own = match.own(*(torch.from_numpy(a) for a in images)).item()
        theirs = match.run_rival(*images)
        _say(
            f"check {match.item:16} {np.dtype(match.dtype).name} formula {want:.12g}, own differs "
            f"by {abs(own / want - 1):.0e}, {match.rival} by {abs(theirs / want - 1):.0e}"
        )
        np.testing.assert_allclose(own, want, rtol=1e-10)
        np.testing.assert_allclose(theirs, want, rtol=match.rtol)


def _rounds(run: Callable[[], object], rounds: int) -> int:
    start = time.perf_counter()
    run()
    slow = time.perf_counter() - start > SLOW
    return min(rounds, max(5, rounds // 3)) if slow else rounds


def rows(rounds: int) -> list[Row]:
    """One band of 2048 x 2048, on one and on two threads."""
    if not any(match.rival == "pyiqa" for match in MATCHES):
        _say("pyiqa is not installed; its rows are left out. How to have them:\n" + __doc__)
    for name in ("scikit-image", "scipy", "numpy", "torchmetrics", "pyiqa"):
        try:
            _say(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    check()
    result = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for match in MATCHES:
            arrays = _pair(2048, match.dtype)
            tensors = [torch.from_numpy(a) for a in arrays]

            def own(match: Match = match, tensors: list = tensors) -> float:
                return match.own(*tensors).item()

            def rival(match: Match = match, arrays: Images = arrays) -> float:
                return match.run_rival(*arrays)

            chosen = _rounds(rival, rounds)
            contenders = [(match.rival, rival, chosen)]
            if match is MATCHES[0]:
                contenders.append(("itself", own, rounds))
            for name, run, count in contenders:
                row = Row(match.item, "2048x2048", threads, name, *compare(own, run, count))
                row.note = "" if count == rounds else f"{count} rounds"
                images = arrays[:1] if match.item == "piqe" else arrays
                macs = 2.0 * MACS[match.item] * arrays[0].size  # of double, two of float each
                row.against_roofline(macs, float(sum(a.nbytes for a in images)))
                _say(f"{threads} thread(s), {match.item}, {name}: {row.ratio:.2f} {row.note}")
                result.append(row)
    return result


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _one_call(item: str, side: str, size: int) -> None:
    """Prints what one call adds to the peak memory of this process, in bytes."""
    match = MATCHES[int(item)]
    arrays = _pair(size, match.dtype)
    images = [torch.from_numpy(a) for a in arrays] if side == "own" else list(arrays)
    run = match.own if side == "own" else match.run_rival
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
    for index, match in enumerate(MATCHES):
        for side, name in (("own", "deeplight"), ("rival", match.rival)):
            command = [sys.executable, __file__, "--one", str(index), side, "--size", str(size)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            result = json.loads(done.stdout)
            bound = "at most " if result["hidden"] >= result["bytes"] else ""
            kind = f"{match.item}, {np.dtype(match.dtype).name}"
            print(f"{kind:24} {name:24} {bound}{result['bytes'] / 1e6:8.1f}", flush=True)


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
