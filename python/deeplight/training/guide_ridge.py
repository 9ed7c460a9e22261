"""The ridge on all guides, fitted to a split's training part: the baseline that sees what nets see.

Its penalty is chosen on the validation part. Shared by the tables of light and of temperature,
which fill missing low resolution each in their own way.
"""

from __future__ import annotations

import torch

from deeplight import baselines
from deeplight.training.data import TrainingData

__all__ = ["fit_ridge", "guide_bands"]


def guide_bands(data: TrainingData) -> torch.Tensor:
    """All bands of all guides, normalised, without their contrasts; ``[bands, H, W]``."""
    described = data.preprocessing["guides"]
    return torch.cat([data.guides[guide["name"]][: guide["bands"]] for guide in described])


def fit_ridge(data: TrainingData, low: torch.Tensor) -> baselines.GuideRidge:
    """Fits the fine truth of the training part.

    Args:
        data: from :func:`deeplight.training.load_data`, with at least one guide.
        low: physical low resolution of the whole raster, ``[h, w]``, finite everywhere.
    """
    return baselines.fit_guide_ridge(
        low,
        guide_bands(data),
        torch.where(data.valid, data.target, 0)[0],
        scale=data.scale,
        training=_pixels_of(data, "train"),
        validation=_pixels_of(data, "validation"),
    )


def _pixels_of(data: TrainingData, part: str) -> torch.Tensor:
    """True on the valid pixels of a part, ``[H, W]``."""
    mask = torch.zeros(data.target.shape[1:], dtype=torch.bool)
    for region in data.regions[part]:
        row, column, height, width = (value * data.scale for value in region)
        mask[row : row + height, column : column + width] = True
    return mask & data.valid[0]
