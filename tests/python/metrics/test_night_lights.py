"""Scores of night-light practice against closed forms and NumPy."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from deeplight import _native, metrics

FWHM = 2 * math.sqrt(2 * math.log(2))


def sources(sigma, places=((20, 20), (20, 60), (50, 40)), shape=(72, 80), peak=100.0):
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]]
    image = np.zeros(shape)
    for row, column in places:
        image += peak * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * sigma**2))
    return torch.tensor(image)


def test_width_of_a_gaussian_is_its_full_width_at_half_maximum():
    truth, blurred = sources(1.5), sources(2.5, peak=40)
    widths = metrics.source_widths(blurred, truth, min_peak=50)
    assert widths.row.tolist() == [20, 20, 50] and widths.column.tolist() == [20, 60, 40]
    # Straight lines between pixels: a few percent from the closed form.
    np.testing.assert_allclose(widths.target, FWHM * 1.5, rtol=0.04)
    np.testing.assert_allclose(widths.prediction, FWHM * 2.5, rtol=0.04)
    assert (widths.prediction > widths.target).all()


def test_only_isolated_bright_sources_count():
    near = sources(1.2, places=((20, 20), (20, 26), (50, 60)))
    assert metrics.source_widths(near, near, min_peak=50).column.tolist() == [60]
    assert metrics.source_widths(near, near, min_peak=50, radius=3).column.tolist() == [20, 26, 60]
    assert metrics.source_widths(near, near, min_peak=200).row.numel() == 0
    mask = torch.ones(72, 80, dtype=torch.bool)
    mask[50, 55] = False
    assert metrics.source_widths(near, near, min_peak=50, mask=mask).row.numel() == 0
    both = metrics.source_widths(near.expand(2, 1, 72, 80), near.expand(2, 1, 72, 80), min_peak=50)
    assert both.plane.tolist() == [0, 1]
    flat = metrics.source_widths(torch.full_like(near, 3.0), near, min_peak=50)
    assert flat.prediction.isnan().all() and not flat.target.isnan().any()
    with pytest.raises(ValueError, match="min_peak"):
        metrics.source_widths(near, near)
    with pytest.raises(ValueError, match="radius"):
        metrics.source_widths(near, near, min_peak=1, radius=1)


def scene(seed=0, shape=(40, 50)):
    generator = np.random.default_rng(seed)
    truth = generator.gamma(0.7, 60, shape) * (generator.random(shape) < 0.4)
    return truth * 0.8 + generator.normal(0, 4, shape), truth


@pytest.mark.parametrize("statistic", ["rmse", "mae", "bias"])
def test_saturated_cores_are_numpy(statistic):
    p, t = scene()
    mask = np.random.default_rng(1).random(t.shape) > 0.1
    core = (t >= 63) & mask
    d = (p - t)[core]
    expected = {"rmse": math.sqrt((d * d).mean()), "mae": abs(d).mean(), "bias": d.mean()}
    got = metrics.saturated_core_error(p, t, saturation=63, statistic=statistic, mask=mask)
    assert got.item() == pytest.approx(expected[statistic], rel=1e-12)
    everything = metrics.saturated_core_error(p, t, saturation=-1, statistic=statistic)
    whole = {"rmse": metrics.rmse, "mae": metrics.mae, "bias": metrics.bias}[statistic]
    assert everything.item() == pytest.approx(whole(p, t).item(), rel=1e-13)


def test_bins_add_up_to_the_whole():
    p, t = scene()
    edges = [t.min(), 1, 10, 63, t.max()]
    bins = metrics.errors_by_brightness(p, t, edges)
    assert bins.pixels.sum().item() == t.size
    share = bins.pixels / bins.pixels.sum()
    assert (share * bins.bias).sum().item() == pytest.approx((p - t).mean(), rel=1e-11)
    assert (share * bins.mae).sum().item() == pytest.approx(abs(p - t).mean(), rel=1e-12)
    mean = (share * bins.rmse**2).sum().item()
    assert mean == pytest.approx(((p - t) ** 2).mean(), rel=1e-12)
    for i, (low, high) in enumerate(pairwise(edges)):
        chosen = (t >= low) & ((t < high) | (i == len(edges) - 2))
        assert bins.bias[i].item() == pytest.approx((p - t)[chosen].mean(), rel=1e-11)
    assert metrics.errors_by_brightness(p, t, [1e6, 2e6]).rmse.isnan().all()
    with pytest.raises(ValueError, match="ascend"):
        metrics.errors_by_brightness(p, t, [10, 1])


def test_cities_are_numpys_line():
    p, t = scene()
    zones = (np.arange(40)[:, None] // 8 * 5 + np.arange(50) // 10).astype(np.int32)
    mask = np.random.default_rng(1).random(t.shape) > 0.1
    labels = np.unique(zones[zones > 0])
    x = np.array([t[(zones == z) & mask].sum() for z in labels])
    y = np.array([p[(zones == z) & mask].sum() for z in labels])
    slope, intercept = np.polyfit(x, y, 1)
    line = metrics.city_regression(p, t, zones, mask=mask)
    assert line.zones.item() == len(labels) == 24
    assert line.slope.item() == pytest.approx(slope, rel=1e-9)
    assert line.intercept.item() == pytest.approx(intercept, rel=1e-9)
    assert line.r2.item() == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2, rel=1e-9)
    sums = metrics.zone_sums(p, t, zones, mask=mask)
    assert sums.labels.tolist() == labels.tolist()
    np.testing.assert_allclose(sums.target, x, rtol=1e-12)
    np.testing.assert_allclose(sums.prediction, y, rtol=1e-11)
    assert sums.pixels.sum().item() == ((zones > 0) & mask).sum()


def test_cities_by_blocks_are_the_whole():
    p, t = (torch.tensor(a) for a in scene())
    zones = (torch.arange(40)[:, None] // 8 * 5 + torch.arange(50) // 10).long()
    valid = torch.ones(40, 50, dtype=torch.bool)
    whole = _native.metrics.ZoneAccumulator(torch.arange(1, 25))
    for first in (0, 7, 22):
        last = {0: 7, 7: 22, 22: 40}[first]
        rows = slice(first, last)
        whole.update(p[rows], t[rows], zones[rows], valid[rows])
    got, expected = whole.compute(), metrics.city_regression(p, t, zones)
    for a, b in zip(got, expected, strict=True):
        assert torch.as_tensor(a).item() == pytest.approx(b.item(), rel=1e-11)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.uint16, torch.int32])
def test_labels_of_every_kind_of_integer(dtype):
    p, t = (torch.tensor(a) for a in scene())
    zones = (torch.arange(40)[:, None] // 8 * 5 + torch.arange(50) // 10).long()
    want = metrics.city_regression(p, t, zones)
    assert metrics.city_regression(p, t, zones.to(dtype)) == want


def test_light_lost_is_the_ratio():
    _, t = scene()
    assert metrics.total_light_ratio(0.3 * t, t).item() == pytest.approx(0.3, rel=1e-14)
    lit = metrics.lit_mask(t)
    assert metrics.total_light_ratio(0.3 * t + 5, t, mask=lit).item() > 0.3
    # Precision and recall of a prediction that lights half of the lit pixels and as many dark ones.
    truth = torch.zeros(20, 20)
    truth[:10] = 10
    guess = torch.zeros(20, 20)
    guess[5:15] = 10
    for score in (metrics.lit_precision, metrics.lit_recall, metrics.lit_f1):
        assert score(guess, truth, threshold=5).item() == 0.5
