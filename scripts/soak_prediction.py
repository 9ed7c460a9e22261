"""Predictions that are killed and resumed, raced, or run out of disk, for ``scripts/soak.py``.

The jobs are small (untrained weights, rasters of a few hundred pixels in many tiles), so that the
moments fall everywhere: while tiles are computed, while the output is encoded, at the rename.
"""

from __future__ import annotations

import functools
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SCALE = 4
ROWS, COLUMNS = 120, 72
TILE = 8


def resume(count: int, moments: random.Random) -> dict[str, int]:
    """Kills a prediction at random moments and resumes it until it is whole.

    Returns:
        cycles, kills, ``torn`` (an output lay there after a kill: it must be the whole one) and
        ``different`` (cycles whose bytes are not those of an undisturbed run).
    """
    folder = scene()
    expected, length = reference(folder)
    counts = {"cycles": 0, "kills": 0, "resumed": 0, "different": 0, "crashed": 0}
    for _ in range(count):
        with tempfile.TemporaryDirectory() as name:
            out = Path(name) / "sr.tif"
            for _ in range(100):
                process = start(folder, out, "--resume")
                try:
                    code = process.wait(moments.uniform(0.0, length * 1.1))
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    counts["kills"] += 1
                    # Whatever has the name now is whole.
                    if out.exists() and digest(out) != expected:
                        counts["different"] += 1
                    continue
                counts["crashed"] += code != 0
                break
            counts["cycles"] += 1
            if not out.exists() or digest(out) != expected or len(list(Path(name).iterdir())) != 1:
                counts["different"] += 1
    return counts


def race(count: int, moments: random.Random) -> dict[str, int]:
    """Two processes write one output: one wins or both do, one after the other.

    Returns:
        races, ``refused`` (the later one was told who holds the output), ``different``.
    """
    folder = scene()
    expected, length = reference(folder)
    counts = {"races": 0, "refused": 0, "different": 0, "crashed": 0}
    for _ in range(count):
        with tempfile.TemporaryDirectory() as name:
            out = Path(name) / "sr.tif"
            both = [start(folder, out)]
            time.sleep(moments.uniform(0, length * 0.6))
            both.append(start(folder, out))
            codes = [process.wait() for process in both]
            counts["races"] += 1
            counts["refused"] += codes.count(1)
            counts["crashed"] += any(code not in (0, 1) for code in codes)
            if 0 not in codes or digest(out) != expected or len(list(Path(name).iterdir())) != 1:
                counts["different"] += 1
    return counts


def small_disk(count: int, moments: random.Random) -> dict[str, int]:
    """Predicts onto a file system of random size, most of them too small.

    Returns:
        runs, ``full`` (refused because the disk was full), ``different`` (another output than the
        whole one, or one after an error).
    """
    folder = scene()
    expected, _ = reference(folder)
    size = (COLUMNS * SCALE) * (ROWS * SCALE) * 4
    counts = {"runs": 0, "full": 0, "different": 0, "crashed": 0}
    for _ in range(count):
        with tempfile.TemporaryDirectory() as name:
            kilobytes = moments.randrange(16, 4 * size // 1024)
            options = f"size={kilobytes}k"
            subprocess.run(["mount", "-t", "tmpfs", "-o", options, "soak", name], check=True)
            try:
                out = Path(name) / "sr.tif"
                code = start(folder, out).wait()
                counts["runs"] += 1
                counts["full"] += code == 1
                counts["crashed"] += code not in (0, 1)
                if out.exists() != (code == 0) or (code == 0 and digest(out) != expected):
                    counts["different"] += 1
            finally:
                subprocess.run(["umount", name], check=True)
    return counts


@functools.cache
def scene() -> Path:
    """Weights, a low-resolution raster and a guide, in a folder that lives as long as this."""
    import atexit

    from deeplight import _native, create_model, weights

    folder = Path(tempfile.mkdtemp(prefix="deeplight-soak-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    values = np.random.default_rng(0)
    low = _native.Grid(ROWS, COLUMNS, [10.0, 0.1, 0.0, 50.0, 0.0, -0.1])
    _native.write_raster(folder / "low.tif", values.random((ROWS, COLUMNS)).astype(np.float32), low)
    guide = values.random((ROWS * SCALE, COLUMNS * SCALE)).astype(np.float32)
    _native.write_raster(folder / "dem.tif", guide, low.refined(SCALE))
    guides = [{"name": "dem", "bands": 1}]
    options = {"scale": SCALE, "width": 8, "guides": guides, "fuse": {"blocks": 1}}
    net = create_model("deeplight_sr", **options)
    card = {
        "name": "soak",
        "architecture": "deeplight_sr",
        "options": net.options,
        "scale": SCALE,
        "preprocessing": {"guides": guides},
    }
    weights.save(net, card, folder / "soak.safetensors")
    return folder


@functools.cache
def reference(folder: Path) -> tuple[str, float]:
    """Hash of an undisturbed run's output, and its seconds."""
    started = time.monotonic()
    if start(folder, folder / "whole.tif").wait() != 0:
        raise SystemExit("the undisturbed run failed")
    return digest(folder / "whole.tif"), time.monotonic() - started


def start(folder: Path, out: Path, *more: str) -> subprocess.Popen[bytes]:
    """A prediction of one thread: only so many threads give the same bits as the same."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "deeplight", "predict", str(folder / "low.tif")),
            *("--guide", f"dem={folder / 'dem.tif'}", "-w", str(folder / "soak.safetensors")),
            *("-o", str(out), "--tile", str(TILE), "--quiet", *more),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
