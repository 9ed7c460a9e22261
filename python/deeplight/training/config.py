"""The training configuration: a TOML file read into dataclasses, strictly.

An unknown key names the nearest known one, a wrong type names the key. Tables that the native code
describes itself (``[model.options]``, ``[loss]``) are handed on and checked there.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import math
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = [
    "DataConfig",
    "GuideConfig",
    "LightConfig",
    "ModelConfig",
    "OptimizerConfig",
    "PatchConfig",
    "RegionConfig",
    "RunConfig",
    "SplitConfig",
    "TrainingConfig",
    "WeightsConfig",
    "load_config",
]


@dataclass(frozen=True)
class GuideConfig:
    """One guide raster: ``[[data.guides]]``. Statistics are computed over the training region."""

    name: str
    path: str
    units: str = ""
    local_contrast: bool = False


@dataclass(frozen=True)
class LightConfig:
    """Units and normalisation of low resolution and target: ``[data.light]``.

    A value becomes ``(T(x / transform_scale) - mean) / std``; ``std = 0`` takes the standard
    deviation of the transformed training pixels. ``mean = 0`` keeps darkness at zero.
    """

    units: str = ""
    transform: str = "linear"
    transform_scale: float = 1.0
    mean: float = 0.0
    std: float = 0.0


@dataclass(frozen=True)
class DataConfig:
    """Rasters, relative to ``root``: ``[data]``. Without ``low_resolution`` it is block means."""

    target: str
    root: str = "."
    low_resolution: str = ""
    auxiliary: str = ""
    auxiliary_name: str = ""
    scale: int = 8
    data_range: float = 0.0
    contrast_window: int = 17
    light: LightConfig = field(default_factory=LightConfig)
    guides: tuple[GuideConfig, ...] = ()


@dataclass(frozen=True)
class RegionConfig:
    """A rectangle of low-resolution cells, first and last included; all of an absent axis."""

    rows: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()


@dataclass(frozen=True)
class SplitConfig:
    """Spatial blocks: ``[split]``. Parts must lie ``buffer`` low-resolution cells apart."""

    train: tuple[RegionConfig, ...]
    validation: tuple[RegionConfig, ...]
    test: tuple[RegionConfig, ...] = ()
    buffer: int = 2


@dataclass(frozen=True)
class PatchConfig:
    """Patch sampling: ``[patches]``; see ``deeplight/data/patch_sampler.hpp``."""

    patch: int = 24
    batch: int = 8
    random_phase: bool = True
    flips: bool = True
    lit_bias: float = 0.02
    lit_above: float = 0.0
    gain_jitter: float = 0.15
    guide_dropout: float = 0.1


@dataclass(frozen=True)
class ModelConfig:
    """A registered architecture and its options: ``[model]``; scale and guides follow the data."""

    architecture: str = "deeplight_sr"
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with linear warm-up and a cosine that ends at ``floor * lr``: ``[optimizer]``."""

    lr: float = 5e-4
    betas: tuple[float, ...] = (0.9, 0.99)
    weight_decay: float = 0.2
    clip: float = 1.0
    warmup: int = 100
    floor: float = 0.02


@dataclass(frozen=True)
class RunConfig:
    """Length, precision and rhythm: ``[run]``. ``early_stopping`` counts validations; 0 is off."""

    steps: int = 1200
    seed: int = 0
    precision: str = "float32"
    channels_last: bool = False
    ema: float = 0.998
    validate_every: int = 100
    checkpoint_every: int = 100
    log_every: int = 10
    early_stopping: int = 0


@dataclass(frozen=True)
class WeightsConfig:
    """What is written at the end, and its card: ``[weights]``."""

    name: str = "model"
    description: str = ""
    dtype: str = "float16"
    nodata_rule: str = "invalid pixels are 0 after normalisation and excluded from the loss"
    credits: str = ""
    license: str = ""


