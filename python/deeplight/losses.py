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

__all__ = ["DeepLightLoss", "auxiliary_bce", "charbonnier", "l1", "mse", "multi_scale"]


def _pixel_loss(
    kind: str, prediction: torch.Tensor, target: torch.Tensor, weight: Any, **options: float
) -> torch.Tensor:
    return _objectives.pixel_loss(prediction, target, json.dumps({"kind": kind, **options}), weight)


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
    return _objectives.multi_scale(list(pyramid), target, list(beta), json.dumps(options), mask)


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


class DeepLightLoss(torch.nn.Module):
    """The objective of DeepLightSR (arXiv 2402.15659).

    ``alpha * sum_j beta_j * L(pyramid_j, area average of target) + (1 - alpha) * BCE(auxiliary)``.
    Without an auxiliary head or target the pyramid term stands alone, with weight 1.

    Args:
        **options: ``alpha`` (0.8), ``beta`` ([0.2, 0.3, 0.5], coarse to fine), ``pixel_loss``
            ("l1" as the paper; "mse" keeps the total light; "charbonnier"), ``epsilon`` (1e-3),
            ``light_weight`` (0), ``light_threshold`` (0), ``auxiliary_positive_weight`` (1).

    Raises:
        ValueError: an option is unknown or out of range.

    Example:
        >>> loss = DeepLightLoss(pixel_loss="mse", alpha=0.9)
        >>> loss.options["beta"]
        [0.2, 0.3, 0.5]
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._native = _objectives.DeepLightLoss(json.dumps(options))

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
    ) -> dict[str, Any]:
        """The objective and what it is made of.

        Returns:
            ``total``, ``image``, ``levels`` (list, coarse to fine, before weighting) and
            ``auxiliary`` (None where there is no such term); all scalars.
        """
        pyramid = list(output.pyramid) or [output.image]
        return self._native.terms(pyramid, output.auxiliary_logits, target, auxiliary, mask)

    def forward(
        self,
        output: Any,
        target: torch.Tensor,
        auxiliary: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The objective.

        Args:
            output: of a network: ``image``, ``pyramid``, ``auxiliary_logits``.
            target: ``[B, 1, H, W]``, normalised like the output.
            auxiliary: ``[B, 1, H, W]`` in [0, 1].
            mask: boolean ``[B, 1, H, W]``, true where valid; excluded in area averages too.

        Returns:
            Differentiable scalar.
        """
        return self.terms(output, target, auxiliary, mask)["total"]

    def extra_repr(self) -> str:
        """The options, for `print`."""
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())

    def __reduce__(self) -> Any:
        return _rebuild_loss, (self.options,)


def _rebuild_loss(options: dict[str, Any]) -> DeepLightLoss:
    return DeepLightLoss(**options)
