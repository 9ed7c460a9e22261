"""Parts that networks are composed of, as `torch.nn.Module`s over native code.

Each class takes the options of its C++ counterpart as keyword arguments; `default_options()` lists
them. The shapes are those of the headers under `include/deeplight/nn/`.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

import torch

from . import _native
from .cpp_module import CppModule
from .models import Output
from .options import to_json

__all__ = [
    "CMFM",
    "RCAB",
    "AuxiliaryEmbeddedRefinement",
    "AuxiliaryToMainFusion",
    "CalibrationAwareAlignment",
    "ChannelAttention",
    "ChannelSelection",
    "ConcatenatedSelection",
    "DefCAN",
    "DepthwiseCascade",
    "DynamicMLP",
    "GuideAlignment",
    "LSKBlock",
    "LearnableDownsampling",
    "MoCoLSK",
    "MoCoLSKBridge",
    "ProjectionUnit",
    "ResidualBlock",
    "ResidualGroup",
    "SKBlock",
    "SpatialSelection",
    "SpatialTransformer",
    "WeightGenerator",
]


def _rebuild(part: type[_Part], options: dict[str, Any]) -> _Part:
    return part(**options)


class _Part(CppModule):
    """A part constructed from its own options."""

    _native_type: ClassVar[Any]

    def __init__(self, **options: Any):
        super().__init__(self._create(options), (_rebuild, (type(self), options)))

    @classmethod
    def _create(cls, options: dict[str, Any]) -> Any:
        return cls._native_type(to_json(options))

    @classmethod
    def default_options(cls) -> dict[str, Any]:
        """Every option with its default."""
        return json.loads(cls._native_type.default_options())

    @property
    def margin(self) -> float:
        """How far an input pixel reaches, low-resolution pixels."""
        return self.native.margin()

    def _get_name(self) -> str:
        return type(self).__name__


class _NetworkPart(_Part):
    """A part that is also told its network's `scale`, `width` and `guides`."""

    @classmethod
    def _create(cls, options: dict[str, Any]) -> Any:
        shape_names = json.loads(cls._native_type.default_shape())
        shape = {name: value for name, value in options.items() if name in shape_names}
        own = {name: value for name, value in options.items() if name not in shape_names}
        return cls._native_type(to_json(shape), to_json(own))

    @classmethod
    def default_options(cls) -> dict[str, Any]:
        """Every option with its default, the network's shape included."""
        shape = json.loads(cls._native_type.default_shape())
        return {**shape, **json.loads(cls._native_type.default_options())}


class LearnableDownsampling(_Part):
    """Stride-2 convolutions from a guide's grid to the low-resolution grid."""

    _native_type = _native.nn.LearnableDownsampling

    def forward(self, guide: torch.Tensor) -> list[torch.Tensor]:
        """[B, bands, r*h, r*w] to features fine to coarse, the last [B, width, h, w]."""
        return self._run(guide)


class SpatialTransformer(_Part):
    """Localisation net of the global warp, in low-resolution pixels."""

    _native_type = _native.nn.SpatialTransformer

    def forward(self, low_resolution: torch.Tensor) -> torch.Tensor:
        """[B, 1, h, w] to displacements [B, 2, 3] about the image's centre."""
        return self._run(low_resolution)


class DefCAN(_Part):
    """Local alignment: deformable convolution, then a reconstruction convolution."""

    _native_type = _native.nn.DefCAN

    def forward(self, low_resolution: torch.Tensor) -> torch.Tensor:
        """[B, 1, h, w] to [B, width, h, w]."""
        return self._run(low_resolution)


class GuideAlignment(_Part):
    """Two convolutions that see a guide's features against the night light's."""

    _native_type = _native.nn.GuideAlignment

    def forward(self, guide: torch.Tensor, main: torch.Tensor) -> torch.Tensor:
        """Two maps [B, width, h, w] to one."""
        return self._run(guide, main)


class ResidualBlock(_Part):
    """conv3, ReLU, conv3, plus the input."""

    _native_type = _native.nn.ResidualBlock

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """[B, width, h, w] to the same."""
        return self._run(features)


class CMFM(_Part):
    """Cross-modality fusion of two maps, from coarse to fine."""

    _native_type = _native.nn.CMFM

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Two maps [B, width, h, w], sides multiples of 4, to one; `b` is projected into `a`."""
        return self._run(a, b)


class ChannelAttention(_Part):
    """Features times a gate for each channel, from their mean over the image."""

    _native_type = _native.nn.ChannelAttention

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """[B, width, h, w] to the same."""
        return self._run(features)


class RCAB(_Part):
    """Residual channel attention block: conv3, LeakyReLU, conv3, attention, plus the input."""

    _native_type = _native.nn.RCAB

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """[B, width, h, w] to the same."""
        return self._run(features)


class ResidualGroup(_Part):
    """RCABs and a convolution, plus the input."""

    _native_type = _native.nn.ResidualGroup

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """[B, width, h, w] to the same."""
        return self._run(features)


class ProjectionUnit(_Part):
    """Back-projection up or down between the low-resolution and the fine grid."""

    _native_type = _native.nn.ProjectionUnit

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Up: [B, in, h, w] to [B, out, r*h, r*w]; down: the other way."""
        return self._run(features)


