#!/usr/bin/env python3
"""Which package equals which option of deeplight.metrics, and to how many digits.

    scripts/metric_conventions.py            compares, prints a table; exit code 1 where one differs
    scripts/metric_conventions.py --write    records the result in docs/results

Every row is a call of this library and one of a package, on the same deterministic image, with a
relative difference that it must not exceed. The record holds versions, calls, values: docs show it
(`./dev docs`), and where a package is not installed its recorded value stands in for it. pyiqa is
no dependency; DEEPLIGHT_PYIQA names a folder that holds it, see benchmarks/window_metrics.py.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import night_light_rivals as night
import numpy as np
import torch

from deeplight import metrics

RECORD = Path(__file__).resolve().parents[1] / "docs" / "results" / "metric_conventions.json"

#: The name to import -> the name under which it is installed.
PACKAGES = {
    "skimage": "scikit-image",
    "scipy": "scipy",
    "numpy": "numpy",
    "torchmetrics": "torchmetrics",
    "pyiqa": "pyiqa",
}


def _scene(rows: int, columns: int, bands: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and truth ``[bands, rows, columns]`` in [0, 255]: sparse lights with noise."""
    generator = np.random.default_rng(7)
    shape = (bands, rows, columns)
    truth = 255 * generator.random(shape) ** 3 * (generator.random(shape) < 0.4)
    return np.clip(truth + 24 * (generator.random(shape) - 0.5), 0, 255), truth


P, T = (band[0] for band in _scene(192, 208))
BANDS = tuple(a + 20 for a in _scene(48, 64, bands=3))
BYTES = P.round().astype(np.uint8)
_I, _J = np.mgrid[0:64, 0:96]
TEXTURE = ((_I * _I * 7 + _J * 13 + _I * _J * 3) % 251).astype(float)


def _t(*images: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(a).reshape((1,) * (4 - a.ndim) + a.shape) for a in images]


def _skimage(name: str, *images: np.ndarray, **options: Any) -> float:
    from skimage import measure
    from skimage import metrics as theirs

    function = getattr(theirs, name, None) or getattr(measure, name)
    return float(function(*images, **options))


def _skimage_ssim(**options: Any) -> float:
    """The mean over windows wholly inside, of which its default mean is one too."""
    return _skimage("structural_similarity", P, T, data_range=255, **options)


def _torchmetrics(name: str, *images: np.ndarray, **options: Any) -> float:
    from torchmetrics import functional
    from torchmetrics.functional import image

    if hasattr(image, name):
        return getattr(image, name)(*_t(*images), **options).item()
    flat = (torch.from_numpy(a).flatten() for a in images)
    return getattr(functional, name)(*flat, **options).item()


def _pyiqa(module: str, name: str, *images: np.ndarray, **options: Any) -> float:
    function = getattr(importlib.import_module(f"pyiqa.archs.{module}"), name)
    with torch.no_grad():
        result = function(*_t(*images), **options)
    # Its PIQE gives the blocks' masks beside the score.
    return float(result[0] if isinstance(result, tuple) else result)


def _pyiqa_niqe() -> float:
    niqe = importlib.import_module("pyiqa.archs.niqe_arch").niqe
    with torch.no_grad():
        zero, one = torch.zeros(1, 36).double(), torch.eye(36).double()
        return float(niqe(*_t(TEXTURE), zero, one, 32, 32))


def _niqe() -> torch.Tensor:
    standard = {
        "format": "deeplight niqe model 1",
        "options": {"data_range": 255.0, "round": True, "block_size": 32},
        "blocks": 100,
        "mean": [0.0] * 36,
        "covariance": np.eye(36).ravel().tolist(),
    }
    from deeplight import _native

    model = _native.metrics.NiqeModel(json.dumps(standard))
    return metrics.niqe(TEXTURE, model=model)


def _scipy_uiqi() -> float:
    from scipy.ndimage import uniform_filter

    def mean(a: np.ndarray) -> np.ndarray:
        return uniform_filter(a, 8, mode="constant")[4:-3, 4:-3]

    p, t = mean(P), mean(T)
    product, both = p * t, p * p + t * t
    variances = mean(P * P + T * T) - both
    return float((4 * (mean(P * T) - product) * product / (variances * both)).mean())


