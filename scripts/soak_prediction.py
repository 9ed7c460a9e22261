"""Predictions that are killed and resumed, raced, or run out of disk, for ``scripts/soak.py``.

The jobs are small (untrained weights, rasters of a few hundred pixels in many tiles), so that the
moments fall everywhere: while tiles are computed, while the output is encoded, at the rename. Each
runs in a process of its own, forked from this one, which computes nothing itself. Finished tiles go
to the disk twenty times a second instead of once, so that such short runs have some to resume.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import numpy as np

SCALE = 4
ROWS, COLUMNS = 120, 72
SHARDS = 2
#: Kills of one job at most; then it runs to its end.
KILLS = 4

#: Options by the name of the output.
OUTPUTS: dict[str, dict[str, Any]] = {
    "sr.tif": {"tile": 12, "format": "gtiff"},
    "overviews.tif": {"tile": 12, "format": "gtiff-overviews"},
    "cog.tif": {"tile": 12, "format": "cog"},
    "sr.zarr": {"tile": 12, "format": "zarr"},
    "two-bands.zarr": {"tile": 40, "uncertainty": True},
    "parts.vrt": {"tile": 12},
}
# A process that is killed loses nothing that it handed to the system: no disk is needed.
if os.access("/dev/shm", os.W_OK):
    tempfile.tempdir = "/dev/shm"
#: Tiles that the last process of ours found done already.
taken_over = multiprocessing.get_context("fork").Value("q", 0, lock=False)  # no kill may keep it
#: Exit codes of a process of ours.
DONE, REFUSED, BROKEN = 0, 1, 3
#: The C library's last words; PyTorch has such variables in each thread.
NO_ROOM_FOR_THREAD = "failed to register TLS destructor: out of memory"


def resume(count: int, moments: random.Random) -> dict[str, int]:
    """Kills a prediction at random moments and resumes it until it is whole.

    Returns:
        cycles, kills, ``encoding`` (kills while a temporary file lay there), ``resumed`` (cycles
        whose last run took finished tiles, or the whole output, over), and ``different`` (cycles
        with other bytes than an undisturbed run's, or with anything left beside them).
    """
    counts = {"cycles": 0, "kills": 0, "encoding": 0, "resumed": 0, "different": 0, "crashed": 0}
    while counts["cycles"] < count and not counts["crashed"]:
        name = moments.choice([*OUTPUTS])
        with tempfile.TemporaryDirectory(prefix="deeplight-soak-") as folder:
            out, before = Path(folder) / name, counts["kills"]
            until_done(functools.partial(predict, out, resume=True), out, moments, counts)
            counts["different"] += not alone_and_whole(out)
            if counts["kills"] > before:  # else it was faster than any kill
                counts["cycles"] += 1
                counts["resumed"] += taken_over.value > 0
    return counts


def shards(count: int, moments: random.Random) -> dict[str, int]:
    """Kills the shards of a plan and its merging at random moments, until each is done.

    Returns:
        As :func:`resume`.
    """
    counts = {"cycles": 0, "kills": 0, "encoding": 0, "different": 0, "crashed": 0}
    for _ in range(count):
        name = moments.choice([*OUTPUTS])
        with tempfile.TemporaryDirectory(prefix="deeplight-soak-") as folder:
            out = Path(folder) / name
            file = Path(folder) / "plan.json"
            if finish(start(functools.partial(plan, file, out))) != DONE:
                counts["crashed"] += 1
                continue
            for index in range(SHARDS):
                until_done(functools.partial(shard, file, index), out, moments, counts)
            until_done(functools.partial(merge, file), out, moments, counts)
            file.unlink()
            counts["cycles"] += 1
            counts["different"] += not alone_and_whole(out)
    return counts


def race(count: int, moments: random.Random) -> dict[str, int]:
    """Two processes write one output: one wins or both do, one after the other.

    Returns:
        races, ``refused`` (the later one was told who holds the output), ``different``.
    """
    counts = {"races": 0, "refused": 0, "different": 0, "crashed": 0}
    for _ in range(count):
        name = moments.choice([*OUTPUTS])
        with tempfile.TemporaryDirectory(prefix="deeplight-soak-") as folder:
            out = Path(folder) / name
            both = [start(functools.partial(predict, out))]
            time.sleep(moments.uniform(0, reference(name).seconds * 1.1))
            both.append(start(functools.partial(predict, out, resume=moments.random() < 0.5)))
            codes = [finish(process) for process in both]
            counts["races"] += 1
            counts["refused"] += codes.count(REFUSED)
            counts["crashed"] += any(code not in (DONE, REFUSED) for code in codes)
            counts["different"] += DONE not in codes or not alone_and_whole(out)
    return counts


def small_disk(count: int, moments: random.Random) -> dict[str, int]:
    """Predicts onto a file system of random size, most of them too small; then there is room.

    Returns:
        runs, ``full`` (refused because the disk was full), ``different`` (another output than the
        whole one, one after an error, or after resuming with more room).
    """
    size = (COLUMNS * SCALE) * (ROWS * SCALE) * 4
    counts = {"runs": 0, "full": 0, "different": 0, "crashed": 0}
    for _ in range(count):
        name = moments.choice([*OUTPUTS])
        with tempfile.TemporaryDirectory(prefix="deeplight-soak-") as folder:
            kilobytes = moments.randrange(16, 4 * size // 1024)
            mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "soak", folder]
            subprocess.run(mount, check=True)
            try:
                out = Path(folder) / name
                code = finish(start(functools.partial(predict, out)))
                counts["runs"] += 1
                counts["full"] += code == REFUSED
                counts["crashed"] += code not in (DONE, REFUSED)
                wrong = out.exists() != (code == DONE)
                if code == REFUSED:
                    more = ["mount", "-o", "remount,size=64m", folder]
                    subprocess.run(more, check=True)
                    code = finish(start(functools.partial(predict, out, resume=True)))
                    counts["crashed"] += code != DONE
                counts["different"] += wrong or not alone_and_whole(out)
            finally:
                subprocess.run(["umount", folder], check=True)
    return counts


def starved(count: int, moments: random.Random) -> dict[str, int]:
    """Predicts with 0 to 60 MiB of address space left; then there is enough.

    Returns:
        runs, ``refused`` (ended in an error of ours), ``ended_by_glibc`` (it found no room for a
        library's variable in a new thread, and ends the process then), ``different``.
    """
    counts = {"runs": 0, "refused": 0, "ended_by_glibc": 0, "different": 0, "crashed": 0}
    for _ in range(count):
        name = moments.choice([*OUTPUTS])
        room = int(2**20 * 60 * moments.random())
        with tempfile.TemporaryDirectory(prefix="deeplight-soak-") as folder:
            out = Path(folder) / name
            code = finish(start(functools.partial(predict_within, room, out)))
            if code != DONE:
                counts["different"] += out.exists()
                ended = code == -signal.SIGABRT and NO_ROOM_FOR_THREAD in complaints()
                counts["ended_by_glibc"] += ended
                counts["refused"] += code == REFUSED
                counts["crashed"] += code != REFUSED and not ended
                code = finish(start(functools.partial(predict_plainly, out)))
            counts["runs"] += 1
            counts["crashed"] += code != DONE
            counts["different"] += not alone_and_whole(out, predict_plainly)
    return counts


def until_done(
    work: Callable[[], None], out: Path, moments: random.Random, counts: dict[str, int]
) -> None:
    """Runs `work`, killed at random moments, and then to its end."""
    whole = reference(out.name)
    for _ in range(moments.randint(1, KILLS)):
        process = start(work)
        if moments.random() < 0.5:
            # Short ones often: the machine may be faster now than it was for the reference.
            process.join(0.01 * (90 * whole.seconds) ** moments.random())
        else:
            while process.is_alive() and not temporaries(out):
                time.sleep(0.001)
            process.join(moments.uniform(0.0, 0.9 * whole.encoding))
        if process.is_alive():
            counts["encoding"] += bool(temporaries(out))
            process.kill()
            process.join()
        if process.exitcode is not None and process.exitcode >= 0:
            counts["crashed"] += process.exitcode != DONE
            return
        counts["kills"] += 1
        # Whatever has the name now is whole.
        counts["different"] += out.exists() and digest(out) != whole.digest
    counts["crashed"] += finish(start(work)) != DONE


def alone_and_whole(out: Path, way: Callable[[Path], None] | None = None) -> bool:
    """Whether the output has its bytes and nothing lies beside it."""
    beside = [path for path in out.parent.iterdir() if path not in (out, parts(out))]
    return out.exists() and not beside and digest(out) == reference(out.name, way).digest


def temporaries(out: Path) -> list[Path]:
    """What is being encoded now."""
    return [*out.parent.glob(f".*{out.name}.*.part.tif*")]


def start(work: Callable[[], None]) -> ForkProcess:
    """`work` in a process of its own; errors of ours end it with ``REFUSED``."""
    os.environ["DEEPLIGHT_COMMIT_SECONDS"] = "0.05"
    predictor()  # loaded here once, not in each of the processes
    process = multiprocessing.get_context("fork").Process(target=_run, args=(work,))
    process.start()
    return process


def finish(process: ForkProcess) -> int | None:
    """Its exit code; below 0 the signal that ended it."""
    process.join()
    return process.exitcode


def _run(work: Callable[[], None]) -> None:
    code = DONE
    try:
        work()
    except (ValueError, OSError, MemoryError) as error:
        code = REFUSED
        (scene() / "said").write_text(f"{type(error).__name__}: {error}\n")
    except BaseException:
        code = BROKEN
        traceback.print_exc()
    os._exit(code)


def last_words() -> str:
    """The last error of ours that a process ended with, and what one without memory wrote."""
    files = [scene() / name for name in ("said", "complaints")]
    return "".join(file.read_text() for file in files if file.exists())


def predict(out: Path, resume: bool = False) -> None:
    """One prediction of one thread: only so many threads give the same bits as the same."""
    low, guides = inputs()
    report = predictor().predict(
        low, guides, out, **OUTPUTS[out.name], threads=1, resume=resume, progress=False
    )
    taken_over.value = report.rasters[0].resumed


def predict_plainly(out: Path) -> None:
    """The same without oneDNN, which crashes where the code that it writes finds no room."""
    import torch

    torch.backends.mkldnn.set_flags(False)
    predict(out, resume=True)


def predict_within(room: int, out: Path) -> None:
    """The same with so many bytes of address space left."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    bound = pages * resource.getpagesize() + room
    os.dup2(os.open(scene() / "complaints", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    predict_plainly(out)


def complaints() -> str:
    """What the last process without memory wrote to its standard error."""
    return (scene() / "complaints").read_text()


def plan(file: Path, out: Path) -> None:
    """Plans the same prediction."""
    from deeplight.plan import make_plan

    low, guides = inputs()
    make_plan(scene() / "soak.safetensors", low, guides, out, **OUTPUTS[out.name]).save(file)


def shard(file: Path, index: int) -> None:
    """Computes one shard."""
    from deeplight.plan import load_plan, run_shard

    run_shard(load_plan(file), index, SHARDS, predictor=predictor(), threads=1, progress=False)


def merge(file: Path) -> None:
    """Merges the shards."""
    from deeplight import plan

    plan.merge(plan.load_plan(file))


@functools.cache
def scene() -> Path:
    """Weights, a low-resolution raster and a guide, in a folder that lives as long as this."""
    from deeplight import _native, create_model, weights

    folder = Path(tempfile.mkdtemp(prefix="deeplight-soak-"))
    owner = os.getpid()

    def remove() -> None:
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
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


def inputs() -> tuple[Path, dict[str, Path]]:
    """The low resolution and the guides."""
    return scene() / "low.tif", {"dem": scene() / "dem.tif"}


@functools.cache
def predictor() -> Any:
    """The network with its weights."""
    import deeplight

    return deeplight.load(scene() / "soak.safetensors")


@dataclass(frozen=True)
class Undisturbed:
    """A run that nothing disturbed: what it wrote, its seconds, those of its encoding alone."""

    digest: str
    seconds: float
    encoding: float


@functools.cache
def reference(name: str, way: Callable[[Path], None] | None = None) -> Undisturbed:
    """An undisturbed run's output of that name, by `predict` or another way to call it."""
    whole = Path(tempfile.mkdtemp(dir=scene()))
    process = start(functools.partial(way or predict, whole / name))
    started = time.monotonic()
    while process.is_alive() and not temporaries(whole / name):
        time.sleep(0.001)
    encoding = time.monotonic()
    if finish(process) != DONE:
        raise SystemExit(f"the undisturbed run failed: {last_words()}")
    ended = time.monotonic()
    return Undisturbed(digest(whole / name), ended - started, max(ended - encoding, 0.02))


def parts(path: Path) -> Path:
    """Where a mosaic has its parts."""
    return path.with_name(path.name + ".parts")


def digest(path: Path) -> str:
    """SHA-256 of a file, of all files of a folder, or of a mosaic's, with their names."""
    folder = parts(path) if path.suffix == ".vrt" else path
    files = sorted(folder.rglob("*")) if folder.is_dir() else []
    whole = hashlib.sha256()
    for file in [path, *files]:
        if file.is_file():
            whole.update(f"{file.relative_to(path.parent)} {file.stat().st_size}\n".encode())
            whole.update(file.read_bytes())
    return whole.hexdigest()
