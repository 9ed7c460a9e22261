"""What a card says of light and guides, from training pixels or from the card of other weights.

Statistics are in float64 and see the training region only.
"""

from __future__ import annotations

import json
from typing import Any

import torch

from deeplight import _native, baselines
from deeplight.training.schema import DataConfig, GuideConfig, InitConfig

__all__ = [
    "InitialCard",
    "describe_guide",
    "describe_light",
    "least_squares_gain",
]

# Beyond these a raster contradicts the card that it is held to.
_MEAN_IN_STDS = 3.0
_STD_RATIO = 5.0

#: What a guide and a card's guide must share for their statistics to be comparable.
_SAME_QUANTITY = ("name", "bands", "transform", "transform_scale")


def describe_light(data: DataConfig, values: torch.Tensor, path: str) -> dict[str, Any]:
    """The card's description of the output; ``values`` are the target's training pixels.

    Raises:
        ValueError: no valid pixel, or a constant target whose deviation is asked for.
    """
    light = data.light
    if values.numel() == 0:
        raise ValueError(f"the training region of target '{path}' holds no valid pixel")
    described = {
        "units": light.units,
        "transform": light.transform,
        "transform_scale": light.transform_scale,
        "mean": light.mean,
        "std": light.std,
        "minimum": float(values.min()),
        "maximum": float(values.max()),
    }
    if light.std == 0:
        identity = {**described, "mean": 0.0, "std": 1.0}
        description = {"low_resolution": identity, "output": identity, "guides": []}
        preprocessor = _native.Preprocessor(json.dumps(description), data.scale)
        spread = float(preprocessor.target(values.view(1, 1, 1, -1)).double().std())
        if not spread > 0:
            raise ValueError(
                f"target '{path}' is constant over the training region ({float(values[0]):g}); "
                "'data.light.std' may state its deviation"
            )
        described["std"] = spread
    return described


def least_squares_gain(
    data: DataConfig, low: torch.Tensor, means: torch.Tensor, cells: torch.Tensor, path: str
) -> float:
    """The gain of :func:`deeplight.baselines.least_squares_gain` over training cells.

    Args:
        data: of the configuration.
        low: x, low resolution ``[1, h, w]``, NaN where invalid.
        means: y, block means of the target ``[1, h, w]``, NaN where invalid.
        cells: training cells, bool ``[h, w]``.
        path: of the low resolution, for messages.

    Raises:
        ValueError: a transform or mean with which a gain cannot be part of the deviation; no cell
            with light; a gain that is not above 0.
    """
    light = data.light
    if light.transform != "linear" or light.mean != 0:
        raise ValueError(
            "'data.gain' = 'least_squares' needs 'data.light' with transform 'linear' and mean 0, "
            f"got '{light.transform}' and {light.mean:g}"
        )
    try:
        return baselines.least_squares_gain(low[:, cells], means[:, cells])
    except ValueError as error:
        raise ValueError(f"low resolution '{path}' over the training region: {error}") from None


def describe_guide(
    data: DataConfig,
    guide: GuideConfig,
    bands: list[Any],
    values: torch.Tensor,
    valid: torch.Tensor,
    train: torch.Tensor,
    card: InitialCard,
) -> dict[str, Any]:
    """The card's description of a guide.

    Args:
        data: of the configuration.
        guide: of the configuration.
        bands: what the file says of them.
        values: ``[bands, H, W]``.
        valid: bool ``[bands, H, W]``.
        train: training pixels, bool ``[H, W]``.
        card: what the run starts from.

    Raises:
        ValueError: a band without a valid pixel in the training region, a constant one, one that
            contradicts the card with ``init.statistics = "card"``.
    """
    described: dict[str, Any] = {
        "name": guide.name,
        "bands": values.shape[0],
        "units": guide.units or bands[0].units,
        "band_names": [band.name for band in bands],
        "transform": guide.transform,
        "transform_scale": guide.transform_scale,
        "contrast": guide.contrast,
    }
    x = _transformed(described, values, valid, data.scale)
    described.update(_band_statistics(guide, values, x, valid & train))
    spread = card.settle(described, data.contrast_windows)
    if guide.contrast == "standardised":
        described["contrast_spread"] = spread or _contrast_spread(
            described, data.contrast_windows, x, valid, train
        )
    return described


def _transformed(
    described: dict[str, Any], values: torch.Tensor, valid: torch.Tensor, scale: int
) -> torch.Tensor:
    """T(values / transform_scale), by the preprocessor itself; the values where T is linear."""
    if described["transform"] == "linear" and described["transform_scale"] == 1:
        return values
    plain = {key: described[key] for key in _SAME_QUANTITY}
    preprocessor = _native.Preprocessor(json.dumps({"guides": [plain]}), scale)
    return preprocessor.guide(described["name"], values[None], valid[None])[0]


def _band_statistics(
    guide: GuideConfig, values: torch.Tensor, transformed: torch.Tensor, usable: torch.Tensor
) -> dict[str, list[float]]:
    """Mean and deviation of the transformed values, range of the values themselves."""
    numbers = guide.bands or range(1, values.shape[0] + 1)
    result: dict[str, list[float]] = {"mean": [], "std": [], "minimum": [], "maximum": []}
    for band, image, seen, mask in zip(numbers, values, transformed, usable, strict=True):
        raw, pixels = image[mask], seen[mask].double()
        where = f"band {band} of guide '{guide.name}' ('{guide.path}')"
        if pixels.numel() == 0:
            raise ValueError(f"{where} holds no valid pixel in the training region")
        if not float(pixels.std()) > 0:
            raise ValueError(f"{where} is constant over the training region ({float(raw[0]):g})")
        result["mean"].append(float(pixels.mean()))
        result["std"].append(float(pixels.std()))
        result["minimum"].append(float(raw.min()))
        result["maximum"].append(float(raw.max()))
    return result


