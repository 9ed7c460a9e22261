"""Scores of images against their truth."""

from __future__ import annotations

from deeplight.metrics.functional import (
    cc,
    lit_mask,
    psnr,
    rmse,
    ssim,
    ssim_map,
    total_light_ratio,
)

__all__ = ["cc", "lit_mask", "psnr", "rmse", "ssim", "ssim_map", "total_light_ratio"]
