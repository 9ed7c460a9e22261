"""Objectives on tensors, computed natively and differentiable.

Images are ``[B, C, H, W]`` in the network's normalised units. A ``mask`` is boolean, true where
valid, and broadcasts to the image; neither value nor gradient sees an invalid pixel. Where nothing
is valid a loss is 0 with zero gradients, so that a patch of nodata does not poison a batch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch

from deeplight._native import losses as _objectives
from deeplight.options import to_json

__all__ = [
    "DeepLightLoss",
    "auxiliary_bce",
    "charbonnier",
    "frequency",
    "gradient",
    "l1",
    "mse",
    "multi_scale",
    "radiance_consistency",
    "ssim",
    "total_variation",
]


def _pixel_loss(
    kind: str, prediction: torch.Tensor, target: torch.Tensor, weight: Any, **options: float
) -> torch.Tensor:
    return _objectives.pixel_loss(prediction, target, to_json({"kind": kind, **options}), weight)


def l1(
    prediction: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor | None = None,
    *,
    light_weight: float = 0.0,
    light_threshold: float = 0.0,
) -> torch.Tensor:
    """Mean absolute difference: aims at the median, which on sparse lights is darkness.

    Args:
        prediction: ``[B, C, H, W]``.
        target: the same shape.
        weight: validity mask or weights >= 0, broadcast to the shape; 0 excludes.
        light_weight: a pixel with target > light_threshold weighs ``1 + light_weight``.
        light_threshold: in the images' units.

    Returns:
        Scalar ``sum(w * loss) / sum(w)``.
    """
    return _pixel_loss(
        "l1",
        prediction,
        target,
        weight,
        light_weight=light_weight,
        light_threshold=light_threshold,
    )


def mse(
    prediction: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor | None = None,
    *,
    light_weight: float = 0.0,
    light_threshold: float = 0.0,
) -> torch.Tensor:
    """Mean squared difference: aims at the mean and so keeps the total light. See :func:`l1`."""
    return _pixel_loss(
        "mse",
        prediction,
        target,
        weight,
        light_weight=light_weight,
        light_threshold=light_threshold,
    )


def charbonnier(
    prediction: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor | None = None,
    *,
    epsilon: float = 1e-3,
    light_weight: float = 0.0,
    light_threshold: float = 0.0,
) -> torch.Tensor:
    """Mean of ``sqrt(d ** 2 + epsilon ** 2)``, a smooth absolute difference. See :func:`l1`."""
    return _pixel_loss(
        "charbonnier",
        prediction,
        target,
        weight,
        epsilon=epsilon,
        light_weight=light_weight,
        light_threshold=light_threshold,
    )


def multi_scale(
    pyramid: Sequence[torch.Tensor],
    target: torch.Tensor,
    beta: Sequence[float] = (0.2, 0.3, 0.5),
    mask: torch.Tensor | None = None,
    **options: Any,
) -> torch.Tensor:
    """A pixel loss on every level of a pyramid, against area averages of the fine target.

    Args:
        pyramid: coarse to fine, each ``[B, 1, H / k, W / k]``.
        target: ``[B, 1, H, W]``.
        beta: weights, coarse to fine; a shorter pyramid takes the last ones, renormalised.
        mask: valid pixels of the target; averages leave the others out, and a coarse pixel weighs
            its valid fraction.
        **options: ``kind`` ("l1", "mse", "charbonnier"), ``epsilon``, ``light_weight``,
            ``light_threshold``.

    Returns:
        Scalar ``sum_j beta_j * loss_j``.

    Raises:
        ValueError: a level does not divide the target, or an option is unknown.
    """
    return _objectives.multi_scale(list(pyramid), target, list(beta), to_json(options), mask)


def auxiliary_bce(
    logits: torch.Tensor,
    target: torch.Tensor,
    mask: torch.Tensor | None = None,
    *,
    positive_weight: float = 1.0,
) -> torch.Tensor:
    """Binary cross-entropy with logits, with the minus sign that the paper's print lacks.

    Args:
        logits: ``[B, 1, H, W]``.
        target: the same shape, in [0, 1].
        mask: valid pixels.
        positive_weight: how much a positive pixel weighs; zeros-to-ones balances the classes.

    Returns:
        Scalar, in nats.
    """
    return _objectives.auxiliary_bce(logits, target, mask, positive_weight)


def ssim(
    prediction: torch.Tensor,
    target: torch.Tensor,
    mask: torch.Tensor | None = None,
    *,
    data_range: float,
    window_size: int = 11,
    sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
) -> torch.Tensor:
    """One minus the structural similarity of Wang et al. 2004, :func:`deeplight.metrics.ssim`.

    Windows that are dark on both sides cost nothing: beside a pixel loss it shapes the lit parts.

    Args:
        prediction: ``[B, C, H, W]``, sides at least the window; computed in float64.
        target: the same shape.
        mask: valid pixels; a window that touches an invalid one is dropped.
        data_range: peak of the images' units, above 0; in a network's normalised units that is no
            255 and no 1 unless the normalisation makes it so.
        window_size: odd, pixels.
        sigma: of the Gaussian window, pixels.
        k1: luminance constant.
        k2: contrast constant.

    Returns:
        Scalar in [0, 2], the mean over all windows of the batch; 0 where none is left.

    Raises:
        ValueError: shapes differ, data_range is not above 0, or the image is smaller than a window.
    """
    options = {"window_size": window_size, "sigma": sigma, "k1": k1, "k2": k2}
    return _objectives.ssim(
        prediction, target, to_json({"data_range": data_range, **options}), mask
    )


def gradient(
    prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Absolute difference of finite differences: edges where the truth has them.

    A constant offset costs nothing: pair it with a loss that sees levels.

    Args:
        prediction: ``[..., H, W]``.
        target: the same shape.
        mask: valid pixels; a pair of neighbours counts where both are.

    Returns:
        Scalar, the mean over all pairs along rows and columns, in the images' units; 0 without a
        pair.
    """
    return _objectives.gradient(prediction, target, mask)


