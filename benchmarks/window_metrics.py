"""SSIM and UIQI on the CPU against scikit-image and SciPy, checked against them first.

Both sides take the same float64 image and give one mean; the rivals run on one thread.
"""

from __future__ import annotations

import numpy as np
import torch
from protocol import Row, compare
from scipy import ndimage
from skimage.metrics import structural_similarity

from deeplight import metrics


def _pair(size: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    shape = (size, size)
    truth = generator.gamma(0.7, 60.0, shape).clip(0, 255) * (generator.random(shape) < 0.3)
    return truth + generator.normal(0, 6, shape), truth


def _skimage_ssim(p: np.ndarray, t: np.ndarray) -> float:
    return structural_similarity(
        p, t, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )


def _scipy_uiqi(p: np.ndarray, t: np.ndarray) -> float:
    def mean(a: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(a, 8, mode="constant")[4:-3, 4:-3]

    mp, mt = mean(p), mean(t)
    variances = mean(p * p) - mp * mp + mean(t * t) - mt * mt
    covariance = mean(p * t) - mp * mt
    return float((4 * covariance * mp * mt / (variances * (mp * mp + mt * mt))).mean())


def rows(rounds: int) -> list[Row]:
    """One band of 2048 x 2048."""
    scores = {
        "ssim": (lambda p, t: metrics.ssim(p, t, data_range=255), "scikit-image", _skimage_ssim),
        "uiqi": (metrics.uiqi, "SciPy", _scipy_uiqi),
    }
    small, arrays = _pair(256), _pair(2048)
    tensors = [torch.from_numpy(a) for a in arrays]
    result = []
    for name, (own, rival, run_rival) in scores.items():
        np.testing.assert_allclose(own(*small).item(), run_rival(*small), rtol=1e-10)
        for threads in (1, 2):
            torch.set_num_threads(threads)
            measured = compare(
                lambda own=own: own(*tensors),
                lambda run_rival=run_rival: run_rival(*arrays),
                rounds,
            )
            result.append(Row(name, "2048x2048", threads, rival, *measured))
    return result
