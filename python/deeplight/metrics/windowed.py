"""Scores over sliding windows and blocks, and scores of a single image.

Images, masks and reductions are those of `functional`. A window that touches an invalid pixel is
dropped; ``where`` chooses the windows that count and leaves them whole: ``where=lit_mask(target)``
makes a score lit. Where no gradient is asked for, kernels stream over the rows and give the same
bits with any number of threads; otherwise ATen computes the same values.

The scores of a single image say how much it varies, never whether it is right: noise raises them.
Report them beside a score against the truth.

Example:
    >>> truth = torch.rand(1, 1, 32, 32, dtype=torch.float64) * 200
    >>> round(uiqi(0.75 * truth, truth).item(), 4)
    0.9216
    >>> piqe(torch.zeros(64, 64)).item()
    100.0
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from deeplight._native import metrics as _scores
from deeplight.metrics.documented import documented
from deeplight.metrics.functional import _json, _mask, _tensor

__all__ = [
    "PiqeBlocks",
    "average_gradient",
    "entropy",
    "gradient_error",
    "laplacian_variance",
    "ms_ssim",
    "piqe",
    "piqe_blocks",
    "uiqi",
]


class PiqeBlocks(NamedTuple):
    """PIQE's verdicts on blocks, ``[..., ceil(H / 16), ceil(W / 16)]``."""

    distortion: torch.Tensor  #: what a block adds to the sum; NaN where it does not count
    counted: torch.Tensor  #: boolean: no invalid pixel within reach, chosen by ``where``
    active: torch.Tensor  #: boolean
    artifact: torch.Tensor  #: boolean: a flat stretch on an edge of an active block
    noise: torch.Tensor  #: boolean: a noise-like centre of an active block


@documented(
    prediction=(
        "``[..., C, H, W]``, ``[C, H, W]`` or ``[H, W]``; sides hold the window at the last "
        "scale, 176 pixels with the defaults."
    ),
    mask="valid pixels; a coarse pixel is valid where all four of its pixels are.",
    where="window centres that count; a coarse pixel counts where any of its four does.",
    reduction='``"mean"``, ``"none"``, or ``"pooled"`` over the windows of all images.',
    weights="powers of the scales, fine to coarse; their number is that of the scales.",
    negative='what a negative mean at a scale becomes: ``"clamp"`` 0, ``"nan"`` NaN.',
    raises=(
        "shapes differ, data_range is missing or not above 0, the image is too small, a weight "
        "is below 0 or there is none, or the mask is not boolean."
    ),
)
def ms_ssim(
    prediction: Any,
    target: Any,
    *,
    data_range: float | None = None,
    mask: Any = None,
    where: Any = None,
    reduction: str = "mean",
    weights: Sequence[float] = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333),
    negative: str = "clamp",
    window_size: int = 11,
    sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
) -> torch.Tensor:
    """Multi-scale structural similarity, Wang et al. 2003 (doi:10.1109/ACSSC.2003.1292216).

    Scales halve by the mean of 2 x 2 pixels; the contrast and structure term counts at all scales
    but the last, the whole SSIM at the last; windows wholly inside the image. Differentiable.

    Returns:
        float64, at most 1; NaN where a scale has no window left.
    """
    options = {
        "weights": list(weights),
        "negative": negative,
        "window_size": window_size,
        "sigma": sigma,
        "k1": k1,
        "k2": k2,
    }
    return _scores.ms_ssim(
        _tensor(prediction),
        _tensor(target),
        data_range,
        _json("ms_ssim", options),
        _mask(mask),
        _mask(where),
        reduction,
    )


