"""Point-wise scores against NumPy and torchmetrics; accumulators against the whole image."""

import math

import numpy as np
import pytest
import torch
import torchmetrics.functional as tm
from torchmetrics.functional.image import (
    error_relative_global_dimensionless_synthesis,
    spectral_angle_mapper,
)

from deeplight import _native, metrics


def pair(*shape, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.gamma(0.7, 60.0, shape) * (rng.random(shape) < 0.4)
    return torch.tensor(truth + rng.normal(0, 6, shape)), torch.tensor(truth)


def test_differences_match_numpy_and_torchmetrics():
    p, t = pair(33, 41)
    x, y = p.numpy(), t.numpy()
    flat = (p.flatten(), t.flatten())
    assert metrics.mae(p, t).item() == pytest.approx(np.abs(x - y).mean(), rel=1e-13)
    assert metrics.mae(p, t).item() == pytest.approx(tm.mean_absolute_error(*flat).item())
    assert metrics.bias(p, t).item() == pytest.approx((x - y).mean(), rel=1e-11)
    sp, st = x.std(ddof=1), y.std(ddof=1)
    assert metrics.rsd(p, t).item() == pytest.approx(abs(sp - st) / st, rel=1e-10)
    expected = 1 - ((x - y) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    assert metrics.r2(p, t).item() == pytest.approx(expected, rel=1e-12)
    assert metrics.r2(p, t).item() == pytest.approx(tm.r2_score(*flat).item(), rel=1e-9)


def test_sam_and_ergas_match_torchmetrics():
    p, t = pair(2, 3, 20, 20)
    p, t = p + 30, t + 30
    got = metrics.sam(p, t, reduction="pooled").item()
    assert got == pytest.approx(spectral_angle_mapper(p, t).item(), rel=1e-9)
    got = metrics.ergas(p, t, ratio=1 / 4).item()
    expected = error_relative_global_dimensionless_synthesis(p, t, ratio=4).item()
    assert got == pytest.approx(expected, rel=1e-12)
    whole = metrics.sam(p[0], t[0], vectors="image").item()
    a, b = p[0].flatten(), t[0].flatten()
    assert whole == pytest.approx(math.acos(a @ b / a.norm() / b.norm()), abs=1e-8)
    with pytest.raises(ValueError, match="one band"):
        metrics.sam(p[:, :1], t[:, :1])


@pytest.mark.parametrize(
    ("name", "arguments", "function"),
    [
        ("Psnr", (255.0,), lambda p, t, **k: metrics.psnr(p, t, data_range=255, **k)),
        ("Rmse", (), metrics.rmse),
        ("Bias", (), metrics.bias),
        ("Cc", (), metrics.cc),
        ("R2", (), metrics.r2),
        ("Rsd", (), metrics.rsd),
        ("TotalLightRatio", (), metrics.total_light_ratio),
        ("LitF1", (5.0,), lambda p, t, **k: metrics.lit_f1(p, t, threshold=5, **k)),
    ],
)
def test_tiles_merge_to_the_whole(name, arguments, function):
    p, t = pair(50, 60)
    mask = torch.rand(50, 60) > 0.2
    whole = getattr(_native.metrics, f"{name}Accumulator")(*arguments)
    for rows in (slice(0, 7), slice(7, 31), slice(31, 50)):
        tile = getattr(_native.metrics, f"{name}Accumulator")(*arguments)
        tile.update(p[rows], t[rows], mask[rows])
        whole.merge(tile)
    expected = function(p, t, mask=mask, reduction="pooled")
    torch.testing.assert_close(whole.compute(), expected, rtol=1e-12, atol=1e-13)


def test_lit_scores_and_bins_match_numpy():
    p, t = pair(30, 30)
    a, b = p > 5, t > 5
    assert metrics.lit_precision(p, t, threshold=5).item() == (a & b).sum() / a.sum()
    assert metrics.lit_recall(p, t, threshold=5).item() == (a & b).sum() / b.sum()
    edges = [0.0, 10.0, 100.0, 1000.0]
    bins = metrics.errors_by_brightness(p, t, edges)
    count, _ = np.histogram(t.numpy(), edges)
    np.testing.assert_array_equal(bins.pixels.numpy(), count)
    chosen = (t >= 10) & (t < 100)
    assert bins.bias[1].item() == pytest.approx((p - t)[chosen].mean().item(), rel=1e-12)
    core = metrics.saturated_core_error(p, t, saturation=63).item()
    assert core == pytest.approx((p - t)[t >= 63].square().mean().sqrt().item(), rel=1e-12)


def test_cities_and_widths():
    _, t = pair(30, 30)
    zones = (torch.arange(30)[:, None] // 10 + 1).expand(30, 30)
    line = metrics.city_regression(0.5 * t, t, zones)
    assert line.slope.item() == pytest.approx(0.5)
    assert line.r2.item() == pytest.approx(1)
    assert line.zones.item() == 3
    axis = torch.arange(31, dtype=torch.float64) - 15
    source = 100 * (1 - (axis[:, None].abs() + axis.abs()) / 5).clamp_min(0)
    widths = metrics.source_widths(source, source, min_peak=10)
    assert widths.target.tolist() == [5.0]
    assert (widths.row.tolist(), widths.column.tolist()) == ([15], [15])


@pytest.mark.parametrize(
    "score",
    [
        lambda p, t: metrics.psnr(p, t, data_range=255),
        metrics.rmse,
        metrics.mae,
        metrics.bias,
        metrics.rsd,
        metrics.r2,
        metrics.cc,
        lambda p, t: metrics.sam(p, t, vectors="image"),
        metrics.sam,
        lambda p, t: metrics.ergas(p, t, ratio=0.25),
        metrics.total_light_ratio,
    ],
)
def test_gradients(score):
    p, t = pair(3, 5, 6)
    p, t = (p + 40).requires_grad_(), t + 40
    assert torch.autograd.gradcheck(lambda x: score(x, t), (p,), eps=1e-5, atol=1e-6)
