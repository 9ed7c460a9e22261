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
from window_rivals import MACS, MATCHES, Images, Match

from deeplight import _native

#: A call of more than this many seconds is timed in a third of the rounds, at least five.
SLOW = 0.7


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
