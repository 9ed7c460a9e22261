"""Rivals of SSIM, UIQI and PIQE for window_metrics.py, and the formulas that all must meet.

Images are arrays ``[H, W]`` in [0, 255]; every function gives one number. pyiqa is taken from the
folder DEEPLIGHT_PYIQA where it is not installed.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from deeplight import metrics

Array = np.ndarray
Images = tuple[Array, Array]

#: Multiply-adds of a pixel's separable windows over its moments; UIQI's sums of 2, 4, 8 only add.
MACS = {
    "ssim": 4 * 22,
    "ssim, mirrored": 4 * 22,
    "uiqi": 4 * 6,
    "uiqi, Gaussian": 4 * 22,
    "piqe": 2 * 14,
}

# The formulas in float64, for the check; `taps` is the window's side of weights.


def _gaussian(size: int, sigma: float) -> Array:
    taps = np.exp(-((np.arange(size) - size // 2) ** 2) / (2 * sigma**2))
    return taps / taps.sum()


def _moments(p: Array, t: Array, taps: Array) -> tuple[Array, ...]:
    """Means, variances' sum and covariance of every window, each from its own pixels."""
    weights = np.outer(taps, taps)
    x, y = (np.lib.stride_tricks.sliding_window_view(a, weights.shape) for a in (p, t))
    mx, my = (np.einsum("ijkl,kl->ij", a, weights) for a in (x, y))
    dx, dy = x - mx[..., None, None], y - my[..., None, None]
    variances = np.einsum("ijkl,ijkl,kl->ij", dx, dx, weights)
    variances += np.einsum("ijkl,ijkl,kl->ij", dy, dy, weights)
    return mx, my, variances, np.einsum("ijkl,ijkl,kl->ij", dx, dy, weights)


def _ssim_formula(p: Array, t: Array) -> float:
    mx, my, variances, covariance = _moments(p, t, _gaussian(11, 1.5))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * mx * my + c1) * (2 * covariance + c2)
    return float((top / ((mx * mx + my * my + c1) * (variances + c2))).mean())


def _mirrored_formula(p: Array, t: Array) -> float:
    return _ssim_formula(*(np.pad(a, 5, "reflect") for a in (p, t)))


def _uiqi_formula(p: Array, t: Array, taps: Array) -> float:
    mx, my, variances, covariance = _moments(p, t, taps)
    bottom = variances * (mx * mx + my * my)
    # Nothing in either image's window: 1. (One of them dark: the top is 0.)
    nothing = (mx == 0) & (my == 0)
    quality = 4 * covariance * mx * my / np.where(bottom == 0, 1, bottom)
    return float(np.where(nothing, 1.0, quality).mean())


def _piqe_formula(p: Array, t: Array) -> float:
    """MATLAB's steps, one block after the other; windows written out, sides multiples of 16."""
    x = np.pad(np.floor(255 * (p / p.max()) + 0.5), 3, "edge")
    weights = np.outer(_gaussian(7, 7 / 6), _gaussian(7, 7 / 6))
    windows = np.lib.stride_tricks.sliding_window_view(x, (7, 7))
    mean, square = (np.einsum("ijkl,kl->ij", a, weights) for a in (windows, windows**2))
    z = (x[3:-3, 3:-3] - mean) / (np.sqrt(np.abs(square - mean * mean)) + 1)
    total = active = 0.0
    for i, j in np.ndindex(z.shape[0] // 16, z.shape[1] // 16):
        block = z[16 * i : 16 * i + 16, 16 * j : 16 * j + 16]
        variance = block.var(ddof=1)
        if variance <= 0.1:
            continue
        edges = (block[0], block[-1], block[:, 0], block[:, -1])
        flat = any(edge[k : k + 6].std(ddof=1) < 0.1 for edge in edges for k in range(11))
        ratio = block[:, 7:9].std(ddof=1) / np.delete(block, (7, 9), 1).std(ddof=1)
        sigma = np.sqrt(variance)
        noisy = sigma > 2 * abs(sigma - ratio) / max(sigma, ratio)
        total, active = total + (1 - variance) * flat + variance * noisy, active + 1
    return float(100 * (total + 1) / (active + 1))


# Rivals.


def _skimage_ssim(p: Array, t: Array) -> float:
    from skimage.metrics import structural_similarity

    return structural_similarity(
        p, t, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )


def _scipy_ssim(p: Array, t: Array) -> float:
    def mean(a: Array) -> Array:
        return ndimage.gaussian_filter(a, 1.5, radius=5)[5:-5, 5:-5]

    mp, mt = mean(p), mean(t)
    product, both = mp * mt, mp * mp + mt * mt
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * product + c1) * (2 * (mean(p * t) - product) + c2)
    return float((top / ((both + c1) * (mean(p * p + t * t) - both + c2))).mean())


def _as_tensors(*images: Array) -> list[torch.Tensor]:
    return [torch.from_numpy(a)[None, None] for a in images]


def _torchmetrics_ssim(p: Array, t: Array) -> float:
    from torchmetrics.functional.image import structural_similarity_index_measure

    return structural_similarity_index_measure(*_as_tensors(p, t), data_range=255.0).item()


def _pyiqa_ssim(p: Array, t: Array) -> float:
    from pyiqa.archs.ssim_arch import ssim

    with torch.no_grad():
        return ssim(*_as_tensors(p, t), data_range=255).item()


def _uiqi_of(mean: Callable[[Array], Array], p: Array, t: Array) -> float:
    mp, mt = mean(p), mean(t)
    product, both = mp * mt, mp * mp + mt * mt
    variances = mean(p * p + t * t) - both
    with np.errstate(invalid="ignore"):
        quality = 4 * (mean(p * t) - product) * product / (variances * both)
    quality[both == 0] = 1
    return float(quality.mean())