@dataclass(frozen=True)
class TrainingConfig:
    """A whole configuration; ``path`` is the file it came from."""

    data: DataConfig
    split: SplitConfig
    patches: PatchConfig = field(default_factory=PatchConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: dict[str, Any] = field(default_factory=dict)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    run: RunConfig = field(default_factory=RunConfig)
    weights: WeightsConfig = field(default_factory=WeightsConfig)

    def to_dict(self) -> dict[str, Any]:
        """Plain tables, as JSON holds them."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    def digest(self) -> str:
        """SHA-256 of everything that changes what is computed; where the data lie does not."""
        table = self.to_dict()
        del table["data"]["root"], table["weights"]
        for rhythm in ("checkpoint_every", "log_every"):
            del table["run"][rhythm]
        return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()

    def validated(self) -> TrainingConfig:
        """Itself, once every rule that one key can break alone has been checked."""
        run, optimizer, patches, data = self.run, self.optimizer, self.patches, self.data
        _check(run.steps >= 1, "run.steps", "at least 1", run.steps)
        _check(
            run.precision in ("float32", "bf16"), "run.precision", "float32 or bf16", run.precision
        )
        _check(0 <= run.ema < 1, "run.ema", "in [0, 1)", run.ema)
        for key in ("validate_every", "checkpoint_every", "log_every"):
            _check(getattr(run, key) >= 1, f"run.{key}", "at least 1", getattr(run, key))
        _check(run.early_stopping >= 0, "run.early_stopping", "0 or above", run.early_stopping)
        _check(optimizer.lr > 0, "optimizer.lr", "above 0", optimizer.lr)
        _check(
            len(optimizer.betas) == 2 and all(0 <= b < 1 for b in optimizer.betas),
            "optimizer.betas",
            "two numbers in [0, 1)",
            list(optimizer.betas),
        )
        _check(
            optimizer.weight_decay >= 0,
            "optimizer.weight_decay",
            "0 or above",
            optimizer.weight_decay,
        )
        _check(optimizer.clip >= 0, "optimizer.clip", "0 (off) or above", optimizer.clip)
        _check(optimizer.warmup >= 0, "optimizer.warmup", "0 or above", optimizer.warmup)
        _check(0 <= optimizer.floor <= 1, "optimizer.floor", "in [0, 1]", optimizer.floor)
        _check(patches.patch >= 1, "patches.patch", "at least 1", patches.patch)
        _check(patches.batch >= 1, "patches.batch", "at least 1", patches.batch)
        _check(data.scale >= 1, "data.scale", "at least 1", data.scale)
        _check(
            data.data_range >= 0, "data.data_range", "0 (from the data) or above", data.data_range
        )
        _check(data.light.std >= 0, "data.light.std", "0 (from the data) or above", data.light.std)
        _check(
            not (data.low_resolution and patches.random_phase),
            "patches.random_phase",
            "false with a real data.low_resolution: the block grid cannot move",
            True,
        )
        for key in ("scale", "guides"):
            if key in self.model.options:
                raise ValueError(f"'model.options.{key}' follows from [data]; leave it out")
        names = [guide.name for guide in data.guides]
        for name in names:
            _check(names.count(name) == 1, "data.guides", "guides of different names", name)
        return self


def _check(condition: bool, key: str, rule: str, value: Any) -> None:
    if not condition:
        raise ValueError(f"'{key}' must be {rule}, got {value!r}")


def load_config(path: str | Path, overrides: dict[str, Any] | None = None) -> TrainingConfig:
    """Reads a TOML configuration.

    Args:
        path: the file. A relative ``data.root`` is relative to its folder.
        overrides: dotted keys and values that win over the file, e.g. ``{"run.steps": 10}``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not TOML, an unknown key, a wrong type, a value out of range; the file and the
            key are named.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such configuration: '{path}'")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a TOML file: {error}") from error
    for key, value in (overrides or {}).items():
        *parents, last = key.split(".")
        inner = table
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
    try:
        config = _build(TrainingConfig, table, "").validated()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    root = Path(config.data.root).expanduser()
    if not (overrides and "data.root" in overrides):
        root = path.parent / root
    data = dataclasses.replace(config.data, root=str(root))
    return dataclasses.replace(config, data=data)


def _build(cls: type, table: Any, where: str) -> Any:
    """A dataclass from a table; ``where`` is the dotted key of the table."""
    if not isinstance(table, dict):
        raise ValueError(f"'{where}' must be a table, got {table!r}")
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for key in table:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1, cutoff=0)
            raise ValueError(
                f"unknown key '{_join(where, key)}'; did you mean '{near[0]}'? "
                f"Known: {', '.join(fields)}"
            )
    hints = typing.get_type_hints(cls)
    values = {}
    for name, described in fields.items():
        if name in table:
            values[name] = _convert(hints[name], table[name], _join(where, name))
        elif (
            described.default is dataclasses.MISSING
            and described.default_factory is dataclasses.MISSING
        ):
            raise ValueError(f"key '{_join(where, name)}' is missing")
    return cls(**values)


def _convert(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _build(typing.cast(type, kind), value, where)
    origin = typing.get_origin(kind)
    if origin is tuple:
        if not isinstance(value, list):
            raise ValueError(f"'{where}' must be a list, got {value!r}")
        inner = typing.get_args(kind)[0]
        return tuple(_convert(inner, v, f"{where}[{i}]") for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise ValueError(f"'{where}' must be a table, got {value!r}")
        return value
    if isinstance(kind, types.GenericAlias):
        raise TypeError(f"no rule for {kind}")
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    # bool is an int in Python; a number of steps must not be `true`.
    if type(value) is not kind:
        names = {int: "an integer", float: "a number", bool: "true or false", str: "a string"}
        raise ValueError(f"'{where}' must be {names[kind]}, got {value!r}")
    if kind is float and not math.isfinite(value):
        raise ValueError(f"'{where}' must be finite, got {value!r}")
    return value


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