def _scipy_laplace() -> float:
    from scipy.ndimage import laplace

    return float(laplace(P)[1:-1, 1:-1].var())


def _scipy_sobel() -> float:
    from scipy.ndimage import sobel

    return float(np.hypot(sobel(P - T, 0), sobel(P - T, 1))[1:-1, 1:-1].mean() / 8)


def _angle() -> float:
    a, b = P.ravel(), T.ravel()
    return float(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))


@dataclass(frozen=True)
class Convention:
    """One row: `call` is `rival` in words, `to` bounds the relative difference."""

    score: str
    options: str  # beyond prediction, target and data_range=255
    package: str  # a key of PACKAGES
    call: str
    own: Callable[[], torch.Tensor]
    rival: Callable[[], float]
    to: float
    note: str = ""


def _ssim(**options: Any) -> Callable[[], torch.Tensor]:
    return lambda: metrics.ssim(P, T, data_range=255, **options)


def _uiqi(**options: Any) -> Callable[[], torch.Tensor]:
    return lambda: metrics.uiqi(P, T, **options)


WANG = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
BOX = {"window": "uniform", "window_size": 7, "sample_covariance": True}
SOURCES = night.sources()
ZONES = night.zones(P.shape)
EDGES = [0.0, 5.0, 60.0, 200.0]
GAUSSIAN = {"window": "gaussian", "window_size": 11}
RANGE = {"data_range": 255}

