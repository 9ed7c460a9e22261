#!/usr/bin/env python3
"""Kills training at random moments, resumes it until it is whole, and compares the bits.

    python scripts/soak_training.py --cycles 100 --fork

One whole run is the reference. A cycle is a run that SIGKILL ends at random moments, resumed until
its weights lie there; checkpoint, weights, card and log must equal the reference's. The totals lie
in ``build/soak_training.json``; a later call adds to them, and so does one after this script was
killed itself. With ``--fork`` each run is the command in a fork of this process, which has imported
everything once: several times as many cycles an hour, and no kill is spent on imports.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = ("soak.safetensors", "soak.json", "checkpoint.safetensors", "log.csv")

CONFIG = """
[data]
root = "{samples}"
target = "ntl_hr.tif"
data_range = 255.0
[data.light]
std = 32.0
[split]
train = [{{ columns = [0, 14] }}]
validation = [{{ columns = [17, 23] }}]
[patches]
patch = 8
batch = 2
[model.options]
width = 8
[model.options.align]
warp = false
[model.options.fuse]
blocks = 1
[optimizer]
warmup = 2
[run]
steps = {steps}
validate_every = 7
checkpoint_every = 2
log_every = 1
[weights]
name = "soak"
"""


def main() -> int:
    """Returns 1 where a cycle ended in other bits."""
    parser = argparse.ArgumentParser(description="Kill and resume training; compare the bits.")
    parser.add_argument("--cycles", type=int, default=10)
    parser.add_argument("--steps", type=int, default=40, help="of each run")
    parser.add_argument("--kills", type=int, default=4, help="in a cycle at most")
    parser.add_argument("--seed", type=int, help="of the moments; the clock's if absent")
    parser.add_argument("--fork", action="store_true", help="import once, fork each run")
    parser.add_argument("--output", type=Path, default=ROOT / "build/soak_training.json")
    options = parser.parse_args()
    moments = random.Random(options.seed)
    launch = Forked if options.fork else start
    if options.fork:
        os.environ["OMP_NUM_THREADS"] = "1"
        _import_all()
    totals = {"cycles": 0, "kills": 0, "resumes": 0, "different": 0}
    if options.output.exists():
        totals = json.loads(options.output.read_text())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "soak.toml"
        samples = ROOT / "python/deeplight/sample_data/black_marble"
        config.write_text(CONFIG.format(samples=samples, steps=options.steps))
        started = time.monotonic()
        if launch(config, folder / "whole").wait() != 0:
            raise SystemExit("the uninterrupted run failed")
        length = time.monotonic() - started
        reference = digests(folder / "whole")
        for cycle in range(options.cycles):
            run = folder / f"cycle{cycle}"
            kills, resumes = killed_and_resumed(launch, config, run, moments, options.kills, length)
            different = [name for name, digest in digests(run).items() if digest != reference[name]]
            totals["cycles"] += 1
            totals["kills"] += kills
            totals["resumes"] += resumes
            totals["different"] += bool(different)
            save(options.output, totals)
            verdict = f"differs: {', '.join(different)}" if different else "same bits"
            print(f"cycle {totals['cycles']}: {kills} kills, {resumes} resumes, {verdict}")
            if different:
                return 1
            shutil.rmtree(run)
    print(json.dumps(totals))
    return 0


def killed_and_resumed(
    launch: Callable[..., subprocess.Popen[bytes] | Forked],
    config: Path,
    run: Path,
    moments: random.Random,
    most: int,
    length: float,
) -> tuple[int, int]:
    """Trains to the end through kills; how many there were, and how many resumed a checkpoint."""
    kills = resumes = 0
    for _ in range(1000):
        resumed = (run / "checkpoint.safetensors").exists()
        process = launch(config, run, *(["--resume"] if resumed else []))
        resumes += resumed
        try:
            code = process.wait(moments.uniform(0, length) if kills < most else None)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
            continue
        if code != 0:
            raise SystemExit(f"'{run}' ended with {code} after {kills} kills")
        return kills, resumes
    raise SystemExit(f"'{run}' does not come to an end")


def command(config: Path, run: Path, *more: str) -> list[str]:
    """Training with one thread: only so many threads give the same bits as the same."""
    options = ["--threads", "1", "-q", "--no-tensorboard"]
    return ["train", str(config), "-o", str(run), *options, *more]


def start(config: Path, run: Path, *more: str) -> subprocess.Popen[bytes]:
    """A training process."""
    return subprocess.Popen(
        [sys.executable, "-m", "deeplight", *command(config, run, *more)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )


class Forked:
    """A training process that starts as a copy of this one; `wait` and `kill` as of a Popen."""

    def __init__(self, config: Path, run: Path, *more: str) -> None:
        context = multiprocessing.get_context("fork")
        self._process = context.Process(target=_run, args=(command(config, run, *more),))
        self._process.start()

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit code.

        Raises:
            subprocess.TimeoutExpired: still running.
        """
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("deeplight train", timeout or 0)
        return self._process.exitcode

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()


def _import_all() -> None:
    import torch

    import deeplight.training.loop  # noqa: F401 - before the forks, for all of them

    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])  # the first one imports much


def _run(arguments: list[str]) -> None:
    from deeplight.cli import main as deeplight_main

    sys.argv = ["deeplight", *arguments]
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), 1)
    sys.exit(deeplight_main())


def digests(run: Path) -> dict[str, str]:
    """SHA-256 of each file that a run leaves."""
    return {name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in FILES}


def save(path: Path, totals: dict[str, int]) -> None:
    """Writes the totals, whole or not at all: this script may be killed as well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(totals) + "\n")
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main())
