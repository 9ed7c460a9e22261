"""Sharpening of temperature by a vegetation index, as practitioners do it without training data.

DisTrad (Kustas et al. 2003, doi:10.1016/S0034-4257(03)00036-1) regresses the coarse temperature on
the coarse NDVI and its square; TsHARP (Agam et al. 2007, doi:10.1016/j.rse.2006.10.006) on the
fraction of vegetation cover, ``1 - ((max - NDVI) / (max - min)) ** 0.625``. Both apply the fit to
the fine index and add what that leaves at the coarse cells. Temperature is ``[h, w]``, the index
``[r*h, r*w]``; NaN is missing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

__all__ = ["Sharpened", "block_mean", "sharpen"]

METHODS = ("distrad", "tsharp")
RESIDUALS = ("block", "smooth")
_COVER_EXPONENT = 0.625


@dataclass(frozen=True)
class Sharpened:
    """A sharpened temperature, and the fit behind it."""

    image: torch.Tensor  #: [r*h, r*w] float64, the temperature's units; NaN where missing
    coefficients: tuple[float, ...]  #: of 1, x, and for DisTrad x squared
    explained: float  #: R2 of the fit over the cells that it used
    cells: int  #: that it used


def block_mean(image: torch.Tensor, scale: int) -> torch.Tensor:
    """Means of scale x scale blocks of ``[..., r*h, r*w]``, NaN where a pixel is NaN."""
    *leading, rows, columns = image.shape
    blocks = image.reshape(*leading, rows // scale, scale, columns // scale, scale)
    return blocks.mean(dim=(-3, -1))


def sharpen(
    temperature: torch.Tensor,
    index: torch.Tensor,
    scale: int,
    *,
    method: str = "tsharp",
    residual: str = "block",
    homogeneous: float = 1.0,
) -> Sharpened:
    """Sharpens a temperature by a fine vegetation index.

    Args:
        temperature: ``[h, w]``.
        index: NDVI ``[r*h, r*w]``.
        scale: r.
        method: "tsharp" or "distrad".
        residual: "block" adds a cell's residual to all of its pixels, so that the block means of
            the image are the temperature; "smooth" interpolates the residuals, without the blocks'
            edges and without that property.
        homogeneous: share of the cells that are fitted, those whose index varies least within the
            cell (coefficient of variation). Kustas took a quarter of them.

    Raises:
        ValueError: sizes that do not fit, unknown words, a share outside (0, 1], fewer cells than
            coefficients, or an index that is the same everywhere.
    """
    if method not in METHODS:
        raise ValueError(f"method must be {' or '.join(METHODS)}, got '{method}'")
    if residual not in RESIDUALS:
        raise ValueError(f"residual must be {' or '.join(RESIDUALS)}, got '{residual}'")
    if not 0 < homogeneous <= 1:
        raise ValueError(f"homogeneous must lie in (0, 1], got {homogeneous:g}")
    expected = tuple(side * scale for side in temperature.shape)
    if tuple(index.shape) != expected or temperature.ndim != 2:
        raise ValueError(
            f"the index is {tuple(index.shape)}, expected {expected} = {scale} x temperature "
            f"{tuple(temperature.shape)}"
        )
    low, fine = temperature.double(), index.double()
    coarse = block_mean(fine, scale)
    fitted = _chosen(low, fine, coarse, scale, homogeneous)
    order = 2 if method == "distrad" else 1
    if method == "tsharp":
        seen = coarse[fitted]
        least, most = (float(seen.min()), float(seen.max())) if seen.numel() else (0.0, 0.0)
        if not most > least:
            raise ValueError(f"the index is {least:g} in all {seen.numel()} cells that are fitted")
        fine, coarse = (_cover(image, least, most) for image in (fine, coarse))
        coarse = block_mean(fine, scale)
    x, y = coarse[fitted], low[fitted]
    if x.numel() <= order:
        raise ValueError(f"{x.numel()} cells cannot be fitted with {order + 1} coefficients")
    if not float(x.max() - x.min()) > 0:
        raise ValueError(f"the index is {float(x[0]):g} in all {x.numel()} cells that are fitted")
    weights = torch.linalg.lstsq(_powers(x, order), y[:, None]).solution[:, 0]
    error = y - _powers(x, order) @ weights
    image = (_powers(fine.flatten(), order) @ weights).view_as(fine)
    image = image + _spread(low - block_mean(image, scale), scale, residual)
    return Sharpened(
        image,
        tuple(weights.tolist()),
        1 - float(error.square().sum() / (y - y.mean()).square().sum()),
        x.numel(),
    )


def _cover(index: torch.Tensor, least: float, most: float) -> torch.Tensor:
    """Fraction of vegetation cover; pixels beyond the cells' extremes count as those."""
    bare = ((most - index) / (most - least)).clamp(0, 1)
    return 1 - bare**_COVER_EXPONENT


def _chosen(
    low: torch.Tensor, fine: torch.Tensor, coarse: torch.Tensor, scale: int, share: float
) -> torch.Tensor:
    """Cells to fit, bool ``[h, w]``: valid, and among the most homogeneous."""
    usable = low.isfinite() & coarse.isfinite()
    if share == 1:
        return usable
    spread = (block_mean(fine * fine, scale) - coarse * coarse).clamp_min(0).sqrt()
    variation = torch.where(usable, spread / coarse.abs(), torch.inf)
    count = max(1, round(share * int(usable.sum())))
    limit = variation.flatten().sort().values[count - 1]
    return usable & (variation <= limit)


def _powers(x: torch.Tensor, order: int) -> torch.Tensor:
    return torch.stack([x**power for power in range(order + 1)], dim=1)


def _spread(left: torch.Tensor, scale: int, residual: str) -> torch.Tensor:
    if residual == "block":
        return left.repeat_interleave(scale, 0).repeat_interleave(scale, 1)
    known = left.isfinite()
    smooth = F.interpolate(
        torch.where(known, left, 0)[None, None], scale_factor=scale, mode="bilinear"
    )[0, 0]
    missing = ~known.repeat_interleave(scale, 0).repeat_interleave(scale, 1)
    return smooth.masked_fill(missing, torch.nan)
