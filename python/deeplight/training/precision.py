"""Number formats of a step: float32, bfloat16, or float16 with a scaled loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

__all__ = ["Precision"]

#: A loss scale below this means that gradients are not finite whatever the scale.
_LEAST_SCALE = 2.0**-8


class Precision:
    """Autocast and, for float16, the loss scale.

    Args:
        name: "float32", "bf16" or "fp16".
        device: where the network runs.

    Attributes:
        skipped: steps whose gradient overflowed float16: the weights stayed, the scale was halved.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        self._device = device.type
        self._dtype = torch.float16 if name == "fp16" else torch.bfloat16
        self._mixed = name != "float32"
        self._scaler = torch.amp.GradScaler(device.type) if name == "fp16" else None
        self.skipped = 0

    def autocast(self) -> Any:
        """The context in which the network computes."""
        return torch.autocast(self._device, self._dtype, enabled=self._mixed)

    def backward(self, loss: torch.Tensor) -> None:
        """Adds the loss's gradients to the parameters', scaled until :meth:`step`."""
        (self._scaler.scale(loss) if self._scaler is not None else loss).backward()

    def step(
        self, optimizer: torch.optim.Optimizer, parameters: Sequence[torch.Tensor], clip: float
    ) -> float:
        """Clips the gradient and moves the weights.

        Args:
            optimizer: over ``parameters``.
            parameters: whose gradients are ready.
            clip: largest norm; 0 does not clip.

        Returns:
            The gradient's norm before clipping.

        Raises:
            FloatingPointError: the gradient is not finite, with float16 at any loss scale.
        """
        if self._scaler is not None:
            self._scaler.unscale_(optimizer)
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, clip or math.inf))
        if self._scaler is None:
            if not math.isfinite(norm):
                raise FloatingPointError(f"gradient is {norm}")
            optimizer.step()
            return norm
        self._scaler.step(optimizer)  # does nothing where the gradient overflowed
        self._scaler.update()
        if not math.isfinite(norm):
            self.skipped += 1
            if self._scaler.get_scale() < _LEAST_SCALE:
                raise FloatingPointError(
                    f"gradient is {norm} in float16 even with the loss scaled by "
                    f"{2 * self._scaler.get_scale():g}"
                )
        return norm

    def state(self) -> dict[str, Any]:
        """Numbers for a checkpoint."""
        scaler = self._scaler.state_dict() if self._scaler is not None else {}
        return {"skipped": self.skipped, "scaler": scaler}

    def load(self, state: dict[str, Any]) -> None:
        """Takes up :meth:`state`."""
        self.skipped = state["skipped"]
        if self._scaler is not None:
            self._scaler.load_state_dict(state["scaler"])
