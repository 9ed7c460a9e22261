"""The prepared cache: everything that training reads of rasters, in one safetensors file.

A machine with PyTorch alone trains from it: nothing here touches rasters. The file's metadata hold
one JSON object (a single key, so that the same data give the same bytes).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from deeplight.files import whole_file
from deeplight.training.checkpoint import first_difference
from deeplight.training.data import TrainingData
from deeplight.training.schema import TrainingConfig
from deeplight.training.split import PARTS, check_reach
from deeplight.training.statistics import InitialCard

__all__ = ["load_prepared", "save_prepared"]

_FORMAT = "deeplight-prepared-1"
_PLAIN = ("preprocessing", "scale", "cell_size", "cell_size_units", "data_range", "saturation")
_IMAGES = ("target", "valid", "low_resolution", "auxiliary", "kernel")


def save_prepared(data: TrainingData, config: TrainingConfig, path: str | Path) -> Path:
    """Writes prepared rasters, whole or not at all.

    Args:
        data: of :func:`deeplight.training.load_data`.
        config: that it was made with.
        path: of the file, ``.safetensors``.

    Raises:
        OSError: no room, not writable; an older file stays, nothing else is left behind.
    """
    tensors = {f"guide/{name}": guide for name, guide in data.guides.items()}
    for name in _IMAGES:
        if getattr(data, name) is not None:
            tensors[name] = getattr(data, name)
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    described = {
        "format": _FORMAT,
        "digest": config.data_digest(),
        "tables": config.data_tables(),
        "regions": data.regions,
        "gain": data.gain,
        "notes": data.notes,
        **{key: getattr(data, key) for key in _PLAIN},
    }
    described["checksum"] = _checksum(described, tensors)
    path = Path(path)
    with whole_file(path) as temporary:
        try:
            safetensors.torch.save_file(tensors, temporary, {"deeplight": json.dumps(described)})
        except safetensors.SafetensorError as error:
            raise OSError(f"'{path}' cannot be written: {error}") from error
    return path


def load_prepared(path: str | Path, config: TrainingConfig) -> TrainingData:
    """Reads what :func:`save_prepared` wrote.

    Args:
        path: of the file.
        config: of the run; its tables ``[data]`` (but for ``root``) and ``[split]`` must be those
            that the file was prepared with, and so must ``[init]`` where it gives the statistics.

    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged, another kind of file, or prepared with other tables; the file and the
            first differing key are named.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no prepared data: '{path}'; `deeplight prepare` writes them")
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            described = json.loads((file.metadata() or {}).get("deeplight", "{}"))
            if not isinstance(described, dict) or described.get("format") != _FORMAT:
                raise ValueError("not written by `deeplight prepare`")
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        checksum = described.pop("checksum", None)
        if checksum != _checksum(described, tensors):
            raise ValueError("damaged: its checksum does not fit its content")
    except (safetensors.SafetensorError, ValueError) as error:
        raise ValueError(f"'{path}' is no readable prepared data: {error}") from error
    if described["digest"] != config.data_digest():
        difference = first_difference(config.data_tables(), described["tables"])
        key, here, there = difference or ("digest", config.data_digest(), described["digest"])
        raise ValueError(
            f"'{path}' was prepared with other settings: '{key}' is {json.dumps(there)} there and "
            f"{json.dumps(here)} in the configuration; prepare again"
        )
    data = TrainingData(
        guides={
            guide["name"]: tensors[f"guide/{guide['name']}"]
            for guide in described["preprocessing"]["guides"]
        },
        regions={part: [tuple(r) for r in described["regions"][part]] for part in PARTS},
        gain=described["gain"],
        notes=InitialCard(config.init).review(described["preprocessing"])
        if config.init.statistics == "data"
        else described["notes"],
        **{key: described[key] for key in _PLAIN},
        **{name: tensors.get(name) for name in _IMAGES},  # type: ignore[arg-type]
    )
    check_reach(config.split, data.regions, data.margin)
    return data


def _checksum(described: dict[str, Any], tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