def _scipy_uiqi(p: Array, t: Array) -> float:
    def mean(a: Array) -> Array:
        return ndimage.uniform_filter(a, 8, mode="constant")[4:-3, 4:-3]

    return _uiqi_of(mean, p, t)


def _numpy_uiqi(p: Array, t: Array) -> float:
    """The library's own way of adding, written in NumPy: the hardest rival that we know of."""

    def mean(a: Array) -> Array:
        for k in (1, 2, 4):
            a = a[k:] + a[:-k]
        for k in (1, 2, 4):
            a = a[:, k:] + a[:, :-k]
        return a / 64

    return _uiqi_of(mean, p, t)


def _torchmetrics_uiqi(p: Array, t: Array) -> float:
    from torchmetrics.functional.image import universal_image_quality_index

    return universal_image_quality_index(*_as_tensors(p, t)).item()


def _scipy_piqe(p: Array, t: Array) -> float:
    """MATLAB's steps with whole-image arrays, for sides that are multiples of 16."""
    x = np.floor(255 * (p / p.max()) + 0.5)
    mean, square = (ndimage.gaussian_filter(a, 7 / 6, radius=3, mode="nearest") for a in (x, x * x))
    z = (x - mean) / (np.sqrt(np.abs(square - mean * mean)) + 1)
    blocks = z.reshape(z.shape[0] // 16, 16, -1, 16).swapaxes(1, 2)
    blocks = blocks[blocks.var((2, 3), ddof=1) > 0.1]
    variance = blocks.var((1, 2), ddof=1)
    edges = np.stack([blocks[:, 0], blocks[:, -1], blocks[:, :, 0], blocks[:, :, -1]], 1)
    segments = np.lib.stride_tricks.sliding_window_view(edges, 6, -1).std(-1, ddof=1)
    flat = (segments < 0.1).any((1, 2))
    centre = blocks[:, :, 7:9].std((1, 2), ddof=1)
    surround = np.delete(blocks, (7, 9), 2).std((1, 2), ddof=1)
    ratio, sigma = np.nan_to_num(centre / surround), np.sqrt(variance)
    noisy = sigma > 2 * np.abs(sigma - ratio) / np.maximum(sigma, ratio)
    total = ((1 - variance) * flat + variance * noisy).sum()
    return float(100 * (total + 1) / (len(blocks) + 1))


def _pyiqa_piqe(p: Array, t: Array) -> float:
    from pyiqa.archs.piqe_arch import piqe

    with torch.no_grad():
        score = piqe(_as_tensors(p)[0] / 255)
    # Version 0.1.16 gives the masks of the blocks beside the score.
    return float(score[0] if isinstance(score, tuple) else score)


@dataclass(frozen=True)
class Match:
    """One rival and the own call that means the same score."""

    item: str
    rival: str
    own: Callable[..., torch.Tensor]
    run_rival: Callable[..., float]
    formula: Callable[..., float]
    dtype: type
    rtol: float  # of the rival, against the formula; own: 1e-10


def _own_ssim(p: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return metrics.ssim(p, t, data_range=255)


def _own_mirrored(p: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return metrics.ssim(p, t, data_range=255, padding="reflect")


def _own_gaussian_uiqi(p: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return metrics.uiqi(p, t, window="gaussian", window_size=11, sigma=1.5)


def _own_piqe(p: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return metrics.piqe(p)


def _uniform_formula(p: Array, t: Array) -> float:
    return _uiqi_formula(p, t, np.full(8, 1 / 8))


def _gaussian_formula(p: Array, t: Array) -> float:
    return _uiqi_formula(p, t, _gaussian(11, 1.5))


_F64, _F32 = np.float64, np.float32
MATCHES = [
    Match("ssim", "scikit-image", _own_ssim, _skimage_ssim, _ssim_formula, _F64, 1e-10),
    Match("ssim", "SciPy", _own_ssim, _scipy_ssim, _ssim_formula, _F64, 1e-10),
    Match(
        "ssim, mirrored", "torchmetrics", _own_mirrored, _torchmetrics_ssim, _mirrored_formula,
        _F32, 1e-4,
    ),
    Match("uiqi", "SciPy", metrics.uiqi, _scipy_uiqi, _uniform_formula, _F64, 1e-9),
    Match("uiqi", "NumPy, sums of 2, 4, 8", metrics.uiqi, _numpy_uiqi, _uniform_formula, _F64,
          1e-9),
    Match(
        "uiqi, Gaussian", "torchmetrics", _own_gaussian_uiqi, _torchmetrics_uiqi,
        _gaussian_formula, _F32, 1e-3,
    ),
    Match("piqe", "SciPy", _own_piqe, _scipy_piqe, _piqe_formula, _F64, 1e-10),
]  # fmt: skip

if "DEEPLIGHT_PYIQA" in os.environ:
    # Last: what is installed here comes first.
    sys.path.append(os.environ["DEEPLIGHT_PYIQA"])
if importlib.util.find_spec("pyiqa") is not None:
    MATCHES += [
        Match("ssim", "pyiqa", _own_ssim, _pyiqa_ssim, _ssim_formula, _F32, 1e-4),
        # In single precision some blocks lie on the other side of a threshold.
        Match("piqe", "pyiqa", _own_piqe, _pyiqa_piqe, _piqe_formula, _F32, 2e-3),
    ]
MATCHES.sort(key=lambda match: ("ssim", "uiqi", "piqe").index(match.item.split(",")[0]))
