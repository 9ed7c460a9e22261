"""NIQE with models of one's own, and spectral errors.

Example:
    >>> rng = torch.Generator().manual_seed(0)
    >>> good = torch.rand(4, 1, 128, 128, generator=rng).cumsum(-1).cumsum(-2) % 50
    >>> model = fit_niqe(good, data_range=50, block_size=16, sharpness=0)
    >>> bool(niqe(good[0], model=model) < niqe(torch.rand(1, 128, 128) * 50, model=model))
    True
    >>> spectral_error(good.flip(-1), good).item() < 0.1  # blind to where the detail is
    True
"""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike, fspath
from typing import Any, NamedTuple

import torch

from deeplight._native import metrics as _scores
from deeplight.metrics.functional import _json, _mask, _tensor

__all__ = [
    "NiqeFeatures",
    "NiqeModel",
    "SpectralBands",
    "fit_niqe",
    "load_niqe_model",
    "niqe",
    "niqe_features",
    "spectral_bands",
    "spectral_error",
]

#: What good images look like: ``blocks``, ``mean`` ``[36]``, ``covariance`` ``[36, 36]``,
#: ``options()`` and ``save(path)`` as JSON. Made by :func:`fit_niqe` or :func:`load_niqe_model`.
NiqeModel = _scores.NiqeModel


class NiqeFeatures(NamedTuple):
    """Features of the blocks of images."""

    features: torch.Tensor  #: ``[..., h, w, 36]``; NaN where a block does not count
    sharpness: torch.Tensor  #: ``[..., h, w]``, mean local deviation in units of 255
    counted: torch.Tensor  #: ``[..., h, w]``, boolean


class SpectralBands(NamedTuple):
    """Radially averaged power spectra."""

    frequency: torch.Tensor  #: ``[K]``, cycles per pixel, 1 / window_size to 1/2
    prediction: torch.Tensor  #: ``[..., K]``, the images' units squared
    target: torch.Tensor


def _niqe_options(data_range: float | None, round: bool, block_size: int) -> str:
    return _json(
        "niqe",
        {
            "data_range": 0.0 if data_range is None else data_range,
            "round": round,
            "block_size": block_size,
        },
    )


def niqe_features(
    image: Any,
    *,
    data_range: float | None = None,
    round: bool = False,
    block_size: int = 96,
    mask: Any = None,
    where: Any = None,
) -> NiqeFeatures:
    """The 36 features of every whole block that NIQE is made of.

    At two scales (the image, and half of it by a bicubic filter) pixels become
    ``(I - mean) / (deviation + 1)`` of a 7 x 7 Gaussian window. Per scale: shape and mean scale of
    an asymmetric generalised Gaussian fitted to the values of a block, then shape, mean, left and
    right scale of one fitted to the products of neighbours to the right, below and along both
    diagonals (cyclic inside the block).

    Args:
        image: ``[..., C, H, W]``, ``[C, H, W]`` or ``[H, W]``, at least a block; what is no whole
            block at the far edges is cut.
        data_range: peak of the units, which becomes 255; needed, never guessed.
        round: to integers of 0 to 255 first, as for 8-bit images.
        block_size: pixels, even, at least 8.
        mask: valid pixels; a block with an invalid one within 9 pixels does not count.
        where: only blocks that hold a true pixel count.

    Returns:
        Features, sharpness, and which blocks count: flat ones do not.

    Raises:
        ValueError: data_range is missing or not above 0, a bad block_size, an image smaller than a
            block, or a mask is not boolean.
    """
    options = _niqe_options(data_range, round, block_size)
    return NiqeFeatures(*_scores.niqe_features(_tensor(image), options, _mask(mask), _mask(where)))


def fit_niqe(
    images: Any,
    *,
    data_range: float | None = None,
    masks: Any = None,
    sharpness: float = 0.75,
    round: bool = False,
    block_size: int = 96,
) -> NiqeModel:
    """Fits a model of NIQE to images that are known to be good.

    Args:
        images: a tensor ``[..., C, H, W]``, ``[C, H, W]`` or ``[H, W]``, or several of any sizes.
        data_range: peak of the units, which becomes 255; scores use the same.
        masks: valid pixels: one for a tensor of images, as many as there are otherwise.
        sharpness: blocks above this share of their image's sharpest block are taken; the authors'
            is 0.75, 0 takes all.
        round: see :func:`niqe_features`.
        block_size: see :func:`niqe_features`; scores use the same.

    Returns:
        The model; ``model.save("good.json")`` keeps it.

    Raises:
        ValueError: 36 sharp blocks or fewer, a NaN outside the mask, or as :func:`niqe_features`.
    """
    fit = _scores.NiqeFit(_niqe_options(data_range, round, block_size), sharpness)
    one = not isinstance(images, Iterable) or hasattr(images, "shape")
    several = [images] if one else list(images)
    known = [masks] if one else ([None] * len(several) if masks is None else list(masks))
    if len(known) != len(several):
        raise ValueError(f"niqe: {len(several)} images, {len(known)} masks; give one for each")
    for image, mask in zip(several, known, strict=True):
        fit.update(_tensor(image), _mask(mask))
    return fit.compute()


