"""The scores of an evaluation; `score_columns` has one entry for each, in the table's order.

Scores are of one band, ``[rows, columns]`` in float64, over the pixels that are valid in the truth
and in every candidate. A lit score is over the pixels whose truth is above the threshold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from deeplight import metrics
from deeplight.score_columns import COLUMNS, Column, Extras, Pair, columns_of, grouped

__all__ = [
    "COLUMNS",
    "Column",
    "Extras",
    "Pair",
    "ScoreTable",
    "columns_of",
    "grouped",
    "plain_number",
    "score",
]


def score(
    prediction: torch.Tensor,
    truth: torch.Tensor,
    *,
    data_range: float,
    valid: torch.Tensor | None = None,
    lit_threshold: float = 0.0,
    scale: int | None = None,
    columns: Sequence[Column] | None = None,
    zones: torch.Tensor | None = None,
) -> dict[str, float]:
    """Scores of one prediction.

    Args:
        prediction: ``[rows, columns]``.
        truth: the same shape and units.
        data_range: peak of the units.
        valid: boolean; other pixels take no part.
        lit_threshold: lit pixels are those with truth above it. Lit scores are over lit pixels; lit
            SSIM is the SSIM map averaged over windows whose centre is lit.
        scale: fine pixels per low-resolution pixel, for scores that need it; they are NaN without.
        columns: what to compute; what ``deeplight evaluate`` shows when None.
        zones: labels of cities, ``[rows, columns]``, integers, for columns that need them.

    Returns:
        Keys of the columns and values; NaN where a score has no pixel to stand on, SSIM also where
        the image is smaller than its window.
    """
    pair = Pair(
        prediction,
        truth,
        torch.ones_like(truth, dtype=torch.bool) if valid is None else valid,
        metrics.lit_mask(truth, lit_threshold),
        data_range,
        lit_threshold,
        scale,
        zones,
    )
    chosen = columns_of() if columns is None else columns
    return {column.key: float(column.compute(pair)) for column in chosen}


@dataclass(kw_only=True)
class ScoreTable:
    """Scores of candidates against one truth."""

    rows: dict[str, dict[str, float]]  #: candidate -> scores
    columns: tuple[Column, ...]  #: of the rows
    shape: tuple[int, int]  #: rows and columns of what was compared
    data_range: float
    lit_threshold: float
    valid_share: float  #: of the truth's pixels, those that every row is scored on
    lit_share: float  #: of the scored pixels, those above the threshold in the truth
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: NaN becomes None, infinity the string "inf"."""
        return {
            "data_range": self.data_range,
            "lit_threshold": self.lit_threshold,
            "valid_share": self.valid_share,
            "lit_share": self.lit_share,
            "notes": self.notes,
            "rows": [
                {"name": name, **{key: plain_number(value) for key, value in scores.items()}}
                for name, scores in self.rows.items()
            ],
        }


def plain_number(value: float) -> float | str | None:
    """A score as JSON has it: NaN is None, infinity the string "inf"."""
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else ("inf" if value > 0 else "-inf")
