"""Starts a network from trained weights: what fits is taken, the rest is named and stays random.

A guide's parts are matched by the guide's name, so that another order or another set of guides
still finds its own. Layers that read bands are matched band by band: raw bands by name, contrasts
by band and window. In a layer that is taken in part, inputs that the weights do not know start at
zero: the network begins with what it learnt, undisturbed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from deeplight.models import load_network
from deeplight.training.init_report import InitReport, parts_of, summarise
from deeplight.training.schema import TrainingConfig

if TYPE_CHECKING:
    from deeplight.models import NativeNetwork

__all__ = ["initialise"]

#: How much brighter or darker the same light may become in normalised units.
_STD_RATIO = 2.0
#: How far darkness may move, normalised units.
_SHIFT = 0.5


def initialise(
    network: NativeNetwork, config: TrainingConfig, preprocessing: Mapping[str, Any]
) -> InitReport | None:
    """Applies ``[init]``: takes parameters of trained weights, freezes parts.

    Args:
        network: freshly created for the run; changed in place. Call it before the optimizer.
        config: of the run.
        preprocessing: of the run's data, as ``TrainingData.preprocessing``.

    Returns:
        What was taken; None where ``init.weights`` is empty.

    Raises:
        FileNotFoundError: no such weights; the nearest shipped name is in the message.
        ValueError: weights of another architecture, scale, width or normalisation of light, or of
            which nothing fits; a part to freeze that does not exist, that is random, or is all.
    """
    init = config.init
    if not init.weights:
        if init.freeze:
            raise ValueError("'init.freeze' keeps parts of init.weights; without it nothing can be")
        return None
    source, card = load_network(init.weights)
    where = f"'init.weights' = \"{init.weights}\""
    _check_same_kind(network, source, where)
    notes = _check_light(card["preprocessing"], preprocessing, where)
    notes += _other_transforms(card["preprocessing"], preprocessing)
    notes += _other_options(network.options, source.options)
    ours = _Inputs.of(network, preprocessing)
    theirs = _Inputs.of(source, card["preprocessing"])
    notes += _adopt_band_order(ours, theirs)
    shared = [name for name in theirs.guides if name in ours.guides]
    if shared != [name for name in ours.guides if name in shared]:
        notes.append(
            f"the weights have guides in the order {', '.join(theirs.guides)}; declared in that "
            "order, more of their fusion could be taken"
        )
    state = dict(source.state_dict())
    taken: list[str] = []
    partial: dict[str, tuple[int, int]] = {}
    random: list[str] = []
    used: set[str] = set()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            other = _name_in_weights(name, ours.guides, theirs.guides)
            found = state.get(other) if other else None
            if found is None:
                random.append(name)
                continue
            labels = ours.of_layer(name, tensor), theirs.of_layer(str(other), found)
            if labels[0] is not None and labels[1] is not None:
                count = _take_inputs(tensor, found, labels[0], labels[1])
                size = len(labels[0])
                left = len(labels[1]) - count
                if count and left:
                    notes.append(f"{left} inputs of '{other}' in the weights find no band here")
            else:
                count = size = 1
                if tensor.shape == found.shape:
                    tensor.copy_(found)
                else:
                    count = 0
            if count == 0:
                random.append(name)
                continue
            used.add(str(other))
            if count == size:
                taken.append(name)
            else:
                partial[name] = (count, size)
    sizes = {name: tensor.numel() for name, tensor in network.state_dict().items()}
    if not any(name.endswith(".weight") for name in taken):
        raise ValueError(f"{where}: nothing of it fits this network; were the same names meant?")
    frozen = _freeze(network, init.freeze, {*random, *partial})
    return InitReport(
        weights=Path(init.weights).name,
        sha256=card["weights_sha256"],
        taken=tuple(taken),
        partial=partial,
        random=tuple(random),
        unused=tuple(summarise([name for name in state if name not in used], state.keys())),
        frozen=frozen,
        sizes=sizes,
        notes=tuple(notes),
    )


@dataclass
class _Inputs:
    """What the layers of a network that read guides read, channel by channel.

    Attributes:
        guides: names in the declared order.
        present: those that the network looks at.
        channels: of each guide as the network sees it: (guide, band, "value" or a contrast).
    """

    guides: list[str]
    present: list[str]
    channels: dict[str, list[tuple[Any, ...]]]
    bands: dict[str, list[Any]]
    levels: int

    @classmethod
    def of(cls, network: NativeNetwork, preprocessing: Mapping[str, Any]) -> _Inputs:
        guides = list(network.guides)
        without = network.options.get("without", [])
        described = {guide["name"]: guide for guide in preprocessing["guides"]}
        bands = {name: _band_names(guide) for name, guide in described.items()}
        inputs = cls(
            guides=guides,
            present=[name for name in guides if name not in without],
            channels={},
            bands=bands,
            levels=network.scale.bit_length() - 1,
        )
        for name, guide in described.items():
            contrasts = _contrasts(guide, preprocessing)
            inputs.channels[name] = [
                (name, kind, band) for kind in ("value", *contrasts) for band in bands[name]
            ]
        return inputs

    def rename_bands(self, guide: str, names: list[Any]) -> None:
        """Calls the bands of a guide by other names, in order."""
        to = dict(zip(self.bands[guide], names, strict=True))
        self.channels[guide] = [(g, kind, to[band]) for g, kind, band in self.channels[guide]]
        self.bands[guide] = names

    def of_layer(self, name: str, tensor: torch.Tensor) -> list[tuple[Any, ...]] | None:
        """A label for each input channel of a layer that reads guides; None for other layers."""
        if match := re.fullmatch(r"downsample_(.+)\.conv0\.weight", name):
            labels = list(self.channels.get(match[1], []))
        elif match := re.fullmatch(r"refine\.gate(\d+)_0\.weight", name):
            if int(match[1]) == self.levels - 1:
                labels = [label for guide in self.present for label in self.channels[guide]]
            else:
                each = tensor.shape[1] // max(1, len(self.present))
                labels = [(guide, k) for guide in self.present for k in range(each)]
        else:
            return None
        return labels if len(labels) == tensor.shape[1] else None


def _band_names(guide: Mapping[str, Any]) -> list[Any]:
    """Names of the bands where all have one and they differ; else their numbers from 1."""
    names = list(guide.get("band_names") or [])
    usable = len(names) == guide["bands"] == len(set(names)) and all(names)
    return names if usable else list(range(1, guide["bands"] + 1))


def _contrasts(guide: Mapping[str, Any], preprocessing: Mapping[str, Any]) -> list[str]:
    kind = guide.get("contrast", "none")
    if kind == "none":
        return []
    return [f"{kind} {window}" for window in preprocessing["contrast_windows"]]


def _adopt_band_order(ours: _Inputs, theirs: _Inputs) -> list[str]:
    """Guides of one name and as many bands, of which none shares its name: taken in their order."""
    notes = []
    for guide in ours.guides:
        mine, other = ours.bands[guide], theirs.bands.get(guide, [])
        if mine != other and len(mine) == len(other) and not set(mine) & set(other):
            ours.rename_bands(guide, other)
            notes.append(f"guide '{guide}': its bands are named otherwise and taken in their order")
    return notes


def _name_in_weights(name: str, ours: list[str], theirs: list[str]) -> str | None:
    """The name that a parameter has in the weights; None: there is none.

    ``fuse.auxiliaryI`` folds in guide I + 1, so that its number depends on the guides' order. Where
    that guide is new, a fusion of a guide that is left out serves, if it has the same number.
    """
    match = re.match(r"fuse\.auxiliary(\d+)\.", name)
    if match is None:
        return name
    folded = ours[int(match[1]) + 1]
    if folded in theirs:
        position = theirs.index(folded)
        return f"fuse.auxiliary{position - 1}.{name[match.end() :]}" if position > 0 else None
    same_number = int(match[1]) + 1
    return name if same_number < len(theirs) and theirs[same_number] not in ours else None


def _take_inputs(
    tensor: torch.Tensor,
    found: torch.Tensor,
    ours: list[tuple[Any, ...]],
    theirs: list[tuple[Any, ...]],
) -> int:
    """Copies the input channels that both know, by label; the others become zero.

    Returns:
        Channels taken; with none the layer is left as it is.
    """
    if tensor.shape[0] != found.shape[0] or tensor.shape[2:] != found.shape[2:]:
        return 0
    place = {label: index for index, label in enumerate(theirs)}
    pairs = [(i, place[label]) for i, label in enumerate(ours) if label in place]
    if pairs:
        to, of = (list(column) for column in zip(*pairs, strict=True))
        result = torch.zeros_like(tensor)
        result[:, to] = found[:, of].to(result)
        tensor.copy_(result)
    return len(pairs)


def _check_same_kind(network: NativeNetwork, source: NativeNetwork, where: str) -> None:
    if source.architecture != network.architecture:
        raise ValueError(
            f"{where} is a '{source.architecture}', the configuration builds a "
            f"'{network.architecture}'; set model.architecture"
        )
    if source.scale != network.scale:
        raise ValueError(f"{where} has scale {source.scale}, the data have {network.scale}")
    ours, theirs = network.options.get("width"), source.options.get("width")
    if ours != theirs:
        raise ValueError(
            f"{where} has width {theirs}, the configuration {ours}: no layer would fit; set "
            f"model.options.width = {theirs}"
        )


def _other_options(ours: Any, theirs: Any, where: str = "") -> list[str]:
    """A sentence for each option that differs; guides are matched, not compared."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [
            note
            for key in ours
            if key != "guides" or where
            for note in _other_options(ours[key], theirs.get(key), f"{where}.{key}")
        ]
    if ours == theirs:
        return []
    return [f"model.options{where} is {ours!r}, of the weights {theirs!r}"]


