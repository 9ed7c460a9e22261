"""What a run leaves to look at: ``log.csv``, and TensorBoard's event files where it is installed.

The rows are part of the checkpoint, so that a resumed run's log equals an uninterrupted one's.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deeplight.files import write_whole
from deeplight.pictures import brightest_window

__all__ = ["Journal"]

_COLUMNS = (
    "step", "loss", "image_loss", "auxiliary_loss", "gradient_norm", "lr",
    "gain", "lit_psnr", "bicubic_lit_psnr", "psnr", "light_ratio",
)  # fmt: skip
#: Column -> group in TensorBoard; columns of extra loss terms go to "loss".
_GROUPS = {
    "gradient_norm": "optimizer", "lr": "optimizer", "skipped": "optimizer",
    "gain": "validation", "lit_psnr": "validation", "bicubic_lit_psnr": "validation",
    "psnr": "validation", "light_ratio": "validation",
}  # fmt: skip
#: Side of the validation picture, pixels.
_PICTURE = 256


class Journal:
    """The log of a run.

    Args:
        folder: of the run.
        tensorboard: write event files under ``folder/tensorboard``.

    Attributes:
        rows: of ``log.csv``, column -> value.
    """

    def __init__(self, folder: Path, tensorboard: bool = False) -> None:
        self.rows: list[dict[str, Any]] = []
        self._folder = folder
        self._wanted = tensorboard
        self._events: Any = None

    def open(self, step: int) -> None:
        """Begins after ``step`` steps; TensorBoard forgets what an earlier run wrote beyond them.

        Raises:
            OSError: the event file cannot be made.
        """
        if not self._wanted:
            return
        if importlib.util.find_spec("tensorboard") is None:
            warnings.warn(
                "no TensorBoard files: 'tensorboard' is not installed (pip install "
                "'deeplight[train]'); log.csv holds the same numbers",
                stacklevel=2,
            )
            return
        from torch.utils.tensorboard import SummaryWriter

        self._events = SummaryWriter(str(self._folder / "tensorboard"), purge_step=step + 1)

    def add(self, row: dict[str, Any], rate: float) -> None:
        """Takes a row; ``rate`` in steps per second is shown in TensorBoard alone."""
        self.rows.append(row)
        if self._events is None:
            return
        step = row["step"]
        for column, value in row.items():
            if column != "step":
                self._events.add_scalar(f"{_GROUPS.get(column, 'loss')}/{column}", value, step)
        self._events.add_scalar("speed/steps_per_second", rate, step)

    def show(self, step: int, panels: list[torch.Tensor]) -> None:
        """Puts images ``[H, W]`` of one extent side by side, cut to where the last has most light.

        One stretch for all, ``asinh`` up to the last one's maximum.
        """
        if self._events is None:
            return
        truth = panels[-1].numpy()
        row, column, rows, columns = brightest_window(truth, _PICTURE)
        cuts = [p.numpy()[row : row + rows, column : column + columns] for p in panels]
        top = max(float(np.nanmax(cuts[-1])), 1e-30)
        stretched = [np.arcsinh(30 * np.clip(c / top, 0, 1)) / np.arcsinh(30.0) for c in cuts]
        gap = np.ones((rows, 4))
        strip = np.concatenate([stretched[0], *(x for c in stretched[1:] for x in (gap, c))], 1)
        self._events.add_image("bicubic, prediction, truth", strip[None], step)

    def write(self) -> None:
        """Writes ``log.csv``, whole or not at all, and what TensorBoard has not written yet.

        Raises:
            OSError: they cannot be written.
        """
        extra = dict.fromkeys(key for row in self.rows for key in row if key not in _COLUMNS)
        text = io.StringIO()
        writer = csv.DictWriter(text, [*_COLUMNS, *extra], restval="", lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            writer.writerow({k: f"{v:.7g}" if isinstance(v, float) else v for k, v in row.items()})
        write_whole(self._folder / "log.csv", text.getvalue().encode())
        if self._events is not None:
            self._events.flush()

    def close(self) -> None:
        """Ends TensorBoard's file."""
        if self._events is not None:
            self._events.close()
            self._events = None