class DynamicMLP(_Part):
    """Tokens through layers whose matrices come from another modality's tokens."""

    _native_type = _native.nn.DynamicMLP

    def forward(self, tokens: torch.Tensor, guide_tokens: torch.Tensor) -> torch.Tensor:
        """[B, T, planes] and [B, T, guide_planes] to [B, T, planes]."""
        return self._run(tokens, guide_tokens)


class WeightGenerator(_Part):
    """A few numbers from two modalities, pooled to tokens."""

    _native_type = _native.nn.WeightGenerator

    def forward(self, main: torch.Tensor, guide: torch.Tensor) -> torch.Tensor:
        """Two maps [B, width, H, W] to [B, outputs], or [1, outputs] as released."""
        return self._run(main, guide)


class DepthwiseCascade(_Part):
    """Depthwise convolutions one after another, every output kept."""

    _native_type = _native.nn.DepthwiseCascade

    def forward(self, features: torch.Tensor) -> list[torch.Tensor]:
        """[B, width, h, w] to one map of that shape a kernel."""
        return self._run(features)


class SpatialSelection(_Part):
    """At each pixel, how much of each branch."""

    _native_type = _native.nn.SpatialSelection

    def forward(
        self, branches: list[torch.Tensor], kernel: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Maps [B, width, h, w] to one.

        Args:
            branches: one or two.
            kernel: [B or 1, 2, 2, k, k], where `static_kernel` is 0.
        """
        return self._run(branches, kernel)


class ChannelSelection(_Part):
    """For each channel, how much of each branch."""

    _native_type = _native.nn.ChannelSelection

    def forward(
        self, branches: list[torch.Tensor], condition: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Maps [B, width, h, w] to one.

        Args:
            branches: as many as `branches` says.
            condition: [B or 1, hidden], added to the hidden vector.
        """
        return self._run(branches, condition)


class LSKBlock(_Part):
    """LSKNet's block: an image times what a large selective kernel says of it."""

    _native_type = _native.nn.LSKBlock

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """[B, width, h, w] to the same."""
        return self._run(features)


class SKBlock(_Part):
    """SKNet's choice between two depthwise branches."""

    _native_type = _native.nn.SKBlock

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """[B, width, h, w] to the same."""
        return self._run(features)


class ConcatenatedSelection(_Part):
    """An LSK or SK block over two modalities side by side, then a 1 x 1 convolution."""

    _native_type = _native.nn.ConcatenatedSelection

    def forward(self, main: torch.Tensor, guide: torch.Tensor) -> torch.Tensor:
        """Two maps [B, width, H, W] to one."""
        return self._run(main, guide)


class MoCoLSK(_Part):
    """Large selective kernel whose masks are conditioned on both modalities, times the guide."""

    _native_type = _native.nn.MoCoLSK

    def forward(self, main: torch.Tensor, guide: torch.Tensor) -> torch.Tensor:
        """Two maps [B, width, H, W] to one."""
        return self._run(main, guide)


class MoCoLSKBridge(_Part):
    """Coarse features to the guide's grid, fused with it, and back."""

    _native_type = _native.nn.MoCoLSKBridge

    def forward(self, main: torch.Tensor, guide: torch.Tensor) -> torch.Tensor:
        """[B, in, h, w] and [B, width, r*h, r*w] to [B, out, h, w]."""
        return self._run(main, guide)


class CalibrationAwareAlignment(_NetworkPart):
    """Global warp, local alignment, and the guides' alignment after them."""

    _native_type = _native.nn.CalibrationAwareAlignment

    def forward(
        self, low_resolution: torch.Tensor, guides: list[torch.Tensor]
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """[B, 1, h, w] and guides [B, width, h, w] to main features and aligned guides."""
        return self._run(low_resolution, guides)


class AuxiliaryToMainFusion(_NetworkPart):
    """Guides are fused with each other from the left, then with the main features."""

    _native_type = _native.nn.AuxiliaryToMainFusion

    def forward(self, main: torch.Tensor, guides: list[torch.Tensor]) -> torch.Tensor:
        """Maps [B, width, h, w] to one of that shape."""
        return self._run(main, guides)


class AuxiliaryEmbeddedRefinement(_NetworkPart):
    """Steps of x2 to the fine grid, with a prediction at every scale and an auxiliary map."""

    _native_type = _native.nn.AuxiliaryEmbeddedRefinement

    def forward(
        self,
        fused: torch.Tensor,
        low_resolution: torch.Tensor,
        guide_pyramid: list[torch.Tensor] | None = None,
    ) -> Output:
        """[B, width, h, w] to the image, its pyramid and the auxiliary map.

        Args:
            fused: fused features.
            low_resolution: [B, 1, h, w], for the bicubic skip and the consistency.
            guide_pyramid: per step, all guides' features of that size; needed by the guide gate.
        """
        return Output(*self._run(fused, low_resolution, guide_pyramid or []))
