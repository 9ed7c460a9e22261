"""Scores on tensors, computed natively in float64.

An image is the last three dimensions ``[C, H, W]`` of a tensor of four or more, and the whole of a
tensor of two or three; everything before is batch. Integers and half precision are converted first,
so that unsigned differences do not wrap. A ``mask`` is boolean, broadcasts to the prediction
(``[B, 1, H, W]``, ``[H, W]``, ...) and truly excludes: invalid pixels may hold NaN.

``reduction`` is ``"mean"`` (of the images' scores; an image without a valid pixel has no vote),
``"none"`` (one score per image, NaN without a valid pixel) or ``"pooled"`` (one score over the
pixels of all images together).

On night lights about 95 % of the pixels are dark and an all-dark image scores well. A lit score is
the score with ``mask=lit_mask(target)``; the lit SSIM is ``ssim(..., where=lit_mask(target))``.

Example:
    >>> truth = torch.zeros(1, 1, 32, 32)
    >>> truth[..., 8:24, 8:24] = 100.0
    >>> round(psnr(truth * 0.9, truth, data_range=255, mask=lit_mask(truth)).item(), 2)
    28.13
"""

from __future__ import annotations

import json
import math
from typing import Any

import torch

from deeplight._native import metrics as _scores
from deeplight.metrics.documented import documented

__all__ = [
    "bias",
    "cc",
    "ergas",
    "lit_mask",
    "mae",
    "psnr",
    "r2",
    "rmse",
    "rsd",
    "sam",
    "ssim",
    "ssim_map",
    "total_light_ratio",
]


def _tensor(image: Any) -> torch.Tensor:
    return image if isinstance(image, torch.Tensor) else torch.as_tensor(image)


def _mask(mask: Any) -> torch.Tensor | None:
    return None if mask is None else _tensor(mask)


def _json(metric: str, options: dict[str, Any]) -> str:
    """Options as the native side reads them; JSON has no infinity."""
    for name, value in options.items():
        if isinstance(value, float) and not math.isfinite(value):
            rule = "finite and above 0" if name == "data_range" else "finite"
            raise ValueError(f"{metric}: {name} must be {rule}, got {value}")
    return json.dumps(options)


def lit_mask(target: Any, threshold: float = 0.0) -> torch.Tensor:
    """Pixels that carry light in the truth.

    Args:
        target: any shape.
        threshold: in the target's units; lit means strictly brighter.

    Returns:
        Boolean tensor of the target's shape.
    """
    return _scores.lit_mask(_tensor(target), threshold)


@documented(reduction='``"mean"`` averages decibels, ``"pooled"`` takes one MSE over everything.')
def psnr(
    prediction: Any,
    target: Any,
    *,
    data_range: float | None = None,
    mask: Any = None,
    reduction: str = "mean",
) -> torch.Tensor:
    """Peak signal-to-noise ratio in decibels, ``10 log10(data_range ** 2 / MSE)``.

    Returns:
        float64; ``inf`` for identical images, NaN without a valid pixel.
    """
    return _scores.psnr(_tensor(prediction), _tensor(target), data_range, _mask(mask), reduction)


def _ssim_options(*values: float | str | bool) -> str:
    names = ("window_size", "sigma", "k1", "k2", "window", "padding", "sample_covariance")
    return _json("ssim", dict(zip(names, values, strict=True)))


@documented(
    prediction="``[..., C, H, W]``, ``[C, H, W]`` or ``[H, W]``, sides at least the window.",
    mask="valid pixels; a window that touches an invalid pixel is dropped.",
    where=(
        "window centres that count. Weighs the finished map and leaves windows whole: with "
        "``where=lit_mask(target)``, the lit SSIM, a window counts for its lit centre although "
        "it may reach over dark pixels."
    ),
    reduction='``"pooled"`` is the mean over all windows of the batch.',
    raises=(
        "shapes differ, data_range is missing or not above 0, the image is smaller than the "
        "window, or a mask is not boolean."
    ),
)
def ssim(
    prediction: Any,
    target: Any,
    *,
    data_range: float | None = None,
    mask: Any = None,
    where: Any = None,
    reduction: str = "mean",
    window_size: int = 11,
    sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    window: str = "gaussian",
    padding: str = "valid",
    sample_covariance: bool = False,
) -> torch.Tensor:
    """Structural similarity, Wang et al. 2004 (doi:10.1109/TIP.2003.819861).

    Gaussian window, population moments, windows wholly inside the image, no downsampling. Equals
    scikit-image with ``gaussian_weights=True, sigma=1.5, use_sample_covariance=False`` and its map
    cropped by 5 pixels; scikit-image as it comes with ``window="uniform", window_size=7,
    sample_covariance=True``; torchmetrics with ``padding="reflect"``. Differentiable.

    Returns:
        float64 in [-1, 1]; NaN where no window is left.
    """
    options = _ssim_options(window_size, sigma, k1, k2, window, padding, sample_covariance)
    return _scores.ssim(
        _tensor(prediction),
        _tensor(target),
        data_range,
        options,
        _mask(mask),
        _mask(where),
        reduction,
    )


