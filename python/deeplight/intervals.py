"""Intervals for scores of one image: a bootstrap over spatial blocks.

Neighbouring pixels are nearly the same number, so resampling pixels would promise far more than the
data know. Blocks of many cells are resampled instead (Hall 1985, doi:10.1016/0304-4149(85)90212-1),
all candidates together, so that a difference between two rows of a table has an interval too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from deeplight import metrics

__all__ = ["SCORES", "BlockSums", "Interval", "bootstrap", "scores_of"]

_FIELDS = ("lit", "lit_error", "windows", "ssim", "valid", "error", "light", "true_light")

#: Names of the scores, as :func:`scores_of` gives them.
SCORES = ("lit_psnr", "lit_ssim", "light", "psnr")


@dataclass(frozen=True)
class BlockSums:
    """What the scores of an image are made of, block by block.

    Attributes:
        sums: float64 ``[blocks, 8]``; sums of the rows are those of the whole image.
        data_range: peak of the units.
    """

    sums: torch.Tensor
    data_range: float

    @classmethod
    def of(
        cls,
        prediction: torch.Tensor,
        truth: torch.Tensor,
        valid: torch.Tensor,
        *,
        data_range: float,
        block: int,
        lit_above: float = 0.0,
    ) -> BlockSums:
        """Sums over a grid of blocks; blocks without a valid pixel are left out.

        Args:
            prediction: ``[H, W]``.
            truth: ``[H, W]``, the same units.
            valid: boolean ``[H, W]``.
            data_range: peak of the units.
            block: side of a block in pixels; the last ones may be smaller.
            lit_above: lit pixels are those with truth above it.

        Raises:
            ValueError: shapes differ, or no pixel is valid.
        """
        if not prediction.shape == truth.shape == valid.shape:
            raise ValueError(
                f"prediction {tuple(prediction.shape)}, truth {tuple(truth.shape)} and valid "
                f"{tuple(valid.shape)} must have one shape"
            )
        prediction, truth = (torch.where(valid, x.double(), 0.0) for x in (prediction, truth))
        lit = valid & (truth > lit_above)
        error = (prediction - truth).square()
        similarity = torch.full_like(truth, math.nan)
        if min(truth.shape) >= 11:
            similarity[5:-5, 5:-5] = metrics.ssim_map(
                prediction, truth, data_range=data_range, mask=valid
            )
        scored = lit & similarity.isfinite()
        maps = {
            "lit": lit, "lit_error": error * lit, "windows": scored,
            "ssim": torch.where(scored, similarity, 0.0), "valid": valid, "error": error,
            "light": prediction, "true_light": truth,
        }  # fmt: skip
        sums = torch.stack([_per_block(maps[name].double(), block) for name in _FIELDS], 1)
        sums = sums[sums[:, _FIELDS.index("valid")] > 0]
        if sums.shape[0] == 0:
            raise ValueError("no pixel is valid")
        return cls(sums, data_range)

    @classmethod
    def joined(cls, parts: list[BlockSums]) -> BlockSums:
        """The blocks of several images together."""
        return cls(torch.cat([part.sums for part in parts]), parts[0].data_range)


@dataclass(frozen=True)
class Interval:
    """A score with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def _per_block(image: torch.Tensor, block: int) -> torch.Tensor:
    height, width = image.shape
    padded = torch.nn.functional.pad(image, (0, -width % block, 0, -height % block))
    rows, columns = padded.shape[0] // block, padded.shape[1] // block
    return padded.view(rows, block, columns, block).sum((1, 3)).flatten()


def scores_of(sums: torch.Tensor, data_range: float) -> dict[str, torch.Tensor]:
    """Scores from sums ``[..., 8]``; NaN where a score has no pixel to stand on."""
    total = dict(zip(_FIELDS, sums.unbind(-1), strict=True))

    def decibel(error: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
        return 10 * torch.log10(data_range**2 * count / error)

    return {
        "lit_psnr": decibel(total["lit_error"], total["lit"]),
        "lit_ssim": total["ssim"] / total["windows"],
        "light": total["light"] / total["true_light"],
        "psnr": decibel(total["error"], total["valid"]),
    }


def bootstrap(
    candidates: Mapping[str, BlockSums],
    *,
    against: str | None = None,
    samples: int = 2000,
    seed: int = 0,
) -> dict[str, dict[str, Interval]]:
    """Scores of every candidate with 95 % percentile intervals.

    Args:
        candidates: by name, over the same blocks.
        against: adds ``gain``, the lit PSNR over this candidate's, resampled in pairs.
        samples: resamplings.
        seed: of the resampling.

    Raises:
        ValueError: candidates over different blocks, or ``against`` is none of them.
    """
    counts = {name: sums.sums.shape[0] for name, sums in candidates.items()}
    if len(set(counts.values())) != 1:
        raise ValueError(f"candidates have different numbers of blocks: {counts}")
    if against is not None and against not in candidates:
        raise ValueError(f"'{against}' is no candidate; known: {', '.join(candidates)}")
    (blocks,) = set(counts.values())
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(blocks, (samples, blocks), generator=generator)
    weights = torch.zeros(samples, blocks, dtype=torch.float64)
    weights.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=torch.float64))

    values, resampled = {}, {}
    for name, given in candidates.items():
        values[name] = scores_of(given.sums.sum(0), given.data_range)
        resampled[name] = scores_of(weights @ given.sums, given.data_range)
        if against is not None:
            reference = candidates[against]
            for table, sums in (
                (values, lambda x: x.sums.sum(0)), (resampled, lambda x: weights @ x.sums)
            ):  # fmt: skip
                base = scores_of(sums(reference), reference.data_range)["lit_psnr"]
                table[name]["gain"] = table[name]["lit_psnr"] - base
    return {
        name: {key: _interval(value, resampled[name][key]) for key, value in scores.items()}
        for name, scores in values.items()
    }


def _interval(value: torch.Tensor, resampled: torch.Tensor) -> Interval:
    # A resampling without a lit pixel has no lit score; the others speak for it.
    usable = resampled[~resampled.isnan()]
    if usable.numel() == 0:
        return Interval(float(value), math.nan, math.nan)
    low, high = torch.quantile(usable, torch.tensor([0.025, 0.975], dtype=torch.float64))
    return Interval(float(value), float(low), float(high))