def load_niqe_model(path: str | PathLike[str]) -> NiqeModel:
    """Reads what ``NiqeModel.save`` wrote: JSON, nothing that could run.

    Raises:
        OSError: the file is missing or unreadable.
        ValueError: it is no model of NIQE.
    """
    return NiqeModel.load(fspath(path))


def niqe(
    image: Any,
    *,
    model: NiqeModel | None = None,
    mask: Any = None,
    where: Any = None,
    reduction: str = "mean",
) -> torch.Tensor:
    """Distance from good images, Mittal et al. 2013 (doi:10.1109/LSP.2012.2227726). 0 is best.

    ``sqrt((m - M)' pinv((S + s) / 2) (m - M))`` of the normals of the image's features and of the
    model's. It rewards what resembles the model's images, be it right or wrong.

    Args:
        image: ``[..., C, H, W]``, ``[C, H, W]`` or ``[H, W]``, at least a block; the blocks of all
            bands of an image are taken together.
        model: of :func:`fit_niqe`; needed, as there is none for night lights.
        mask: valid pixels; a block with an invalid one within 9 pixels does not count.
        where: only blocks that hold a true pixel count.
        reduction: ``"mean"``, ``"none"`` or ``"pooled"``.

    Returns:
        float64; NaN where no block counts (dark or constant images).

    Raises:
        ValueError: no model, an image smaller than a block, or a mask is not boolean.
    """
    if model is None:
        raise ValueError(
            "niqe: a model must be given: niqe_model = fit_niqe(good_images, data_range=...); the "
            "published one was fitted on photographs of daylight"
        )
    return _scores.niqe(_tensor(image), model, _mask(mask), _mask(where), reduction)


def spectral_error(
    prediction: Any,
    target: Any,
    *,
    mask: Any = None,
    where: Any = None,
    reduction: str = "mean",
    statistic: str = "relative",
    window_size: int = 64,
) -> torch.Tensor:
    """Error of the radially averaged power spectrum. Differentiable.

    Spectra are Welch's (1967, doi:10.1109/TAU.1967.1161901): windows that overlap by half, less
    their mean, with a Hann taper. Blind to where the detail is; see :func:`spectral_bands` for the
    bands.

    Args:
        prediction: ``[..., C, H, W]``, ``[C, H, W]`` or ``[H, W]``, sides of window_size or more.
        target: the same shape.
        mask: valid pixels; a window that touches an invalid one is dropped.
        where: only windows that hold a true pixel count.
        reduction: ``"mean"``, ``"none"`` or ``"pooled"``.
        statistic: ``"relative"``, the mean over bands of ``|p - t| / t``, or ``"log"``, the
            log-spectral distance in dB, the root of the mean of ``(10 log10(p / t))^2``.
        window_size: pixels, even; half as many bands.

    Returns:
        float64; 0 for equal spectra and for two constant images, infinite where only the target
        has no power in a band, NaN where no window is left.

    Raises:
        ValueError: shapes differ, an image smaller than the window, or a mask is not boolean.
    """
    options = _json("spectral_error", {"statistic": statistic, "window_size": window_size})
    return _scores.spectral_error(
        _tensor(prediction), _tensor(target), options, _mask(mask), _mask(where), reduction
    )


def spectral_bands(
    prediction: Any,
    target: Any,
    *,
    mask: Any = None,
    where: Any = None,
    reduction: str = "none",
    window_size: int = 64,
) -> SpectralBands:
    """Radially averaged power spectra that :func:`spectral_error` compares.

    Arguments are those of :func:`spectral_error`; reduction is ``"none"`` or ``"pooled"``. White
    noise of variance v has a power of v in every band.
    """
    options = _json("spectral_bands", {"window_size": window_size})
    return SpectralBands(
        *_scores.spectral_bands(
            _tensor(prediction), _tensor(target), options, _mask(mask), _mask(where), reduction
        )
    )
