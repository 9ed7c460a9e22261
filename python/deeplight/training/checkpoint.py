"""Checkpoints: one safetensors file whose metadata holds the JSON state; never a pickle.

One file, so that a kill between two writes cannot part tensors from state. Written to a temporary
name, flushed to disk, renamed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from deeplight.files import write_whole

__all__ = [
    "Checkpoint",
    "first_difference",
    "read_checkpoint",
    "write_checkpoint",
]

_FORMAT = "deeplight-checkpoint-2"


@dataclass
class Checkpoint:
    """The state of a run after ``step`` steps.

    Attributes:
        step: steps done; the sampler needs nothing else.
        identity: tables of all that the run depends on: the configuration, the data's statistics.
        tensors: groups (``network``, ``average``, ``best``, ``optimizer``, ``random``) of tensors
            by name.
        state: numbers beside them: best score, validations without progress, the log's rows.
    """

    step: int
    identity: dict[str, Any]
    tensors: dict[str, dict[str, torch.Tensor]]
    state: dict[str, Any] = field(default_factory=dict)


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Writes the whole file or nothing. See :func:`deeplight.files.whole_file` for errors."""
    flat = {
        f"{group}/{name}": tensor.detach().to("cpu", copy=True).contiguous()
        for group, tensors in checkpoint.tensors.items()
        for name, tensor in tensors.items()
    }
    state = {
        "format": _FORMAT,
        "step": checkpoint.step,
        "identity": checkpoint.identity,
        "state": checkpoint.state,
    }
    # One key: the library writes several in an order that changes from run to run.
    write_whole(path, safetensors.torch.save(flat, {"deeplight": json.dumps(state)}))


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint.

    Raises:
        FileNotFoundError: there is none.
        ValueError: damaged, or not a checkpoint; the file is named.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint to resume from: '{path}'")
    tensors: dict[str, dict[str, torch.Tensor]] = {}
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            state = json.loads((file.metadata() or {}).get("deeplight", "{}"))
            if state.get("format") != _FORMAT:
                raise ValueError("not a training checkpoint of this version")
            for key in file.keys():  # noqa: SIM118 - not a dict
                group, _, name = key.partition("/")
                tensors.setdefault(group, {})[name] = file.get_tensor(key)
        return Checkpoint(int(state["step"]), state["identity"], tensors, state["state"])
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise ValueError(f"'{path}' is not a readable checkpoint: {error}") from error


def first_difference(here: Any, there: Any, key: str = "") -> tuple[str, Any, Any] | None:
    """The first place where two JSON tables differ.

    Returns:
        Dotted key, the value here and the value there (None where absent), or None if all is equal.
    """
    if isinstance(here, dict) and isinstance(there, dict):
        pairs = [(f".{name}", here.get(name), there.get(name)) for name in {**here, **there}]
    elif isinstance(here, list) and isinstance(there, list) and len(here) == len(there):
        pairs = [(f"[{i}]", *both) for i, both in enumerate(zip(here, there, strict=True))]
    else:
        return None if here == there else (key.removeprefix("."), here, there)
    found = (first_difference(a, b, key + name) for name, a, b in pairs)
    return next((difference for difference in found if difference is not None), None)
