"""Rules that one key of a configuration can break alone, whatever the rasters are."""

from __future__ import annotations

from typing import Any

from deeplight.training.schema import TrainingConfig

__all__ = ["check_rules"]


def check_rules(config: TrainingConfig) -> None:
    """Checks every table.

    Raises:
        ValueError: the key, its rule and the value.
    """
    _check_data(config)
    _check_split(config)
    _check_optimizer(config)
    _check_run(config)


def _require(condition: bool, key: str, rule: str, value: Any) -> None:
    if not condition:
        raise ValueError(f"'{key}' must be {rule}, got {value!r}")


def _one_of(table: Any, where: str, **choices: tuple[str, ...]) -> None:
    for key, known in choices.items():
        value = getattr(table, key)
        _require(value in known, f"{where}.{key}", " or ".join(known), value)


def _at_least(table: Any, where: str, **bounds: float) -> None:
    for key, bound in bounds.items():
        value = getattr(table, key)
        _require(value >= bound, f"{where}.{key}", f"at least {bound:g}", value)


def _check_data(config: TrainingConfig) -> None:
    data, patches, degradation = config.data, config.patches, config.data.degradation
    _at_least(data, "data", scale=1, data_range=0)
    _one_of(data, "data", kind=("rasters", "folders", "groklst"), gain=("none", "least_squares"))
    _one_of(data, "data", temperature=("", "kelvin", "celsius"))
    _require(
        not data.temperature or data.light.units == "K",
        "data.temperature", "left out unless data.light.units is \"K\"", data.temperature,
    )  # fmt: skip
    if data.kind != "rasters":
        _check_many(config)
    _require(data.light.std >= 0, "data.light.std", "0 (from the data) or above", data.light.std)
    windows = data.contrast_windows
    _require(
        bool(windows) and len(set(windows)) == len(windows)
        and all(window >= 1 and window % 2 == 1 for window in windows),
        "data.contrast_windows", "a list of different odd, positive sides", list(windows),
    )  # fmt: skip
    names = [guide.name for guide in data.guides]
    for index, guide in enumerate(data.guides):
        _require(
            names.count(guide.name) == 1, "data.guides", "guides of different names", guide.name
        )
        _require(
            all(band >= 1 for band in guide.bands),
            f"data.guides[{index}].bands", "bands counted from 1", list(guide.bands),
        )  # fmt: skip
        _one_of(
            guide, f"data.guides[{index}]",
            contrast=("none", "difference", "standardised"), transform=("linear", "log1p", "asinh"),
        )  # fmt: skip
        _require(
            guide.transform_scale > 0,
            f"data.guides[{index}].transform_scale", "above 0", guide.transform_scale,
        )  # fmt: skip
    _at_least(patches, "patches", patch=1, batch=1)

    where = "data.degradation"
    _one_of(degradation, where, psf=("none", "gaussian", "measured"))
    _at_least(degradation, where, sigma=0, saturation=0)
    _require(
        (degradation.psf == "gaussian") == (degradation.sigma > 0),
        f"{where}.sigma", "above 0 with psf = \"gaussian\", and 0 otherwise", degradation.sigma,
    )  # fmt: skip
    _require(
        (degradation.psf == "measured") == bool(degradation.kernel),
        f"{where}.kernel", "a raster with psf = \"measured\", and empty otherwise",
        degradation.kernel,
    )  # fmt: skip
    if data.low_resolution:
        _require(
            not patches.random_phase,
            "patches.random_phase",
            "false with a real data.low_resolution: the block grid cannot move",
            True,
        )
        simulated = degradation.psf != "none" or degradation.saturation > 0
        _require(
            not simulated, where, "left out with a real data.low_resolution",
            degradation.psf if degradation.psf != "none" else degradation.saturation,
        )  # fmt: skip
    else:
        _require(
            data.gain == "none",
            "data.gain",
            "none where the low resolution is simulated from the target",
            data.gain,
        )
    for key in ("scale", "guides"):
        if key in config.model.options:
            raise ValueError(f"'model.options.{key}' follows from [data]; leave it out")


