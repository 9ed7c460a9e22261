"""From a finished run to weights: the best moving average and its card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import deeplight
from deeplight.weights import save

if TYPE_CHECKING:
    from deeplight.training.loop import Trainer

__all__ = ["card_of", "weights_path", "write_weights"]


def card_of(trainer: Trainer) -> dict[str, Any]:
    """The card of a run's best weights; see ``deeplight/weights/card.hpp``."""
    config, data = trainer.config, trainer.data
    native = trainer.network.native
    table = config.to_dict()
    table["data"].pop("root")
    weights = table.pop("weights")
    scores = {key: round(value, 4) for key, value in trainer.best.scores.items()}
    return {
        "name": weights["name"],
        "description": weights["description"],
        "architecture": config.model.architecture,
        "options": json.loads(native.options()),
        "scale": data.scale,
        "preprocessing": data.preprocessing,
        "nodata_rule": weights["nodata_rule"],
        "cell_size": data.cell_size,
        "cell_size_units": data.cell_size_units,
        "margin": native.margin(),
        "auxiliary_target": config.data.auxiliary_name or Path(config.data.auxiliary).stem,
        "training": {
            "command": "deeplight train",
            "version": deeplight.__version__,
            "threads": torch.get_num_threads(),
            "processes": trainer.world.size,
            "steps": trainer.step,
            "best_step": trainer.best.step,
            "gain": data.gain,
            "init": trainer.init_report.as_dict() if trainer.init_report else {},
            "config": table,
        },
        "scores": {
            "validation": {
                "region": "split.validation of the training configuration",
                "lit": f"target > {config.patches.lit_above:g}",
                "peak": data.data_range,
                **scores,
            }
        },
        "credits": weights["credits"],
        "license": weights["license"],
    }


def weights_path(trainer: Trainer) -> Path:
    """Where the weights of a run lie in the end."""
    return trainer.output / f"{trainer.config.weights.name}.safetensors"


def write_weights(trainer: Trainer) -> Path:
    """Writes ``NAME.safetensors`` and ``NAME.json`` to the run's folder.

    Raises:
        OSError: they cannot be written.
    """
    path = weights_path(trainer)
    save(trainer.best_state, card_of(trainer), path, trainer.config.weights.dtype)
    return path