@documented(
    prediction="``[..., C, H, W]``, ``[C, H, W]`` or ``[H, W]``, sides at least the window.",
    where="window centres that count.",
    reduction=(
        '``"mean"``, ``"none"``, ``"pooled"`` over all windows of the batch, or ``"map"``, NaN '
        "at dropped windows."
    ),
    degenerate=(
        "what windows flat on both sides, or with both means zero, are worth. Night lights are "
        'full of them. ``"one"`` as the authors\' code: 1 where both are dark, ``2ab / (a^2 + '
        'b^2)`` where flat at a and b; ``"zero"``; ``"skip"``.'
    ),
    window_size="pixels; odd with a Gaussian window or a mirrored border.",
    window='``"uniform"`` or ``"gaussian"``.',
    sigma="of a Gaussian window, pixels.",
    raises="shapes differ, the image is smaller than the window, or a mask is not boolean.",
)
def uiqi(
    prediction: Any,
    target: Any,
    *,
    mask: Any = None,
    where: Any = None,
    reduction: str = "mean",
    degenerate: str = "one",
    window_size: int = 8,
    window: str = "uniform",
    sigma: float = 1.5,
    padding: str = "valid",
) -> torch.Tensor:
    """Universal image quality index, Wang and Bovik 2002 (doi:10.1109/97.995823).

    ``4 cov(x, y) mean(x) mean(y) / ((var(x) + var(y)) (mean(x)^2 + mean(y)^2))`` per window,
    averaged; needs no data range. Differentiable.

    Returns:
        float64 in [-1, 1]; NaN where no window is left.
    """
    options = {
        "degenerate": degenerate,
        "window_size": window_size,
        "window": window,
        "sigma": sigma,
        "padding": padding,
    }
    return _scores.uiqi(
        _tensor(prediction),
        _tensor(target),
        _json("uiqi", options),
        _mask(mask),
        _mask(where),
        reduction,
    )


@documented(
    reduction='``"mean"``, ``"none"``, ``"pooled"`` or ``"map"``.',
    filter='``"difference"`` to the next pixel right and below, or ``"sobel"``, Sobel / 8.',
    norm='``"l2"`` ``sqrt(dx^2 + dy^2)`` or ``"l1"`` ``|dx| + |dy|``.',
)
def gradient_error(
    prediction: Any,
    target: Any,
    *,
    mask: Any = None,
    where: Any = None,
    reduction: str = "mean",
    filter: str = "difference",
    norm: str = "l2",
) -> torch.Tensor:
    """Mean norm of the difference of the slopes; a constant offset costs nothing.

    Differentiable.

    Returns:
        float64, the images' units per pixel; 0 for identical images, NaN where no window is left
        (one pixel wide or high).
    """
    options = _json("gradient_error", {"filter": filter, "norm": norm})
    return _scores.gradient_error(
        _tensor(prediction), _tensor(target), options, _mask(mask), _mask(where), reduction
    )


def piqe(
    image: Any,
    *,
    mask: Any = None,
    where: Any = None,
    reduction: str = "mean",
    stretch: str = "maximum",
    data_range: float | None = None,
    round: bool = True,
    surround: str = "reference",
    activity_threshold: float = 0.1,
    artifact_threshold: float = 0.1,
) -> torch.Tensor:
    """Perception-based quality without a truth, Venkatanath et al. 2015.

    doi:10.1109/NCC.2015.7084843, with the steps and constants of MATLAB's ``piqe``. 0 is best. It
    charges active blocks of 16 x 16 for flat stretches on their edges and for noise; an image
    without an active block scores 100, and noise on a dark image can improve the score.

    Args:
        image: ``[..., C, H, W]``, ``[C, H, W]`` or ``[H, W]``, any size from 1 x 1; the blocks of
            all bands are judged together.
        mask: valid pixels; a block is dropped when an invalid pixel is within 3 pixels of it.
        where: only blocks that hold a true pixel count.
        reduction: ``"mean"``, ``"none"``, ``"pooled"``, or ``"map"``, what each block adds.
        stretch: how values become 0 ... 255: ``"maximum"`` by the image's largest valid value
            (MATLAB for all but uint8), ``"range"`` by data_range (comparable between images),
            ``"none"`` (MATLAB for uint8).
        data_range: peak of the image's units, for ``stretch="range"``.
        round: stretched values to integers.
        surround: columns around a block's centre: ``"reference"`` as the code, all but 8 and 10,
            or ``"centred"`` as the paper, all but 8 and 9.
        activity_threshold: normalised variance above which a block is active.
        artifact_threshold: standard deviation below which an edge segment is flat.

    Returns:
        float64, at times above 100; 100 where no block is active, NaN where no block counts.

    Raises:
        ValueError: stretch ``"range"`` without a data_range above 0, or a mask is not boolean.
    """
    options = {
        "stretch": stretch,
        "data_range": 0.0 if data_range is None else data_range,
        "round": round,
        "surround": surround,
        "activity_threshold": activity_threshold,
        "artifact_threshold": artifact_threshold,
    }
    return _scores.piqe(
        _tensor(image), _json("piqe", options), _mask(mask), _mask(where), reduction
    )


