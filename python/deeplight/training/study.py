"""Studies: the same training with one thing changed at a time, over several seeds.

A study is a TOML file that names a training configuration, what all runs have in common, and its
rows. Every run is a folder of its own with its result; a study that was stopped goes on where it
stood, within a run too.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deeplight.files import write_whole
from deeplight.training.config import build, load_config

__all__ = [
    "Estimate",
    "Row",
    "Study",
    "estimate",
    "load_study",
    "run_one",
    "run_study",
    "summarise",
]

#: 97.5 % points of Student's t for 1, 2, ... degrees of freedom.
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


@dataclass(frozen=True)
class Row:
    """One row of the table: ``[[row]]``; ``set`` holds dotted keys of the configuration."""

    name: str
    set: dict[str, Any] = field(default_factory=dict)
    remark: str = ""
    paper: float = math.nan


@dataclass(frozen=True)
class Study:
    """A study: ``config`` is relative to its file; the first row is what others are held against.

    Every row is trained once for each of ``seeds``; ``parts`` of the split are scored.
    """

    config: str
    row: tuple[Row, ...]
    title: str = ""
    seeds: tuple[int, ...] = (0, 1, 2)
    parts: tuple[str, ...] = ("validation", "test")
    set: dict[str, Any] = field(default_factory=dict)


def load_study(path: str | Path) -> Study:
    """Reads a study and checks the configuration of every row.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not TOML, an unknown key, or a row whose configuration breaks a rule; file, row
            and key are named.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such study: '{path}'")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        study = build(Study, table)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    if not study.row or not study.seeds:
        raise ValueError(f"{path}: a study needs at least one row and one seed")
    names = [row.name for row in study.row]
    for row in study.row:
        if names.count(row.name) > 1:
            raise ValueError(f"{path}: two rows are named '{row.name}'")
        try:
            load_config(path.parent / study.config, {**study.set, **row.set})
        except ValueError as error:
            raise ValueError(f"{path}: row '{row.name}': {error}") from error
    return study


def run_one(
    path: Path, row_name: str, seed: int, output: Path, data: str | None, threads: int | None
) -> None:
    """Trains and scores one row with one seed, unless its result stands; goes on where it stood.

    Raises:
        As :func:`deeplight.training.train`.
    """
    from deeplight.models import load_network
    from deeplight.training.data import load_data
    from deeplight.training.loop import train
    from deeplight.training.scoring import baseline_sums, network_sums

    folder = _folder(output, row_name, seed)
    study = load_study(path)
    (row,) = (row for row in study.row if row.name == row_name)
    overrides = {**study.set, **row.set, "run.seed": seed, "weights.dtype": "float32"}
    if data is not None:
        overrides["data.root"] = data
    config = load_config(path.parent / study.config, overrides)
    resume = (folder / "checkpoint.safetensors").exists()
    rasters = load_data(config)
    weights = train(config, folder, resume=resume, data=rasters, threads=threads)
    network, card = load_network(weights)
    scores: dict[str, Any] = {}
    for part in study.parts:
        lit_above = config.patches.lit_above
        baselines = baseline_sums(rasters, part, lit_above, ridge=False)
        network_part = network_sums(network, rasters, part, lit_above)
        scores[part] = _plain_scores({"network": network_part, "bicubic": baselines["bicubic"]})
    result = {
        "row": row.name,
        "seed": seed,
        "digest": config.digest(),
        "parameters": sum(p.numel() for p in network.parameters()),
        "best_step": card["training"]["best_step"],
        "scores": scores,
    }
    write_whole(folder / "result.json", (json.dumps(result, indent=1) + "\n").encode())


def _plain_scores(sums: dict[str, Any]) -> dict[str, float]:
    from deeplight.intervals import scores_of

    of = {name: scores_of(s.sums.sum(0), s.data_range) for name, s in sums.items()}
    scores = {key: float(value) for key, value in of["network"].items()}
    scores["gain"] = scores["lit_psnr"] - float(of["bicubic"]["lit_psnr"])
    return scores


