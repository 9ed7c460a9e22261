"""Prediction on many machines: plan once, run shards anywhere, merge.

A plan is a JSON file: which weights and rasters, with what options, and the description of each
output's job with checksums of weights and inputs. A shard computes its share of every output's
tiles into a folder beside the output, resumably; merging checks that every tile is there and of
this job. The result has the bytes of :meth:`deeplight.Predictor.predict` on one machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import _native
from .files import whole_file
from .predictor import (
    PathLike,
    Prediction,
    Predictor,
    as_paths,
    guide_pairs,
    load,
    prediction_of,
    progress_of,
    quality_texts,
)

__all__ = ["Plan", "load_plan", "make_plan", "merge", "run_shard"]

FORMAT = "deeplight-plan-1"

#: Options that decide values, or how the output is written; the others a shard may choose itself.
PLANNED = (
    "qa",
    "align",
    "tile",
    "consistency",
    "non_negative",
    "self_ensemble",
    "uncertainty",
    "nodata",
    "overwrite",
    "compression",
    "format",
    "precision",
    "batch",
    "scratch",
)


@dataclass(frozen=True)
class Plan:
    """Work that can be shared.

    Attributes:
        weights: as ``deeplight.load`` takes them; those to average with follow the first.
        low_resolution: absolute paths.
        outputs: absolute paths, one for each low-resolution raster.
        guides: absolute paths by name.
        options: of :meth:`deeplight.Predictor.predict`, those that decide the result.
        jobs: of each output: ``digest``, ``tiles``, ``groups`` (what shards consist of), ``job``.
    """

    weights: list[str]
    low_resolution: list[str]
    outputs: list[str]
    guides: dict[str, str]
    options: dict[str, Any] = field(default_factory=dict)
    jobs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def tiles(self) -> int:
        """Of all outputs."""
        return sum(job["tiles"] for job in self.jobs)

    def save(self, path: PathLike) -> Path:
        """Writes the plan as JSON, whole or not at all.

        Raises:
            OSError: the folder is missing or not writable.
        """
        data = {"format": FORMAT, **self.__dict__}
        with whole_file(Path(path)) as partial:
            partial.write_text(json.dumps(data, indent=1) + "\n")
        return Path(path)

    def load_weights(self) -> Predictor:
        """The predictor that runs this plan."""
        return load(self.weights[0], average=self.weights[1:])


def load_plan(path: PathLike) -> Plan:
    """Reads a plan.

    Raises:
        OSError: the file is missing.
        ValueError: it is no plan.
    """
    try:
        data = json.loads(Path(path).read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"'{path}' is not a plan: {error}") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError(f"'{path}' is not a plan of this version ({FORMAT})")
    del data["format"]
    try:
        return Plan(**data)
    except TypeError as error:
        raise ValueError(f"'{path}' is not a plan: {error}") from error


def make_plan(
    weights: PathLike | Sequence[PathLike],
    low_resolution: PathLike | Sequence[PathLike],
    guides: Mapping[str, PathLike] | None = None,
    out: PathLike | Sequence[PathLike] | None = None,
    **options: Any,
) -> Plan:
    """Checks everything as ``predict`` does, and describes the work.

    Args:
        weights: as ``deeplight.load`` takes them; several are averaged.
        low_resolution: a path or several.
        guides: a path by guide name.
        out: a path for each low-resolution raster, or a folder. The folder must be seen by every
            machine under the same path.
        **options: of :meth:`deeplight.Predictor.predict`, those of :data:`PLANNED`.

    Raises:
        TypeError: an option that a plan does not take.
        ValueError, OSError: as ``predict``.
    """
    unknown = sorted(set(options) - set(PLANNED))
    if unknown:
        raise TypeError(f"a plan does not take {', '.join(unknown)}; it takes {', '.join(PLANNED)}")
    names = [_absolute_if_file(name) for name in as_paths(weights)]
    predictor = load(names[0], average=names[1:])
    inputs = as_paths(low_resolution)
    plan = Plan(
        weights=names,
        low_resolution=[_absolute(path) for path in inputs],
        outputs=[
            _absolute(path) for path in predictor.outputs(inputs, out, options.get("format", ""))
        ],
        guides={name: _absolute(path) for name, path in (guides or {}).items()},
        options={key: _absolute_option(key, value) for key, value in options.items()},
    )
    jobs = _native.plan_prediction(
        predictor.network.native,
        json.dumps(predictor.card),
        *_rasters(plan),
        guide_pairs(plan.guides),
        **_options(plan),
    )
    plan.jobs.extend(json.loads(job) for job in jobs)
    return plan


def run_shard(
    plan: Plan,
    index: int,
    count: int,
    *,
    predictor: Predictor | None = None,
    prefetch: int = 1,
    threads: int = 0,
    devices: Sequence[str] = (),
    progress: bool | Callable[[int, int], bool | None] = True,
) -> Prediction:
    """Computes shard `index` of `count`, counted from 0; one that was interrupted goes on.

    Args:
        plan: see :func:`make_plan`.
        index: from 0 to ``count - 1``.
        count: shards in all. Shards of different counts may be mixed: merging asks only that every
            tile is there.
        predictor: the plan's weights where they are loaded already.
        prefetch: tiles read ahead.
        threads: of PyTorch's operators; 0 leaves them as they are.
        devices: as in ``predict``.
        progress: as in ``predict``.

    Returns:
        For each output the shard's folder, its tiles and how many were there already.

    Raises:
        ValueError: no such shard; weights, inputs or options are not those planned, and which.
        OSError: a file is missing, the disk refused, another process computes this shard.
    """
    predictor = predictor or plan.load_weights()
    with progress_of(progress) as report_progress:
        report = _native.predict_shard(
            predictor.network.native,
            json.dumps(predictor.card),
            *_rasters(plan),
            guide_pairs(plan.guides),
            [json.dumps(job) for job in plan.jobs],
            index,
            count,
            **_options(plan),
            prefetch=prefetch,
            threads=threads,
            devices=[*devices],
            progress=report_progress,
        )
    return prediction_of(report)


def merge(plan: Plan) -> Prediction:
    """Assembles the outputs once every tile is there, and removes the shards.

    Raises:
        ValueError: tiles are missing, damaged, or of another job than planned.
        OSError: a shard is still being computed, the disk refused.
    """
    from .weights import load_card

    card = load_card(plan.weights[0])
    report = _native.merge_shards(
        json.dumps(card), *_rasters(plan), [json.dumps(job) for job in plan.jobs], **_options(plan)
    )
    return prediction_of(report)


def _rasters(plan: Plan) -> tuple[list[Path], list[Path]]:
    return [Path(path) for path in plan.low_resolution], [Path(path) for path in plan.outputs]


def _options(plan: Plan) -> dict[str, Any]:
    options = dict(plan.options)
    if options.get("scratch") is not None:
        options["scratch"] = Path(options["scratch"])
    return options


def _absolute_option(key: str, value: Any) -> Any:
    if key == "scratch" and value is not None:
        return _absolute(value)
    if key == "qa":
        masks = [text.rpartition(":") for text in quality_texts(value)]
        return [f"{_absolute(file)}:{bits}" for file, _, bits in masks]
    return value


def _absolute(path: PathLike) -> str:
    """A path that holds in another working folder; names that GDAL resolves stay as they are."""
    text = str(path)
    return text if ":" in text or text.startswith("/vsi") else str(Path(text).absolute())


def _absolute_if_file(name: PathLike) -> str:
    return _absolute(name) if Path(name).exists() else str(name)