def total_variation(image: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Mean absolute step between neighbours of one image (Rudin, Osher, Fatemi 1992, anisotropic).

    It knows no truth, and its least value is a constant image: a small weight against noise and
    checkerboards, no more.

    Args:
        image: ``[..., H, W]``.
        mask: valid pixels; a pair of neighbours counts where both are.

    Returns:
        Scalar, in the image's units; 0 without a pair.
    """
    return _objectives.total_variation(image, mask)


def radiance_consistency(
    prediction: torch.Tensor,
    low_resolution: torch.Tensor,
    mask: torch.Tensor | None = None,
    coarse_mask: torch.Tensor | None = None,
    **options: Any,
) -> torch.Tensor:
    """A pixel loss between the prediction's block means and what the coarse sensor saw.

    Args:
        prediction: ``[B, C, r * h, r * w]`` in linear units: block means of a logarithm are no
            radiance.
        low_resolution: ``[B, C, h, w]`` in the same units.
        mask: valid pixels of the prediction; a block weighs its valid fraction.
        coarse_mask: valid pixels of the low resolution.
        **options: ``kind`` ("l1", "mse", "charbonnier"), ``epsilon``, ``light_weight``,
            ``light_threshold`` (of the low resolution).

    Returns:
        Scalar; 0 where nothing is valid.

    Raises:
        ValueError: the low resolution does not divide the prediction, or an option is unknown.
    """
    return _objectives.radiance_consistency(
        prediction, low_resolution, to_json(options), mask, coarse_mask
    )


def frequency(
    prediction: torch.Tensor,
    target: torch.Tensor,
    mask: torch.Tensor | None = None,
    *,
    spectrum: str = "amplitude",
) -> torch.Tensor:
    """Absolute difference of two-dimensional, orthonormal discrete Fourier spectra.

    Args:
        prediction: ``[..., H, W]``; half precision is computed in float32.
        target: the same shape.
        mask: invalid pixels become 0 in both images. A transform has no smaller support: a mask is
            not the same as a crop.
        spectrum: ``"amplitude"`` compares ``abs(F(p))`` with ``abs(F(t))``, texture and sharpness
            without place, and cannot stand alone; ``"complex"`` is ``abs(F(p - t))``, every
            frequency of the error alike (Cho et al. 2021, arXiv 2108.05054).

    Returns:
        Scalar, the mean over all ``H * W`` frequencies, in the images' units.
    """
    return _objectives.frequency(prediction, target, spectrum, mask)


class DeepLightLoss(torch.nn.Module):
    """The objective of DeepLightSR (arXiv 2402.15659).

    ``alpha * sum_j beta_j * L(pyramid_j, area average of target) + (1 - alpha) * BCE(auxiliary)``.
    Without an auxiliary head or target the pyramid term stands alone, with weight 1. To that the
    extra terms that have a weight are added; they look at the finest level.

    Args:
        **options: ``alpha`` (0.8), ``beta`` ([0.2, 0.3, 0.5], coarse to fine), ``pixel_loss``
            ("l1" as the paper; "mse" keeps the total light; "charbonnier"), ``epsilon`` (1e-3),
            ``light_weight`` (0), ``light_threshold`` (0), ``auxiliary_positive_weight`` (1).
            Weights of extra terms, all 0: ``ssim`` (needs ``ssim_range``, the peak in normalised
            units), ``gradient``, ``total_variation``, ``consistency`` (against area averages over
            ``consistency_scale`` pixels; 0 takes the pyramid's coarsest level), ``frequency``
            (``spectrum`` "amplitude" or "complex").

    Raises:
        ValueError: an option is unknown or out of range.

    Example:
        >>> loss = DeepLightLoss(pixel_loss="mse", alpha=0.9)
        >>> loss.options["beta"]
        [0.2, 0.3, 0.5]
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._native = _objectives.DeepLightLoss(to_json(options))

    @property
    def options(self) -> dict[str, Any]:
        """Every option with its value."""
        return json.loads(self._native.options)

    def terms(
        self,
        output: Any,
        target: torch.Tensor,
        auxiliary: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        low_resolution: torch.Tensor | None = None,
        factors: torch.Tensor | None = None,
    ) -> dict[str, Any]:
        """The objective and what it is made of.

        Args:
            output: see :meth:`forward`, as the next four.
            target: normalised like the output.
            auxiliary: in [0, 1].
            mask: true where valid.
            low_resolution: for the consistency alone.
            factors: ``[levels + 1 + extra]``, what each level, the auxiliary and each extra term is
                multiplied by; see :meth:`counts`.

        Returns:
            ``total``, ``image``, ``levels`` (list, coarse to fine, before weighting), ``auxiliary``
            (None where there is no such term) and ``extra`` (name of the option -> term before
            weighting, of those that have a weight); all scalars.
        """
        pyramid = list(output.pyramid) or [output.image]
        return self._native.terms(
            pyramid, output.auxiliary_logits, target, auxiliary, mask, low_resolution, factors
        )

    def counts(self, output: Any, target: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """What each term is a mean over, up to a constant of its own.

        A batch that is cut into n shares has the whole one's terms as plain mean over the shares
        where each share takes n * its counts / all counts for ``factors``.

        Args:
            output: of which the sizes alone are read.
            target: ``[B, 1, H, W]``.
            mask: boolean ``[B, 1, H, W]``.

        Returns:
            ``[levels + 1 + extra]`` float64, in the order of ``factors``.
        """
        return self._native.counts(list(output.pyramid) or [output.image], target, mask)

    def forward(
        self,
        output: Any,
        target: torch.Tensor,
        auxiliary: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        low_resolution: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The objective.

        Args:
            output: of a network: ``image``, ``pyramid``, ``auxiliary_logits``.
            target: ``[B, 1, H, W]``, normalised like the output.
            auxiliary: ``[B, 1, H, W]`` in [0, 1].
            mask: boolean ``[B, 1, H, W]``, true where valid; excluded in area averages too.
            low_resolution: ``[B, 1, h, w]`` in the target's units, for the consistency alone; area
                averages of the target without it.

        Returns:
            Differentiable scalar.
        """
        return self.terms(output, target, auxiliary, mask, low_resolution)["total"]

    def extra_repr(self) -> str:
        """The options, for `print`."""
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())

    def __reduce__(self) -> Any:
        return _rebuild_loss, (self.options,)


def _rebuild_loss(options: dict[str, Any]) -> DeepLightLoss:
    return DeepLightLoss(**options)