def run_study(
    path: Path,
    output: Path,
    *,
    data: str | None = None,
    jobs: int = 1,
    threads: int | None = None,
    report: Callable[[str, int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Runs what is missing of a study, each run in a process of its own.

    Args:
        path: of the study.
        output: folder of the runs; ``ROW/SEED/result.json`` each.
        data: folder of the rasters, instead of ``data.root``.
        jobs: processes at a time.
        threads: of each; the machine's divided by ``jobs`` when None.
        report: called with a run's name, and how many of all are done.

    Returns:
        Every result.

    Raises:
        RuntimeError: runs failed; the others are finished first. Names them, with their last line.
    """
    study = load_study(path)
    threads = threads or max(1, (os.cpu_count() or 1) // jobs)
    runs = [(row, seed) for seed in study.seeds for row in study.row]
    failures: dict[str, str] = {}
    done = 0
    with ThreadPoolExecutor(jobs) as pool:
        pending = {}
        for row, seed in runs:
            if _finished(path, study, row, seed, output):
                done += 1
                continue
            arguments = [str(path), row.name, str(seed), str(output), data or "", str(threads)]
            command = [sys.executable, "-m", "deeplight.training.study", *arguments]
            environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
            task = pool.submit(
                subprocess.run, command, env=environment, capture_output=True, text=True
            )
            pending[task] = f"{row.name}, seed {seed}"
        for task in as_completed(pending):
            finished = task.result()
            done += 1
            if finished.returncode:
                lines = finished.stderr.strip().splitlines() or ["no message"]
                failures[pending[task]] = lines[-1]
            if report is not None:
                report(pending[task], done, len(runs))
    if failures:
        raise RuntimeError("; ".join(f"{name}: {text}" for name, text in failures.items()))
    return [_result(output, row.name, seed) for row, seed in runs]


def _folder(output: Path, row: str, seed: int) -> Path:
    plain = "".join(c if c.isalnum() else "-" for c in row.lower()).strip("-")
    return output / plain / str(seed)


def _result(output: Path, row: str, seed: int) -> dict[str, Any]:
    return json.loads((_folder(output, row, seed) / "result.json").read_text())


def _finished(path: Path, study: Study, row: Row, seed: int, output: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        overrides = {**study.set, **row.set, "run.seed": seed}
        config = load_config(path.parent / study.config, overrides)
        result = _result(output, row.name, seed)
        if result["digest"] != config.digest():
            raise RuntimeError(
                f"'{_folder(output, row.name, seed)}' holds row '{row.name}' of another "
                "configuration; remove it or give another --output"
            )
        return True
    return False


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and half the width of its 95 % interval (Student's t); NaN for one seed."""

    mean: float
    half_width: float


def estimate(values: list[float]) -> Estimate:
    """Mean and interval of a few values."""
    count = len(values)
    mean = math.fsum(values) / count
    if count < 2:
        return Estimate(mean, math.nan)
    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (count - 1))
    student = _STUDENT[count - 2] if count - 2 < len(_STUDENT) else 1.96
    return Estimate(mean, student * deviation / math.sqrt(count))


def summarise(study: Study, results: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """One table row for each row of the study.

    Yields:
        ``name``, ``remark``, ``paper``, ``parameters`` and for each part ``{score: Estimate}`` with
        ``change``: the gain minus the first row's, paired by seed.
    """
    by_row: dict[str, dict[int, dict[str, Any]]] = {}
    for result in results:
        by_row.setdefault(result["row"], {})[result["seed"]] = result
    first = by_row[study.row[0].name]
    for row in study.row:
        runs = by_row[row.name]
        line: dict[str, Any] = {
            "name": row.name, "remark": row.remark, "paper": row.paper,
            "parameters": runs[study.seeds[0]]["parameters"],
        }  # fmt: skip
        for part in study.parts:
            scores = {seed: run["scores"][part] for seed, run in runs.items()}
            table = {
                key: asdict(estimate([scores[seed][key] for seed in study.seeds]))
                for key in ("gain", "lit_psnr", "lit_ssim", "light")
            }
            changes = [scores[s]["gain"] - first[s]["scores"][part]["gain"] for s in study.seeds]
            table["change"] = asdict(estimate(changes))
            line[part] = table
        yield line


def _main(path: str, row: str, seed: str, output: str, data: str, threads: str) -> None:
    try:
        run_one(Path(path), row, int(seed), Path(output), data or None, int(threads))
    except (ValueError, OSError, RuntimeError, ArithmeticError) as error:
        print(str(error).replace("\n", " "), file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    _main(*sys.argv[1:])