# fmt: off
CONVENTIONS = [
    Convention("ssim", "none", "skimage",
               "structural_similarity(gaussian_weights=True, sigma=1.5, "
               "use_sample_covariance=False)",
               _ssim(), lambda: _skimage_ssim(**WANG), 1e-12),
    Convention("ssim", 'window="uniform", window_size=7, sample_covariance=True', "skimage",
               "structural_similarity()", _ssim(**BOX), _skimage_ssim, 1e-12),
    Convention("ssim", 'padding="reflect"', "torchmetrics",
               "structural_similarity_index_measure(data_range=255.0)",
               _ssim(padding="reflect"),
               lambda: _torchmetrics("structural_similarity_index_measure", P, T,
                                     data_range=255.0), 1e-12),
    Convention("ssim", "none", "pyiqa",
               "archs.ssim_arch.ssim(data_range=255)",
               _ssim(), lambda: _pyiqa("ssim_arch", "ssim", P, T, **RANGE), 1e-11,
               "anti-correlated windows, which it makes 0, aside"),
    Convention("ms_ssim", "none", "pyiqa", "archs.ssim_arch.ms_ssim(data_range=255)",
               lambda: metrics.ms_ssim(P, T, data_range=255),
               lambda: _pyiqa("ssim_arch", "ms_ssim", P, T, **RANGE), 1e-9,
               "sides multiples of 16; its weights are in single precision"),
    Convention("uiqi", "none", "scipy", "ndimage.uniform_filter(8)",
               _uiqi(), _scipy_uiqi, 1e-11, "windows wholly inside"),
    Convention("uiqi", 'window="gaussian", window_size=11', "torchmetrics",
               "universal_image_quality_index()", _uiqi(**GAUSSIAN),
               lambda: _torchmetrics("universal_image_quality_index", P, T), 1e-12),
    Convention("piqe", "none", "pyiqa",
               "archs.piqe_arch.piqe()", lambda: metrics.piqe(P),
               lambda: _pyiqa("piqe_arch", "piqe", P / 255), 1e-7,
               "sides multiples of 16 (it pads others by the remainder); it rounds halves to even"),
    Convention("niqe", "round=True, block_size=32", "pyiqa",
               "archs.niqe_arch.niqe(block_size_h=32, block_size_w=32)", _niqe, _pyiqa_niqe, 1e-6,
               "one model for both; its tables are in single precision"),
    Convention("psnr", "none", "skimage", "peak_signal_noise_ratio(data_range=255)",
               lambda: metrics.psnr(P, T, data_range=255),
               lambda: _skimage("peak_signal_noise_ratio", T, P, **RANGE), 1e-13),
    Convention("psnr", "none", "torchmetrics", "peak_signal_noise_ratio(data_range=255.0)",
               lambda: metrics.psnr(P, T, data_range=255),
               lambda: _torchmetrics("peak_signal_noise_ratio", P, T, data_range=255.0), 1e-7,
               "it takes the logarithm in single precision"),
    Convention("rmse", "none", "torchmetrics", "mean_squared_error(squared=False)",
               lambda: metrics.rmse(P, T),
               lambda: _torchmetrics("mean_squared_error", P, T, squared=False), 1e-12),
    Convention("mae", "none", "torchmetrics", "mean_absolute_error()",
               lambda: metrics.mae(P, T), lambda: _torchmetrics("mean_absolute_error", P, T),
               1e-12),
    Convention("r2", "none", "torchmetrics", "r2_score()", lambda: metrics.r2(P, T),
               lambda: _torchmetrics("r2_score", P, T), 1e-12),
    Convention("cc", "none", "numpy", "corrcoef()", lambda: metrics.cc(P, T),
               lambda: float(np.corrcoef(P.ravel(), T.ravel())[0, 1]), 1e-12),
    Convention("rsd", "none", "numpy", "std(ddof=1)", lambda: metrics.rsd(P, T),
               lambda: float(abs(P.std(ddof=1) - T.std(ddof=1)) / T.std(ddof=1)), 1e-10),
    Convention("sam", 'reduction="pooled"', "torchmetrics", "spectral_angle_mapper()",
               lambda: metrics.sam(*_t(*BANDS), reduction="pooled"),
               lambda: _torchmetrics("spectral_angle_mapper", *BANDS), 1e-7,
               "its arccosine loses digits at small angles"),
    Convention("sam", 'vectors="image"', "numpy", "arccos of the scalar product",
               lambda: metrics.sam(P, T, vectors="image"), _angle, 1e-12),
    Convention("ergas", "ratio=1 / 4", "torchmetrics",
               "error_relative_global_dimensionless_synthesis(ratio=4)",
               lambda: metrics.ergas(*_t(*BANDS), ratio=1 / 4),
               lambda: _torchmetrics("error_relative_global_dimensionless_synthesis", *BANDS,
                                     ratio=4), 1e-12),
    Convention("gradient_error", 'filter="sobel"', "scipy", "ndimage.sobel() / 8",
               lambda: metrics.gradient_error(P, T, filter="sobel"), _scipy_sobel, 1e-12,
               "interior"),
    Convention("laplacian_variance", "none", "scipy", "ndimage.laplace()",
               lambda: metrics.laplacian_variance(P), _scipy_laplace, 1e-12,
               "interior"),
    Convention("entropy", "none", "skimage", "shannon_entropy()",
               lambda: metrics.entropy(BYTES, data_range=255),
               lambda: _skimage("shannon_entropy", BYTES), 1e-13, "bytes"),
    Convention("bias", "none", "numpy", "mean()", lambda: metrics.bias(P, T),
               lambda: float((P - T).mean()), 1e-11),
    Convention("average_gradient", "none", "numpy", "diff()", lambda: metrics.average_gradient(P),
               lambda: night.numpy_average_gradient(P), 1e-12),
    Convention("total_light_ratio", "none", "numpy", "sum()",
               lambda: metrics.total_light_ratio(P, T), lambda: float(P.sum() / T.sum()), 1e-12),
    *(Convention(f"lit_{name}", "threshold=30", "torchmetrics", f"binary_{call}()",
                 lambda name=name: getattr(metrics, f"lit_{name}")(P, T, threshold=30),
                 lambda call=call: night.torchmetrics_lit(f"binary_{call}", P, T, 30), 1e-7,
                 "of images above the threshold; it divides in single precision")
      for name, call in (("precision", "precision"), ("recall", "recall"), ("f1", "f1_score"))),
    Convention("saturated_core_error", "saturation=150", "skimage", "mean_squared_error() ** 0.5",
               lambda: metrics.saturated_core_error(P, T, saturation=150),
               lambda: _skimage("mean_squared_error", P[T >= 150], T[T >= 150]) ** 0.5, 1e-12,
               "of the core's pixels"),
    Convention("errors_by_brightness", "edges", "scipy", 'stats.binned_statistic("mean")',
               lambda: metrics.errors_by_brightness(P, T, EDGES).mae[1],
               lambda: night.scipy_bin(P, T, EDGES, 1), 1e-12, "MAE of a bin"),
    Convention("zone_sums", "none", "scipy", "ndimage.sum_labels()",
               lambda: metrics.zone_sums(P, T, ZONES).prediction[3],
               lambda: night.scipy_zone(P, 4), 1e-12),
    Convention("city_regression", "none", "scipy", "stats.linregress().slope",
               lambda: metrics.city_regression(P, T, ZONES).slope,
               lambda: night.scipy_line(P, T)[0], 1e-11),
    Convention("city_regression", "none", "scipy", "stats.linregress().rvalue ** 2",
               lambda: metrics.city_regression(P, T, ZONES).r2,
               lambda: night.scipy_line(P, T)[1], 1e-11),
    *(Convention("source_widths", "min_peak=50", "scipy", f"signal.peak_widths() of the {side}",
                 lambda side=side: getattr(
                     metrics.source_widths(*SOURCES, min_peak=50), side).mean(),
                 lambda image=image: night.scipy_width(image), 1e-12,
                 "half of the height above the median of the border; mean of rows and columns")
      for side, image in zip(("prediction", "target"), SOURCES, strict=True)),
]
# fmt: on