def _check_many(config: TrainingConfig) -> None:
    """Rules of data that are many images."""
    data, split = config.data, config.split
    kind = f'data.kind = "{data.kind}"'
    absent = ["auxiliary", "valid"]
    if data.kind == "groklst":
        absent.append("temperature")
        _require(
            bool(data.low_resolution), "data.low_resolution",
            "a folder of the data set, e.g. \"240m/lst\"", data.low_resolution,
        )  # fmt: skip
        _require(data.light.units == "K", "data.light.units", '"K"', data.light.units)
    for key in absent:
        value = getattr(data, key)
        _require(not value, f"data.{key}", f"left out with {kind}", value)
    _require(
        data.degradation.psf == "none", "data.degradation.psf",
        f"\"none\" with {kind}: images stand side by side", data.degradation.psf,
    )  # fmt: skip
    for index, guide in enumerate(data.guides):
        _require(
            guide.contrast == "none", f"data.guides[{index}].contrast",
            f"\"none\" with {kind}: images stand side by side", guide.contrast,
        )  # fmt: skip
    for key in ("train", "validation", "test", "context"):
        _require(
            not getattr(split, key), f"split.{key}",
            f"left out with {kind}, which has lists of its own", True,
        )  # fmt: skip
    _require(split.blocks.size == 0, "split.blocks.size", f"0 with {kind}", split.blocks.size)


def _check_split(config: TrainingConfig) -> None:
    split, blocks = config.split, config.split.blocks
    if config.data.kind != "rasters":
        return
    _at_least(split, "split", buffer=0)
    _at_least(blocks, "split.blocks", size=0, folds=2, fold=0, test_fold=-1)
    if blocks.size == 0:
        for key in ("train", "validation"):
            _require(
                bool(getattr(split, key)), f"split.{key}",
                "a list of regions, unless split.blocks gives the parts", [],
            )  # fmt: skip
        return
    for key in ("train", "validation", "test"):
        _require(
            not getattr(split, key), f"split.{key}", "left out with split.blocks",
            len(getattr(split, key)),
        )  # fmt: skip
    _require(
        blocks.size > 2 * split.buffer,
        "split.blocks.size", f"above 2 x split.buffer = {2 * split.buffer}", blocks.size,
    )  # fmt: skip
    for key in ("fold", "test_fold"):
        value = getattr(blocks, key)
        _require(
            value < blocks.folds, f"split.blocks.{key}", f"below folds = {blocks.folds}", value
        )
    _require(
        blocks.test_fold != blocks.fold,
        "split.blocks.test_fold", "another fold than split.blocks.fold", blocks.test_fold,
    )  # fmt: skip
    _require(
        blocks.folds >= 3 or blocks.test_fold < 0,
        "split.blocks.folds", "at least 3 with a test fold, or nothing is left to train on",
        blocks.folds,
    )  # fmt: skip


def _check_optimizer(config: TrainingConfig) -> None:
    optimizer = config.optimizer
    _require(optimizer.lr > 0, "optimizer.lr", "above 0", optimizer.lr)
    _require(
        len(optimizer.betas) == 2 and all(0 <= b < 1 for b in optimizer.betas),
        "optimizer.betas",
        "two numbers in [0, 1)",
        list(optimizer.betas),
    )
    _at_least(optimizer, "optimizer", weight_decay=0, clip=0, warmup=0, accumulate=1, cycles=1)
    _require(0 <= optimizer.floor <= 1, "optimizer.floor", "in [0, 1]", optimizer.floor)
    _one_of(optimizer, "optimizer", schedule=("cosine", "one_cycle", "constant"))
    _require(
        optimizer.cycles == 1 or optimizer.schedule == "cosine",
        "optimizer.cycles", "1 unless optimizer.schedule is \"cosine\"", optimizer.cycles,
    )  # fmt: skip
    _one_of(config.init, "init", statistics=("data", "card"))
    if not config.init.weights:
        _require(
            config.init.statistics == "data", "init.statistics", "data without init.weights",
            config.init.statistics,
        )  # fmt: skip


def _check_run(config: TrainingConfig) -> None:
    run = config.run
    _at_least(run, "run", steps=1, validate_every=1, checkpoint_every=1, log_every=1)
    _require(
        config.optimizer.cycles <= run.steps,
        "optimizer.cycles", f"at most run.steps = {run.steps}", config.optimizer.cycles,
    )  # fmt: skip
    _at_least(run, "run", early_stopping=0)
    _one_of(run, "run", precision=("float32", "bf16", "fp16"), averaging=("ema", "tail", "none"))
    _require(0 <= run.ema < 1, "run.ema", "in [0, 1)", run.ema)
    _require(0 < run.tail_share <= 1, "run.tail_share", "in (0, 1]", run.tail_share)
