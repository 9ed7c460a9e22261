"""The library's operators on tensors; signatures follow torch and torchvision."""

from __future__ import annotations

from .._native.functional import block_mean, enforce_block_mean
from .deform_conv import *  # noqa: F403
from .deform_conv import __all__ as _deform_conv
from .large_kernels import *  # noqa: F403
from .large_kernels import __all__ as _large_kernels
from .projection import *  # noqa: F403
from .projection import __all__ as _projection
from .warp import *  # noqa: F403
from .warp import __all__ as _warp

__all__ = ["block_mean", "enforce_block_mean"]
__all__ += [*_deform_conv, *_large_kernels, *_projection, *_warp]
