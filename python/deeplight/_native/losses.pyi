"""
Objectives on tensors, differentiable.
"""
from __future__ import annotations
import collections.abc
import torch
import typing
__all__: list[str] = ['DeepLightLoss', 'auxiliary_bce', 'multi_scale', 'pixel_loss']
class DeepLightLoss:
    def __init__(self, options: str = '{}') -> None:
        ...
    def terms(self, pyramid: collections.abc.Sequence[torch.Tensor], auxiliary_logits: torch.Tensor | None, target: torch.Tensor, auxiliary: torch.Tensor | None = None, mask: torch.Tensor | None = None) -> dict:
        ...
    @property
    def options(self) -> str:
        ...
def auxiliary_bce(logits: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None, positive_weight: typing.SupportsFloat = 1.0) -> torch.Tensor:
    ...
def multi_scale(pyramid: collections.abc.Sequence[torch.Tensor], target: torch.Tensor, beta: collections.abc.Sequence[typing.SupportsFloat], options: str = '{}', mask: torch.Tensor | None = None) -> torch.Tensor:
    ...
def pixel_loss(prediction: torch.Tensor, target: torch.Tensor, options: str = '{}', weight: torch.Tensor | None = None) -> torch.Tensor:
    ...
