"""What a network must beat: bicubic, bicubic with block-mean consistency, a ridge on the guides.

Low resolution is ``[..., h, w]``, fine images ``[..., r*h, r*w]``, guides ``[bands, r*h, r*w]``,
in physical or display units. Nothing here is trained by gradient descent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from deeplight import _native

__all__ = [
    "GuideRidge",
    "bicubic",
    "bilinear",
    "consistent",
    "fit_guide_ridge",
    "least_squares_gain",
]

#: Windows of the guide contrast, pixels of the fine grid.
WINDOWS = (5, 17)
#: Share of the global spread added to the local one, so that flat ground does not become contrast.
SOFTENING = 0.5
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)


def bicubic(low_resolution: torch.Tensor, scale: int, *, clamp: bool = True) -> torch.Tensor:
    """Bicubic interpolation: torch's, a = -0.75, ``align_corners=False``.

    Args:
        low_resolution: ``[h, w]``, ``[C, h, w]`` or ``[B, C, h, w]``, floating.
        scale: integer factor.
        clamp: sets the undershoots beside bright pixels to 0, as every figure of the docs does.

    Returns:
        The same leading dimensions, ``[..., r*h, r*w]``.
    """
    fine = _interpolated(low_resolution, scale, "bicubic")
    return fine.clamp_min(0) if clamp else fine


def bilinear(low_resolution: torch.Tensor, scale: int) -> torch.Tensor:
    """Bilinear interpolation, ``align_corners=False``; shapes as :func:`bicubic`."""
    return _interpolated(low_resolution, scale, "bilinear")


def _interpolated(low_resolution: torch.Tensor, scale: int, mode: str) -> torch.Tensor:
    shape = low_resolution.shape
    images = low_resolution.reshape(-1, 1, *shape[-2:])
    fine = F.interpolate(images, scale_factor=scale, mode=mode, align_corners=False)
    return fine.reshape(*shape[:-2], *fine.shape[-2:])


def least_squares_gain(low_resolution: torch.Tensor, block_means: torch.Tensor) -> float:
    """The factor that brings one sensor's low resolution nearest to another's.

    ``g = sum(x * y) / sum(x ** 2)`` minimises ``sum((g * x - y) ** 2)``.

    Args:
        low_resolution: x, any shape; cells that are not finite on both sides are left out.
        block_means: y, the other sensor's means over the same cells.

    Raises:
        ValueError: the low resolution is dark everywhere, or the gain is not above 0.
    """
    x, y = low_resolution.double(), block_means.double()
    usable = x.isfinite() & y.isfinite()
    energy = float(x[usable].square().sum())
    if energy == 0:
        raise ValueError("the low resolution is 0 everywhere: no gain can be fitted to it")
    gain = float((x[usable] * y[usable]).sum()) / energy
    if not gain > 0:
        raise ValueError(f"the gain between the sensors must be above 0, fitted {gain:g}")
    return gain


def consistent(
    image: torch.Tensor, low_resolution: torch.Tensor, scale: int, kind: str = "multiplicative"
) -> torch.Tensor:
    """The image with its block means made equal to the low resolution.

    See ``deeplight.functional.enforce_block_mean``; "multiplicative" keeps light non-negative.
    """
    return _native.functional.enforce_block_mean(image, low_resolution, scale, kind)


def _box_mean(bands: torch.Tensor, window: int) -> torch.Tensor:
    """Mean over window x window, the outside left out; float64 ``[bands, H, W]``."""
    pad = window // 2
    rows = F.avg_pool2d(bands, (window, 1), 1, (pad, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, window), 1, (0, pad), count_include_pad=False)


@dataclass
class GuideRidge:
    """Ridge regression of the fine image on bicubic times local contrast of the guides.

    ``prediction = max(0, w0 + w1 * bicubic + sum_kb w_kb * bicubic * c_kb)`` with
    ``c_kb = (guide_b - mean_k) / (deviation_k + 0.5 * spread_kb)``, mean and deviation over the
    k x k window. Light is where bicubic says it is; the guides redistribute it.
    """

    scale: int
    bands: int
    windows: tuple[int, ...]
    spread: list[list[float]]  #: [windows][bands], deviation of guide - mean_k over the training
    weights: list[float]  #: intercept, bicubic, then windows x bands
    penalty: float

    def predict(self, low_resolution: torch.Tensor, guides: torch.Tensor) -> torch.Tensor:
        """The fine image, float64 and never negative.

        Args:
            low_resolution: ``[h, w]`` in the units of the fit.
            guides: ``[bands, r*h, r*w]``, bands in the order of the fit.

        Raises:
            ValueError: the guides have another number of bands or another size.
        """
        weights = torch.tensor(self.weights, dtype=torch.float64)
        blocks = _blocks(
            low_resolution, guides, self.scale, self.windows, _spread(self.spread), self.bands
        )
        rows = [torch.tensordot(weights, features, dims=1) for _, features in blocks]
        return torch.cat(rows).clamp_min(0)

    def save(self, path: str | Path) -> None:
        """Writes the regression as JSON."""
        Path(path).write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> GuideRidge:
        """Reads what :meth:`save` wrote.

        Raises:
            OSError: the file cannot be read.
            ValueError: it holds something else.
        """
        try:
            values = json.loads(Path(path).read_text())
            ridge = cls(**{**values, "windows": tuple(values["windows"])})
        except (TypeError, KeyError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"'{path}' is no saved guide ridge: {error}") from error
        expected = 2 + len(ridge.windows) * ridge.bands
        if len(ridge.weights) != expected:
            raise ValueError(
                f"'{path}' has {len(ridge.weights)} weights, expected {expected} = "
                f"2 + {len(ridge.windows)} windows x {ridge.bands} bands"
            )
        return ridge


def _spread(spread: Sequence[Sequence[float]]) -> torch.Tensor:
    return torch.tensor(spread, dtype=torch.float64)[..., None, None]


def _row_blocks(
    guides: torch.Tensor, windows: Sequence[int], rows: int = 128
) -> Iterator[tuple[slice, list[torch.Tensor], list[torch.Tensor]]]:
    """Rows of the image with, per window, the contrast of the guides and its local deviation."""
    halo = 2 * (max(windows) // 2)
    height = guides.shape[-2]
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        first, last = max(0, start - halo), min(height, stop + halo)
        band = guides[:, first:last].double()
        inner = slice(start - first, stop - first)
        contrasts, deviations = [], []
        for window in windows:
            contrast = band - _box_mean(band, window)
            deviations.append(_box_mean(contrast * contrast, window).sqrt()[:, inner])
            contrasts.append(contrast[:, inner])
        yield slice(start, stop), contrasts, deviations


def _blocks(
    low_resolution: torch.Tensor,
    guides: torch.Tensor,
    scale: int,
    windows: Sequence[int],
    spread: torch.Tensor,
    bands: int,
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Rows of the image with their features ``[2 + windows * bands, rows, W]``."""
    expected = (bands, low_resolution.shape[-2] * scale, low_resolution.shape[-1] * scale)
    if tuple(guides.shape) != expected:
        raise ValueError(f"guides are {tuple(guides.shape)}, expected {expected}")
    image = bicubic(low_resolution.double(), scale, clamp=False)
    for rows, contrasts, deviations in _row_blocks(guides, windows):
        base = image[rows]
        features = [torch.ones_like(base)[None], base[None]]
        for contrast, deviation, typical in zip(contrasts, deviations, spread, strict=True):
            features.append(base * contrast / (deviation + SOFTENING * typical))
        yield rows, torch.cat(features)