def piqe_blocks(image: Any, *, mask: Any = None, where: Any = None, **options: Any) -> PiqeBlocks:
    """The verdicts behind :func:`piqe`, with its arguments except ``reduction``.

    The score is ``100 (D + 1) / (active blocks + 1)``, D the sum of the distortions.
    """
    return PiqeBlocks(
        *_scores.piqe_blocks(
            _tensor(image), _json("piqe_blocks", options), _mask(mask), _mask(where)
        )
    )


@documented(
    image="``[..., C, H, W]``, ``[C, H, W]`` or ``[H, W]``; bands share a histogram.",
    data_range="bins divide [0, data_range], values outside go to the end bins; needed.",
    bins="of the histogram.",
    raises="data_range is missing or not above 0, bins below 1, or the mask is not boolean.",
)
def entropy(
    image: Any,
    *,
    data_range: float | None = None,
    mask: Any = None,
    reduction: str = "mean",
    bins: int = 256,
) -> torch.Tensor:
    """Shannon entropy of the histogram in bits.

    It rewards variety of values: noise raises it, and says nothing of whether they are right.

    Shannon 1948 (doi:10.1002/j.1538-7305.1948.tb01338.x).

    Returns:
        float64 in [0, log2(bins)]; 0 for a constant image, NaN without a valid pixel.
    """
    options = _json("entropy", {"bins": bins})
    return _scores.entropy(_tensor(image), data_range, options, _mask(mask), reduction)


@documented(
    reduction='``"mean"``, ``"none"``, ``"pooled"``, or ``"map"`` ``[..., H - 1, W - 1]``.',
    raises="a mask is not boolean.",
)
def average_gradient(
    image: Any, *, mask: Any = None, where: Any = None, reduction: str = "mean"
) -> torch.Tensor:
    """Mean of ``sqrt((dx^2 + dy^2) / 2)``, differences to the next pixel right and below.

    It rewards every step between neighbours: noise raises it like detail does.

    Returns:
        float64, the image's units per pixel; 0 for a constant image, NaN where no window of 2 x 2
        is left.
    """
    return _scores.average_gradient(_tensor(image), _mask(mask), _mask(where), reduction)


@documented(
    reduction=(
        '``"mean"``, ``"none"``, ``"pooled"``, or ``"map"``, the Laplacian itself ``[..., H - '
        "2, W - 2]``."
    ),
    raises="a mask is not boolean.",
)
def laplacian_variance(
    image: Any, *, mask: Any = None, where: Any = None, reduction: str = "mean"
) -> torch.Tensor:
    """Population variance of the Laplacian (0 1 0, 1 -4 1, 0 1 0), windows wholly inside.

    It rewards sharpness and noise alike: noise raises it more than detail does.

    Pech-Pacheco et al. 2000 (doi:10.1109/ICPR.2000.903548).

    Returns:
        float64, units squared; 0 for a constant image or a plane, NaN where no window of 3 x 3 is
        left.
    """
    return _scores.laplacian_variance(_tensor(image), _mask(mask), _mask(where), reduction)