def _check_light(theirs: Mapping[str, Any], ours: Mapping[str, Any], where: str) -> list[str]:
    """Holds the normalisation of light to that of the weights.

    Raises:
        ValueError: another transform, darkness at another value, or, in the same units, light of
            another brightness.
    """
    notes = []
    for role in ("low_resolution", "output"):
        a, b = ours[role], theirs[role]
        same = f"the {role.replace('_', ' ')}"
        if a["transform"] != b["transform"]:
            raise ValueError(
                f"{where} has {same} transformed by '{b['transform']}', the data by "
                f"'{a['transform']}'; set data.light.transform = \"{b['transform']}\""
            )
        shift = abs(a["mean"] / a["std"] - b["mean"] / b["std"])
        if shift > _SHIFT:
            raise ValueError(
                f"{where} has {same} normalised with mean {b['mean']:g} and std {b['std']:g}, the "
                f"data with {a['mean']:g} and {a['std']:g}: darkness would move by {shift:.2g}; "
                f"set data.light.mean = {b['mean']:g}"
            )
        if a["units"] != b["units"]:
            notes.append(f"{same} is in '{a['units']}', of the weights in '{b['units']}'")
    a, b = ours["output"], theirs["output"]
    one, other = (image["std"] * image["transform_scale"] for image in (a, b))
    ratio = max(one, other) / min(one, other)
    if a["units"] == b["units"] and ratio > _STD_RATIO:
        raise ValueError(
            f"{where} divides light by {other:g} {b['units']}, the data by {one:g}: the same light "
            f"would be {ratio:.2g} times brighter or darker; set data.light.std = {b['std']:g}"
        )
    return list(dict.fromkeys(notes))


