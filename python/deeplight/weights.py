"""Weights files: safetensors with a JSON card beside them. No pickle is ever read.

A name (``"black-marble-x8"``) means weights that are shipped with the package, in
``deeplight/weights_data``; anything else is a path. The card of ``x.safetensors`` is ``x.json``.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .files import write_whole

if TYPE_CHECKING:
    import torch

__all__ = [
    "card_path_for",
    "list_weights",
    "load_card",
    "load_state",
    "resolve_weights",
    "save",
    "save_card",
]

_SHIPPED = Path(__file__).parent / "weights_data"
_PICKLES = {".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".tar", ".jit"}


def list_weights() -> list[str]:
    """Names of the shipped weights, for :func:`deeplight.load` and ``--weights``."""
    return sorted(p.stem for p in _SHIPPED.glob("*.safetensors") if p.with_suffix(".json").exists())


def card_path_for(weights: str | os.PathLike[str]) -> Path:
    """``folder/x.safetensors`` -> ``folder/x.json``."""
    return Path(weights).with_suffix(".json")


def resolve_weights(name_or_path: str | os.PathLike[str]) -> Path:
    """Finds a weights file by shipped name or by path.

    Raises:
        FileNotFoundError: neither a shipped name nor a file; the nearest name is in the message.
        ValueError: a pickled checkpoint, or a file of another kind.
    """
    text = os.fspath(name_or_path)
    shipped = list_weights()
    if text in shipped:
        return _SHIPPED / f"{text}.safetensors"
    path = Path(text)
    if path.suffix.lower() in _PICKLES:
        raise ValueError(_pickle_message(path))
    if path.suffix == ".json" and path.with_suffix(".safetensors").is_file():
        path = path.with_suffix(".safetensors")
    if path.is_file():
        if path.suffix != ".safetensors":
            raise ValueError(f"weights must be a .safetensors file, got '{path}'")
        return path
    if path.suffix == ".safetensors" or len(path.parts) > 1:
        raise FileNotFoundError(f"no such weights file: '{path}'")
    near = difflib.get_close_matches(text, shipped, n=1, cutoff=0.4)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    known = (
        f"shipped: {', '.join(shipped)}" if shipped else "no weights are shipped with this build"
    )
    raise FileNotFoundError(
        f"no weights named '{text}'{hint} ({known}, or give a .safetensors file)"
    )


def load_card(name_or_path: str | os.PathLike[str]) -> dict[str, Any]:
    """The card of a shipped name, a weights file, or a ``.json`` file, checked, with every field.

    Raises:
        FileNotFoundError: there is no such card.
        ValueError: the card is damaged or breaks a rule; the file is named.
    """
    from deeplight import _native

    path = Path(os.fspath(name_or_path))
    if path.suffix != ".json":
        path = card_path_for(resolve_weights(name_or_path))
    if not path.exists():
        raise FileNotFoundError(f"no card beside the weights: '{path}' is missing")
    return json.loads(_native.read_card(str(path)))


def save_card(path: str | os.PathLike[str], card: Mapping[str, Any]) -> None:
    """Checks a card and writes it atomically.

    Raises:
        ValueError: the card breaks a rule.
        OSError: the file cannot be written; nothing is left behind.
    """
    from deeplight import _native

    _native.write_card(os.fspath(path), _card_text(card))


def load_state(path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """Tensors by name, on the CPU; float16 and bfloat16 storage comes back as float32.

    The file is held to the native reader's limits first, then read by the safetensors library.

    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged, hostile, or a pickled checkpoint; the file is named.
    """
    import safetensors.torch
    import torch

    from deeplight import _native

    path = Path(path)
    if path.suffix.lower() in _PICKLES:
        raise ValueError(_pickle_message(path))
    if not path.exists():
        raise FileNotFoundError(f"no such weights file: '{path}'")
    _native.read_safetensors(str(path))
    try:
        state = safetensors.torch.load(path.read_bytes())
    except Exception as error:
        raise ValueError(f"'{path}' is not a valid safetensors file: {error}") from error
    half = (torch.float16, torch.bfloat16)
    return {k: v.float() if v.dtype in half else v for k, v in state.items()}


def save(
    network: torch.nn.Module | Mapping[str, torch.Tensor],
    card: Mapping[str, Any],
    path: str | os.PathLike[str],
    dtype: torch.dtype | str = "float32",
) -> Path:
    """Writes weights and their card, each atomically; the card states the weights' SHA-256.

    The weights come first: cut off in between, the old card's hash disagrees with the new weights,
    and loading says so.

    Args:
        network: a module, or its state by name.
        card: see ``deeplight/weights/card.hpp``; ``weights_sha256`` is filled in.
        path: ends in ``.safetensors``.
        dtype: storage of floating-point tensors, ``"float32"`` or ``"float16"``; integers stay.

    Returns:
        The path.

    Raises:
        ValueError: a wrong suffix or dtype, an invalid card, a value that is not finite or that
            float16 cannot hold.
        OSError: a file cannot be written.
    """
    import safetensors.torch
    import torch

    from deeplight import _native

    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"weights are written as .safetensors, got '{path}'")
    storage = {"float32": torch.float32, "float16": torch.float16}.get(
        str(dtype).removeprefix("torch.")
    )
    if storage is None:
        raise ValueError(f"dtype must be float32 or float16, got {dtype}")
    state = network.state_dict() if isinstance(network, torch.nn.Module) else network
    stored = {name: _stored(name, tensor, storage) for name, tensor in state.items()}
    data = safetensors.torch.save(stored, {"format": "pt"})
    card = {**card, "weights_sha256": hashlib.sha256(data).hexdigest()}
    _native.validate_card(_card_text(card), str(card_path_for(path)))
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write '{path}': the folder '{path.parent}' does not exist")
    write_whole(path, data)
    save_card(card_path_for(path), card)
    return path


def _stored(name: str, tensor: torch.Tensor, storage: torch.dtype) -> torch.Tensor:
    # A clone, because the library refuses tensors that share memory (tied or adopted ones).
    tensor = tensor.detach().to("cpu", copy=True).contiguous()
    if not tensor.is_floating_point():
        return tensor
    if not bool(tensor.isfinite().all()):
        raise ValueError(f"'{name}' has values that are not finite; these weights are not written")
    result = tensor.to(storage)
    if not bool(result.isfinite().all()):
        raise ValueError(f"'{name}' reaches {tensor.abs().max().item():g}, above float16's 65504")
    return result


def _card_text(card: Mapping[str, Any]) -> str:
    try:
        return json.dumps(card, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the card cannot be written as JSON: {error}") from error


def _pickle_message(path: Path) -> str:
    return (
        f"'{path}' looks like a pickled checkpoint, which can run code when it is read; deeplight "
        "reads .safetensors only. Where you trust the file, convert it: "
        "safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'x.safetensors')"
    )
