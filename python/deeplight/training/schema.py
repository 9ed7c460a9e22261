"""The tables of a training configuration, as dataclasses; :mod:`.config` reads them from TOML.

Native tables (``[model.options]``, ``[loss]``) are handed on and checked by the code that has them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "BlocksConfig",
    "DataConfig",
    "DegradationConfig",
    "GuideConfig",
    "InitConfig",
    "LightConfig",
    "ModelConfig",
    "OptimizerConfig",
    "PatchConfig",
    "RegionConfig",
    "RunConfig",
    "SplitConfig",
    "TrainingConfig",
    "WeightsConfig",
]


@dataclass(frozen=True)
class GuideConfig:
    """One guide raster: ``[[data.guides]]``. Statistics are computed over the training region.

    A value becomes ``(T(x / transform_scale) - mean) / std``; ``transform`` is "linear", or "asinh"
    or "log1p" for values with a long tail, such as counts of people.
    ``bands`` selects and orders bands of the raster, counted from 1; all when empty. ``contrast``
    adds channels that say how a pixel differs from its surroundings: "none", "difference" or
    "standardised" (``deeplight/data/preprocessor.hpp``).
    """

    name: str
    path: str
    units: str = ""
    transform: str = "linear"
    transform_scale: float = 1.0
    contrast: str = "none"
    bands: tuple[int, ...] = ()


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
class DegradationConfig:
    """How a low resolution is simulated before its block mean: ``[data.degradation]``.

    ``psf`` is "none", "gaussian" (``sigma`` in target pixels) or "measured" (``kernel``, a raster
    of odd sides on the target's grid, normalised to sum 1). Values of the low resolution above
    ``saturation`` are cut to it, as a sensor does; 0 is off.
    """

    psf: str = "none"
    sigma: float = 0.0
    kernel: str = ""
    saturation: float = 0.0


@dataclass(frozen=True)
class DataConfig:
    """Rasters, relative to ``root``: ``[data]``. Without ``low_resolution`` it is simulated.

    ``valid`` is a raster on the target's grid whose zeros are left out. ``align`` reprojects guides
    that lie on another grid. ``gain = "least_squares"`` multiplies a real low resolution of another
    sensor by its least-squares gain over the training region; the card keeps it.

    ``kind`` is "rasters", or "folders" (:mod:`deeplight.training.image_stack`) or "groklst"
    (:mod:`deeplight.training.groklst`): then target, low resolution and guides are folders of many
    images, and the data set's own lists are the split.

    Temperatures (``light.units = "K"``) become kelvin: ``temperature`` is "kelvin" or "celsius", or
    empty where the rasters state their units.
    """

    target: str
    root: str = "."
    kind: str = "rasters"
    temperature: str = ""
    low_resolution: str = ""
    auxiliary: str = ""
    auxiliary_name: str = ""
    valid: str = ""
    scale: int = 8
    data_range: float = 0.0
    align: bool = False
    gain: str = "none"
    contrast_windows: tuple[int, ...] = (17,)
    light: LightConfig = field(default_factory=LightConfig)
    degradation: DegradationConfig = field(default_factory=DegradationConfig)
    guides: tuple[GuideConfig, ...] = ()


@dataclass(frozen=True)
class RegionConfig:
    """A rectangle of low-resolution cells, first and last included; all of an absent axis."""

    rows: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()


@dataclass(frozen=True)
class BlocksConfig:
    """Parts from a chequerboard of square blocks: ``[split.blocks]``; ``size = 0`` is off.

    Blocks are dealt to ``folds`` folds at random; fold ``fold`` is the validation part, fold
    ``test_fold`` the test part (-1: none), the others train.
    """

    size: int = 0
    folds: int = 5
    fold: int = 0
    test_fold: int = -1
    seed: int = 0


@dataclass(frozen=True)
class SplitConfig:
    """Spatial parts: ``[split]``. They must lie ``buffer`` low-resolution cells apart.

    A prediction of a held-out part reads that part alone; with ``context`` it reads the
    surroundings too, as on a raster, and ``buffer`` must cover the network's receptive field.
    ``force`` accepts parts that are closer than what is read across their borders.
    """

    train: tuple[RegionConfig, ...] = ()
    validation: tuple[RegionConfig, ...] = ()
    test: tuple[RegionConfig, ...] = ()
    blocks: BlocksConfig = field(default_factory=BlocksConfig)
    buffer: int = 2
    context: bool = False
    force: bool = False


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
class InitConfig:
    """Where a run starts: ``[init]``. ``weights`` is a shipped name or a file; empty: at random.

    Parameters of the same name and shape are taken, the rest is reported and stays random.
    ``freeze`` lists parts (prefixes of parameter names) that are not trained. ``statistics`` is
    "data" (guide statistics of these rasters) or "card" (those of the weights, for the same
    sensor; rasters that contradict them are refused). A file is relative to the configuration.
    """

    weights: str = ""
    freeze: tuple[str, ...] = ()
    statistics: str = "data"

    def sha256(self) -> str:
        """Of the initial weights' file, wherever it lies; empty where there are none.

        Raises:
            FileNotFoundError: no such weights.
        """
        from deeplight import _native
        from deeplight.weights import resolve_weights

        return (
            _native.safetensors_sha256(str(resolve_weights(self.weights))) if self.weights else ""
        )


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW, warm-up and a schedule: ``[optimizer]``.

    ``schedule`` is "cosine" (linear warm-up, then down to ``floor * lr``, ``cycles`` times, each
    time from the top again), "one_cycle" (up over ``warmup`` steps by half a cosine, momentum
    mirrored) or "constant" (after the warm-up).
    A step adds up ``accumulate`` batches.
    """

    lr: float = 5e-4
    betas: tuple[float, ...] = (0.9, 0.99)
    weight_decay: float = 0.2
    clip: float = 1.0
    schedule: str = "cosine"
    warmup: int = 100
    floor: float = 0.02
    cycles: int = 1
    accumulate: int = 1


@dataclass(frozen=True)
class RunConfig:
    """Length, precision and rhythm: ``[run]``. ``early_stopping`` counts validations; 0 is off.

    ``averaging`` is "ema" (decay ``ema``), "tail" (mean of the weights over the last
    ``tail_share`` of the steps) or "none". ``self_ensemble`` validates with the eightfold ensemble.
    ``deterministic`` lets only deterministic operators run. ``checkpoint_activations`` keeps each
    part's inputs alone between forward and backward: less memory, longer steps, the same weights.
    """

    steps: int = 1200
    seed: int = 0
    precision: str = "float32"
    channels_last: bool = False
    averaging: str = "ema"
    ema: float = 0.998
    tail_share: float = 0.25
    self_ensemble: bool = False
    deterministic: bool = False
    checkpoint_activations: bool = False
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
    """A whole configuration."""

    data: DataConfig
    split: SplitConfig
    patches: PatchConfig = field(default_factory=PatchConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    init: InitConfig = field(default_factory=InitConfig)
    loss: dict[str, Any] = field(default_factory=dict)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    run: RunConfig = field(default_factory=RunConfig)
    weights: WeightsConfig = field(default_factory=WeightsConfig)

    def to_dict(self) -> dict[str, Any]:
        """Plain tables, as JSON holds them."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    def identity(self) -> dict[str, Any]:
        """The tables without what changes nothing that is computed, such as where the data lie.

        Initial weights are named by their SHA-256.
        """
        table = _as_ever(self.to_dict())
        del table["data"]["root"], table["weights"]
        for key in ("checkpoint_every", "log_every", "checkpoint_activations"):
            del table["run"][key]
        table["init"]["weights"] = self.init.sha256()
        return table

    def digest(self) -> str:
        """SHA-256 of :meth:`identity`."""
        return _digest(self.identity())

    def data_tables(self) -> dict[str, Any]:
        """What :func:`deeplight.training.load_data` depends on, the root left out.

        Initial weights belong to it where their card's statistics are taken.
        """
        table = self.identity()
        tables = {key: table[key] for key in ("data", "split")}
        if self.init.statistics == "card":
            tables["init"] = {key: table["init"][key] for key in ("statistics", "weights")}
        return tables

    def data_digest(self) -> str:
        """SHA-256 of :meth:`data_tables`."""
        return _digest(self.data_tables())


#: Keys younger than files that hold a digest. Where they say what was always so, they are left out.
_YOUNGER = (("data", "kind", "rasters"), ("data", "temperature", ""), ("optimizer", "cycles", 1))


def _as_ever(table: dict[str, Any]) -> dict[str, Any]:
    for name, key, value in _YOUNGER:
        if table[name][key] == value:
            del table[name][key]
    for guide in table["data"]["guides"]:
        if (guide["transform"], guide["transform_scale"]) == ("linear", 1.0):
            del guide["transform"], guide["transform_scale"]
    return table


def _digest(table: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()