def _contrast_spread(
    described: dict[str, Any],
    windows: tuple[int, ...],
    values: torch.Tensor,
    valid: torch.Tensor,
    train: torch.Tensor,
) -> list[list[float]]:
    """Deviation of the contrast c_w (``GuideContrast`` of the card), ``[windows][bands]``."""
    mean, std = (torch.tensor(described[key]).double()[:, None, None] for key in ("mean", "std"))
    x = torch.where(valid, (values.double() - mean) / std, 0)
    spreads = []
    for window in windows:
        contrast = x - _native.masked_box_mean(x[None], window, valid[None])[0]
        bands = zip(contrast, valid & train, strict=True)
        spreads.append([float(image[usable].std()) for image, usable in bands])
    return spreads


class InitialCard:
    """The card of ``init.weights``: gives its statistics, or says where rasters contradict it.

    Attributes:
        notes: contradictions that were accepted, as sentences.

    Raises:
        FileNotFoundError: ``init.statistics = "card"`` and there is no card.
        ValueError: the card is damaged.
    """

    def __init__(self, init: InitConfig) -> None:
        from deeplight.weights import load_card

        self._init = init
        self._preprocessing: dict[str, Any] = {}
        self.notes: list[str] = []
        if not init.weights:
            return
        try:
            self._preprocessing = load_card(init.weights)["preprocessing"]
        except FileNotFoundError:
            if init.statistics == "card":
                raise

    def review(self, preprocessing: dict[str, Any]) -> list[str]:
        """The notes on data that were prepared with their own statistics."""
        self.compare_light(preprocessing["low_resolution"])
        for guide in preprocessing["guides"]:
            self.settle(dict(guide), tuple(preprocessing["contrast_windows"]))
        return self.notes

    def settle(
        self, described: dict[str, Any], windows: tuple[int, ...]
    ) -> list[list[float]] | None:
        """Puts the card's statistics into a guide's description where they are asked for.

        A guide is known by name, number of bands and transform; others keep their own statistics.

        Returns:
            The card's contrast spread where it is asked for and has these windows.

        Raises:
            ValueError: see :func:`describe_guide`.
        """
        known = next(
            (
                guide
                for guide in self._preprocessing.get("guides", ())
                if all(guide[key] == described[key] for key in _SAME_QUANTITY)
                and guide["mean"] and guide["std"]
            ),
            None,
        )  # fmt: skip
        if known is None:
            return None
        contradiction = _contradiction(described, known, self._init.weights)
        if self._init.statistics != "card":
            self.notes += [contradiction] if contradiction else []
            return None
        if contradiction:
            raise ValueError(
                f"{contradiction}: 'init.statistics' = 'card' is for rasters of the same sensor "
                "and units; 'data' takes the statistics of these"
            )
        described["mean"], described["std"] = known["mean"], known["std"]
        for key, widest in (("minimum", min), ("maximum", max)):
            if known[key]:
                described[key] = [*map(widest, known[key], described[key])]
        same_windows = self._preprocessing["contrast_windows"] == list(windows)
        return known["contrast_spread"] or None if same_windows else None

    def compare_light(self, described: dict[str, Any]) -> None:
        """Notes a low resolution that is not normalised as the weights expect."""
        known = self._preprocessing.get("low_resolution")
        if known is None:
            return
        keys = ("transform", "transform_scale", "mean")
        differing = [key for key in keys if known[key] != described[key]]
        ratio = described["std"] / known["std"]
        if not 1 / _STD_RATIO <= ratio <= _STD_RATIO:
            differing.append("std")
        if differing:
            pairs = (f"{key} {described[key]} here, {known[key]} there" for key in differing)
            self.notes.append(
                "light is normalised otherwise than for the weights "
                f"'{self._init.weights}': {', '.join(pairs)}"
            )


def _contradiction(here: dict[str, Any], card: dict[str, Any], weights: str) -> str:
    """The first band whose statistics lie far from the card's, as a sentence; else empty.

    Little ground varies less than a continent without being of another sensor: a small deviation
    counts only where the whole range of values is as narrow.
    """
    for band in range(here["bands"]):
        mean, std = here["mean"][band], here["std"][band]
        card_mean, card_std = card["mean"][band], card["std"][band]
        where = f"band {band + 1} of guide '{here['name']}'"
        card_text = f"in the card of '{weights}'"
        if abs(mean - card_mean) > _MEAN_IN_STDS * card_std:
            return (
                f"{where} has mean {mean:g}, {card_mean:g} {card_text}, further than "
                f"{_MEAN_IN_STDS:g} of its standard deviations ({card_std:g})"
            )
        ratio = std / card_std
        if card["minimum"] and card["maximum"]:
            spread, card_spread = (t["maximum"][band] - t["minimum"][band] for t in (here, card))
            ratio = max(ratio, min(spread / card_spread, 1.0)) if card_spread > 0 else ratio
        if not 1 / _STD_RATIO <= ratio <= _STD_RATIO:
            return (
                f"{where} has standard deviation {std:g}, {card_std:g} {card_text}, a ratio "
                f"outside 1/{_STD_RATIO:g} to {_STD_RATIO:g}"
            )
    return ""