@documented()
def ssim_map(
    prediction: Any,
    target: Any,
    *,
    data_range: float | None = None,
    mask: Any = None,
    window_size: int = 11,
    sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    window: str = "gaussian",
    padding: str = "valid",
    sample_covariance: bool = False,
) -> torch.Tensor:
    """The map that :func:`ssim` averages.

    Returns:
        float64 ``[..., H - window_size + 1, W - window_size + 1]``; element (0, 0) belongs to pixel
        (window_size // 2, window_size // 2). ``[..., H, W]`` with a mirrored border. NaN at
        dropped windows.
    """
    options = _ssim_options(window_size, sigma, k1, k2, window, padding, sample_covariance)
    return _scores.ssim(
        _tensor(prediction), _tensor(target), data_range, options, _mask(mask), None, "map"
    )


@documented(reduction='``"mean"`` averages roots, ``"pooled"`` is the root of one mean.')
def rmse(
    prediction: Any, target: Any, *, mask: Any = None, reduction: str = "mean"
) -> torch.Tensor:
    """Root mean squared error in the images' units.

    Returns:
        float64; NaN without a valid pixel.
    """
    return _scores.rmse(_tensor(prediction), _tensor(target), _mask(mask), reduction)


@documented()
def cc(prediction: Any, target: Any, *, mask: Any = None, reduction: str = "mean") -> torch.Tensor:
    """Pearson's correlation coefficient.

    Returns:
        float64 in [-1, 1]; 0 where either side is constant over the valid pixels, NaN without one.
    """
    return _scores.cc(_tensor(prediction), _tensor(target), _mask(mask), reduction)


@documented(reduction='``"pooled"`` is the ratio of the batch\'s sums, the figure to report.')
def total_light_ratio(
    prediction: Any, target: Any, *, mask: Any = None, reduction: str = "mean"
) -> torch.Tensor:
    """Sum of light in the prediction over sum of light in the target.

    Returns:
        float64, 1 when all light is kept; 1 where both sums are zero, infinite where only the
        target's is, NaN without a valid pixel.
    """
    return _scores.total_light_ratio(_tensor(prediction), _tensor(target), _mask(mask), reduction)


@documented(reduction='``"mean"``, ``"none"`` or ``"pooled"``, or "map" per pixel.')
def mae(prediction: Any, target: Any, *, mask: Any = None, reduction: str = "mean") -> torch.Tensor:
    """Mean absolute error in the images' units.

    Returns:
        float64; NaN without a valid pixel.
    """
    return _scores.mae(_tensor(prediction), _tensor(target), _mask(mask), reduction)


@documented(reduction='``"mean"``, ``"none"`` or ``"pooled"``, or "map" per pixel.')
def bias(
    prediction: Any, target: Any, *, mask: Any = None, reduction: str = "mean"
) -> torch.Tensor:
    """Mean of prediction - target: positive where the prediction is too bright.

    Returns:
        float64; NaN without a valid pixel.
    """
    return _scores.bias(_tensor(prediction), _tensor(target), _mask(mask), reduction)


@documented()
def rsd(prediction: Any, target: Any, *, mask: Any = None, reduction: str = "mean") -> torch.Tensor:
    """Relative difference of the standard deviations, ``|sp - st| / st``.

    Returns:
        float64; 0 where both sides are constant, infinite where only the target is, NaN
        without a valid pixel.
    """
    return _scores.rsd(_tensor(prediction), _tensor(target), _mask(mask), reduction)


@documented()
def r2(prediction: Any, target: Any, *, mask: Any = None, reduction: str = "mean") -> torch.Tensor:
    """Coefficient of determination, ``1 - sum (p - t)^2 / sum (t - mean t)^2``.

    Returns:
        float64; at most 1. Where the target is constant: 1 for equal images, else 0; NaN without
        a valid pixel.
    """
    return _scores.r2(_tensor(prediction), _tensor(target), _mask(mask), reduction)


@documented(
    vectors=(
        '``"bands"``, the mean angle over pixels of their spectra (torchmetrics), or '
        '``"image"``, one vector per image (the DeepLight paper\'s tables).'
    ),
    unit='``"radians"`` or ``"degrees"``.',
    allow_one_band="one band has no spectrum and is an error over bands unless asked for.",
    mask="valid pixels; over bands a pixel counts when it is valid in every band.",
    reduction='``"mean"``, ``"none"``, ``"pooled"``, or over bands ``"map"``.',
)
def sam(
    prediction: Any,
    target: Any,
    *,
    vectors: str = "bands",
    unit: str = "radians",
    allow_one_band: bool = False,
    mask: Any = None,
    reduction: str = "mean",
) -> torch.Tensor:
    """Spectral angle between prediction and target.

    Returns:
        float64. Two zero vectors enclose 0, a zero vector and another one pi / 2; NaN without a
        valid pixel.
    """
    return _scores.sam(
        _tensor(prediction), _tensor(target), vectors, unit, allow_one_band, _mask(mask), reduction
    )


@documented(
    prediction="``[..., C, H, W]``, ``[C, H, W]`` or ``[H, W]`` in physical units.",
    ratio=(
        "``h / l``, the fine cell's side over the coarse one's: 1 / scale; needed. torchmetrics "
        "takes its inverse under the same name."
    ),
)
def ergas(
    prediction: Any,
    target: Any,
    *,
    ratio: float | None = None,
    mask: Any = None,
    reduction: str = "mean",
) -> torch.Tensor:
    """Wald's relative global error, ``100 h/l sqrt(mean over bands of (RMSE / mean)^2)``.

    Returns:
        float64. A band whose target has mean 0 counts 0 when exact, else infinity; NaN without a
        valid pixel.
    """
    return _scores.ergas(_tensor(prediction), _tensor(target), ratio, _mask(mask), reduction)
