"""Means of trained weights: one network at the cost of one, often steadier than each.

Sensible for weights of one family: the seeds of one configuration that start from the same
weights, or weights and what was fine-tuned from them. Source: Wortsman et al. 2022, "Model soups",
arXiv 2203.05482.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from deeplight.models import NativeNetwork, load_network

__all__ = ["average_networks", "average_weights"]

PathLike = str | os.PathLike[str]


def average_weights(weights: Sequence[PathLike], out: PathLike, dtype: str = "float32") -> Path:
    """Writes the mean of several weights, with a card.

    The card is the first one's, with the names and hashes of all in ``training.averaged`` and
    without scores: those of the parts are not those of the mean.

    Args:
        weights: shipped names or ``.safetensors`` files with their cards; two or more.
        out: ends in ``.safetensors``.
        dtype: storage, ``"float32"`` or ``"float16"``.

    Returns:
        The path.

    Raises:
        ValueError: fewer than two, one given twice, or weights that differ in more than their
            values; what differs is named.
        OSError: a file is missing or cannot be written.
    """
    from deeplight.weights import save

    network, card = average_networks(weights)
    path = Path(out)
    card["name"] = path.stem
    return save(network, card, path, dtype)


def average_networks(weights: Sequence[PathLike]) -> tuple[NativeNetwork, dict[str, Any]]:
    """A network whose parameters are the means of those of several weights, and its card.

    Means are taken in float64. Whole numbers (counters) are the first one's.

    Args:
        weights: as for :func:`average_weights`.

    Returns:
        The network, in evaluation mode, and the card that :func:`average_weights` writes.

    Raises:
        ValueError, OSError: as :func:`average_weights`.
    """
    if len(weights) < 2:
        raise ValueError(f"an average needs at least two weights, got {len(weights)}")
    loaded = [load_network(path) for path in weights]
    names = [os.fspath(path) for path in weights]
    network, card = loaded[0]
    for name, (_, other) in zip(names[1:], loaded[1:], strict=True):
        _check_alike(names[0], card, name, other)
    hashes = [other["weights_sha256"] for _, other in loaded]
    for index, digest in enumerate(hashes):
        if digest and digest in hashes[:index]:
            first = names[hashes.index(digest)]
            raise ValueError(f"'{names[index]}' and '{first}' are the same weights")
    states = [other.state_dict() for other, _ in loaded]
    with torch.no_grad():
        for name, tensor in states[0].items():
            if tensor.is_floating_point():
                tensor.copy_(torch.stack([s[name].double() for s in states]).mean(0))
    return network, _merged([other for _, other in loaded])


def _check_alike(first: str, ours: Mapping[str, Any], name: str, theirs: Mapping[str, Any]) -> None:
    """Raises ValueError at the first key that means another network or other inputs."""
    for key in ("architecture", "scale", "options", "preprocessing"):
        difference = _difference(ours[key], theirs[key], key)
        if difference:
            where, one, other = difference
            raise ValueError(
                f"'{first}' and '{name}' cannot be averaged: '{where}' is {_short(one)} in the one "
                f"and {_short(other)} in the other"
            )


def _difference(a: Any, b: Any, where: str) -> tuple[str, Any, Any] | None:
    """The first place at which two plain values differ; ranges seen in training may."""
    if where.rpartition(".")[2] in ("minimum", "maximum"):
        return None
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *(key for key in b if key not in a)]:
            if found := _difference(a.get(key), b.get(key), f"{where}.{key}"):
                return found
        return None
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for index, (x, y) in enumerate(zip(a, b, strict=True)):
            if found := _difference(x, y, f"{where}[{index}]"):
                return found
        return None
    return None if a == b else (where, a, b)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _merged(cards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The first card for the mean of all: widest ranges, the sources, no scores."""
    card: dict[str, Any] = json.loads(json.dumps(cards[0]))
    for image in ("low_resolution", "output"):
        seen = [other["preprocessing"][image] for other in cards]
        card["preprocessing"][image]["minimum"] = min(s["minimum"] for s in seen)
        card["preprocessing"][image]["maximum"] = max(s["maximum"] for s in seen)
    for index, guide in enumerate(card["preprocessing"]["guides"]):
        lists = [other["preprocessing"]["guides"][index] for other in cards]
        for key, widest in (("minimum", min), ("maximum", max)):
            if all(one[key] for one in lists):
                guide[key] = [widest(v) for v in zip(*(one[key] for one in lists), strict=True)]
    card["training"] = {
        **(card["training"] or {}),
        "averaged": [{"name": other["name"], "sha256": other["weights_sha256"]} for other in cards],
    }
    card["scores"] = {}
    card["weights_sha256"] = ""
    card["credits"] = "; ".join(dict.fromkeys(c["credits"] for c in cards if c["credits"]))
    return card
