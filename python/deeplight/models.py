"""Networks by name: `create_model`, `list_models`, and the module that they give."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any, NamedTuple

import torch

from . import _native
from .cpp_module import CppModule
from .options import to_json
from .weights import card_path_for, load_card, resolve_weights


class Output(NamedTuple):
    """What a network gives, in its normalised units.

    Attributes:
        image: [B, 1, r*h, r*w].
        pyramid: predictions from coarse to fine; the last one is `image`.
        auxiliary_logits: [B, 1, r*h, r*w], or None without an auxiliary head.
    """

    image: torch.Tensor
    pyramid: list[torch.Tensor]
    auxiliary_logits: torch.Tensor | None


@dataclass(frozen=True)
class ModelInfo:
    """A registered architecture.

    Attributes:
        name: what `create_model` takes.
        summary: one line.
        citation: the paper.
        scales: supported integer scales.
        interpretation: whether the paper leaves layers open.
        default_options: every option with its default.
    """

    name: str
    summary: str
    citation: str
    scales: list[int]
    interpretation: bool
    default_options: dict[str, Any]


class NativeNetwork(CppModule):
    """A network of the native library as a `torch.nn.Module`."""

    _flags = ("checkpoint_activations",)

    def __init__(self, architecture: str, options_json: str):
        super().__init__(
            _native.create_model(architecture, options_json),
            (NativeNetwork, (architecture, options_json)),
        )

    def _get_name(self) -> str:
        return self.architecture

    def forward(
        self,
        low_resolution: torch.Tensor,
        guides: Mapping[str, torch.Tensor] | None = None,
        statistics: _native.ImageStatistics | None = None,
    ) -> Output:
        """Runs the native network, in normalised units.

        Args:
            low_resolution: [B, 1, h, w].
            guides: each [B, bands, r*h, r*w], by name.
            statistics: of the whole image (`image_statistics`), where `low_resolution` is a tile;
                computed from `low_resolution` itself when absent.

        Returns:
            Image, pyramid and auxiliary logits.

        Raises:
            ValueError: a guide is missing, unknown or of another shape than expected.
        """
        return Output(*self._run(low_resolution, dict(guides or {}), statistics))

    def image_statistics(self, low_resolution: torch.Tensor) -> _native.ImageStatistics:
        """Image-wide statistics of a whole low-resolution image [1, 1, h, w]."""
        return self.native.image_statistics(low_resolution)

    def representative_statistics(
        self,
        low_resolution: torch.Tensor,
        guides: Mapping[str, torch.Tensor] | None = None,
        statistics: _native.ImageStatistics | None = None,
    ) -> _native.ImageStatistics:
        """Statistics with the values that the network pools inside, recorded over one window.

        Args:
            low_resolution: [1, 1, h, w], a representative window of a raster, normalised.
            guides: each [1, bands, r*h, r*w], of the same window.
            statistics: `image_statistics` seen from this window.

        Returns:
            `statistics` with `pooled` filled, for every tile of the raster; unchanged where the
            network pools nothing (`needs_representative_pass`).
        """
        self._check_untouched()
        return self.native.representative_statistics(low_resolution, dict(guides or {}), statistics)

    @property
    def needs_representative_pass(self) -> bool:
        """Whether tiles need values that only a forward pass over a window can give."""
        return self.native.needs_representative_pass()

    @property
    def checkpoint_activations(self) -> bool:
        """Whether parts keep their inputs alone until the backward pass computes them again.

        Less memory for longer training steps; gradients stay what they are. Off at first, and no
        option of the weights.

        Raises:
            ValueError: set to True, and this architecture cannot.
        """
        return self.native.checkpoint_activations

    @checkpoint_activations.setter
    def checkpoint_activations(self, on: bool) -> None:
        self.native.checkpoint_activations = on

    @property
    def architecture(self) -> str:
        """Registered name."""
        return self.native.architecture()

    @property
    def options(self) -> dict[str, Any]:
        """Every option with its value."""
        return json.loads(self.native.options())

    @property
    def scale(self) -> int:
        """Output pixels per low-resolution pixel along each side."""
        return self.native.scale()

    @property
    def guides(self) -> dict[str, int]:
        """Guide names and bands, in their declared order."""
        return dict(self.native.guides())

    @property
    def margin(self) -> int:
        """Halo that makes tiles exact, low-resolution pixels."""
        return self.native.margin()


def create_model(name: str, **options: Any) -> NativeNetwork:
    """Creates a network with fresh weights.

    Args:
        name: a registered architecture, see `list_models`.
        **options: its options; absent ones keep their defaults. `guides` is an ordered mapping
            from name to number of bands.

    Returns:
        A `torch.nn.Module` over the native network.

    Raises:
        ValueError: unknown name or option, or a value that breaks a rule.

    Example:
        >>> net = create_model("deeplight_sr", scale=8, guides={"dmo": 7, "dem": 1})
    """
    return NativeNetwork(name, to_json(options))


def list_models() -> list[str]:
    """Names of every registered architecture, sorted."""
    return [entry["name"] for entry in _native.registered_networks()]


def model_info(name: str) -> ModelInfo:
    """What a registered architecture is.

    Raises:
        ValueError: unknown name.
    """
    for entry in _native.registered_networks():
        if entry["name"] == name:
            options = json.loads(entry["default_options"])
            return ModelInfo(**{**entry, "default_options": options})
    raise ValueError(f"unknown network '{name}'; known: {', '.join(list_models())}")


def load_network(path: str | PathLike[str]) -> tuple[NativeNetwork, dict[str, Any]]:
    """A network with its weights, in evaluation mode, and its card.

    Args:
        path: a shipped name, or a `.safetensors` file with its `.json` card beside it.

    Raises:
        OSError: a file is missing or unreadable.
        ValueError: a file is damaged, is not the one whose hash the card states, or holds other
            tensors than its architecture has.
    """
    card, weights = load_card(path), fspath(resolve_weights(path))
    stated = card["weights_sha256"]
    if stated and _native.safetensors_sha256(weights) != stated:
        raise ValueError(f"'{weights}' is not the file that its card describes (SHA-256 differs)")
    network = NativeNetwork(card["architecture"], json.dumps(card["options"]))
    if card["scale"] != network.scale:
        raise ValueError(
            f"'{card_path_for(weights)}' states scale {card['scale']}, its options build a network "
            f"of scale {network.scale}"
        )
    network.native.load_state(weights)
    network.eval()
    return network, card