def _other_transforms(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """A sentence for each guide of both that is transformed otherwise."""
    known = {guide["name"]: guide for guide in theirs["guides"]}
    notes = []
    for guide in ours["guides"]:
        here, there = (
            f"'{of['transform']}' of values / {of['transform_scale']:g}"
            for of in (guide, known.get(guide["name"], guide))
        )
        if here != there:
            notes.append(f"guide '{guide['name']}' is {here} here, {there} for the weights")
    return notes


def _freeze(network: NativeNetwork, prefixes: Iterable[str], random: set[str]) -> tuple[str, ...]:
    """Stops the training of parts and returns the names of their parameters."""
    parameters = dict(network.named_parameters())
    frozen: dict[str, None] = {}
    for prefix in prefixes:
        names = [name for name in parameters if name.startswith(prefix)] if prefix else []
        if not names:
            near = difflib.get_close_matches(prefix, parts_of(parameters), n=1, cutoff=0)
            raise ValueError(
                f"'init.freeze' names '{prefix}', no part of this network; did you mean "
                f"'{near[0]}'?"
            )
        fresh = [name for name in names if name in random]
        if fresh:
            raise ValueError(
                f"'init.freeze' names '{prefix}', but '{fresh[0]}' is not wholly of the weights: "
                "it would stay as it is at random"
            )
        frozen.update(dict.fromkeys(names))
    if len(frozen) == len(parameters):
        raise ValueError("'init.freeze' names every part; nothing would be left to train")
    for name in frozen:
        parameters[name].requires_grad_(False)
    return tuple(frozen)
