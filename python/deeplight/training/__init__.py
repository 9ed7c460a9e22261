"""Training from rasters: configuration, data, loop and checkpoints.

``deeplight train CONFIG.toml`` is :func:`deeplight.training.train` with a progress bar.

Example:
    >>> from deeplight.training import load_config, train
    >>> config = load_config("configs/black_marble_x8.toml")     # doctest: +SKIP
    >>> train(config, output="runs/black_marble_x8")             # doctest: +SKIP
"""

from deeplight.training.config import load_config
from deeplight.training.data import TrainingData, load_data
from deeplight.training.loop import Trainer, train
from deeplight.training.schema import TrainingConfig

__all__ = ["Trainer", "TrainingConfig", "TrainingData", "load_config", "load_data", "train"]