def _check_masks(shape: torch.Size, **masks: torch.Tensor) -> None:
    for name, mask in masks.items():
        if mask.shape != shape or mask.dtype != torch.bool:
            raise ValueError(
                f"{name} must be boolean {tuple(shape)}, got {mask.dtype} {tuple(mask.shape)}"
            )
        if not mask.any():
            raise ValueError(f"{name} selects no pixel")


def fit_guide_ridge(
    low_resolution: torch.Tensor,
    guides: torch.Tensor,
    target: torch.Tensor,
    *,
    scale: int,
    training: torch.Tensor,
    validation: torch.Tensor,
    windows: Sequence[int] = WINDOWS,
    penalties: Sequence[float] = PENALTIES,
) -> GuideRidge:
    """Fits the ridge by normal equations in float64, a block of rows at a time.

    The penalty is relative to each feature's energy; intercept and bicubic are not penalised. It is
    chosen by squared error over the validation pixels. Memory is one block of features.

    Args:
        low_resolution: ``[h, w]``.
        guides: ``[bands, r*h, r*w]``.
        target: ``[r*h, r*w]``.
        scale: r.
        training: boolean ``[r*h, r*w]``, the pixels to fit on.
        validation: boolean ``[r*h, r*w]``, the pixels to choose the penalty on. Keep a gap between
            the two, of a few low-resolution pixels: neighbours share bicubic's support.
        windows: odd sizes of the contrast windows.
        penalties: candidates.

    Raises:
        ValueError: shapes do not fit, a mask selects no pixel, or a penalty is not above 0.
    """
    if any(not penalty > 0 for penalty in penalties):
        raise ValueError(f"penalties must be above 0, got {list(penalties)}")
    _check_masks(target.shape, training=training, validation=validation)
    bands = guides.shape[0]
    energy = torch.zeros(len(windows), bands, dtype=torch.float64)
    for rows, contrasts, _ in _row_blocks(guides, windows):
        for index, contrast in enumerate(contrasts):
            energy[index] += (contrast * contrast)[:, training[rows]].sum(1)
    # A constant band has no contrast; any spread keeps its feature at zero.
    spread = (energy / training.sum()).sqrt()
    spread = torch.where(spread > 0, spread, torch.ones_like(spread))

    size = 2 + len(windows) * bands
    gram = torch.zeros(size, size, dtype=torch.float64)
    moment = torch.zeros(size, dtype=torch.float64)
    arguments = (low_resolution, guides, scale, windows, spread[..., None, None], bands)
    for rows, features in _blocks(*arguments):
        chosen = features[:, training[rows]]
        gram += chosen @ chosen.T
        moment += chosen @ target[rows][training[rows]].double()
    # Features that never vary (a constant band) need something on the diagonal to be solvable.
    diagonal = gram.diagonal().clone()
    diagonal = torch.where(diagonal > 0, diagonal, torch.ones_like(diagonal))
    diagonal[:2] = 0
    candidates = torch.stack(
        [torch.linalg.lstsq(gram + p * torch.diag(diagonal), moment).solution for p in penalties]
    )

    error = torch.zeros(len(penalties), dtype=torch.float64)
    for rows, features in _blocks(*arguments):
        predictions = (candidates @ features[:, validation[rows]]).clamp_min(0)
        error += (predictions - target[rows][validation[rows]].double()).square().sum(1)
    best = int(error.argmin())
    return GuideRidge(
        scale=scale,
        bands=bands,
        windows=tuple(windows),
        spread=spread.tolist(),
        weights=candidates[best].tolist(),
        penalty=float(penalties[best]),
    )