def has(package: str) -> bool:
    """Whether the package can be imported."""
    return importlib.util.find_spec(package) is not None


def key(row: Convention) -> str:
    """The name of a row in the record."""
    return f"{row.score}({row.options}) = {row.package} {row.call}"


def recorded() -> dict[str, dict[str, Any]]:
    """Row -> version, rival's value, own value, difference."""
    return {row["row"]: row for row in json.loads(RECORD.read_text())["rows"]}


def measure(row: Convention) -> dict[str, Any]:
    """Both values and their difference; of a package that is not here, what was recorded."""
    if has(row.package):
        version, rival = importlib.metadata.version(PACKAGES[row.package]), row.rival()
    else:
        known = recorded()[key(row)]
        version, rival = known["version"], known["rival"]
    own = row.own().item()
    return {
        "row": key(row),
        "version": version,
        "rival": rival,
        "own": own,
        "difference": abs(own - rival) / abs(rival),
    }


def table_rows() -> list[list[str]]:
    """The table of docs/metrics.md, from the record."""
    known = recorded()
    rows = []
    for row in CONVENTIONS:
        package = f"{PACKAGES[row.package]} {known[key(row)]['version']}"
        options = row.options if row.options == "none" else f"`{row.options}`"
        call = f"`{row.call}`" if "(" in row.call else row.call
        call = f"{call}; {row.note}" if row.note else call
        rows.append(
            [f"`{row.score}`", options, package, call, f"{row.to:.0e}".replace("e-0", "e-")]
        )
    return rows


def main() -> int:
    """Compares, and records where asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help=f"write {RECORD.name}")
    arguments = parser.parse_args()
    found, wrong = [], 0
    for row in CONVENTIONS:
        result = measure(row)
        found.append(result)
        bad = not result["difference"] <= row.to
        wrong += bad
        here = "" if has(row.package) else ", recorded"
        print(
            f"{'DIFFERS' if bad else 'equal  '} {result['difference']:.1e} (to {row.to:.0e}) "
            f"{result['row']} [{result['version']}{here}]"
        )
    if arguments.write and not wrong:
        RECORD.write_text(json.dumps({"rows": found}, indent=1) + "\n")
    return 1 if wrong else 0


if "DEEPLIGHT_PYIQA" in os.environ:
    # Last: what is installed here comes first.
    sys.path.append(os.environ["DEEPLIGHT_PYIQA"])

if __name__ == "__main__":
    sys.exit(main())
