"""The block bootstrap against plain scores and against a NumPy version of itself."""

import math

import numpy as np
import pytest
import torch

from deeplight import metrics
from deeplight.intervals import BlockSums, bootstrap


def images(seed=0, side=64):
    generator = torch.Generator().manual_seed(seed)
    truth = torch.rand(side, side, generator=generator, dtype=torch.float64) * 10
    truth = torch.where(truth > 6, truth, 0.0)
    noise = torch.randn(side, side, generator=generator, dtype=torch.float64)
    return truth, truth + noise, truth + 2 * noise


def sums(prediction, truth, valid=None, block=16):
    valid = torch.ones_like(truth, dtype=torch.bool) if valid is None else valid
    return BlockSums.of(prediction, truth, valid, data_range=10.0, block=block)


def test_values_are_those_of_the_whole_image():
    truth, good, _ = images()
    valid = torch.ones_like(truth, dtype=torch.bool)
    valid[40:, :7] = False
    (row,) = bootstrap({"good": sums(good, truth, valid)}, samples=50).values()
    lit = valid & (truth > 0)
    keywords = {"data_range": 10.0, "mask": valid}
    assert row["psnr"].value == pytest.approx(float(metrics.psnr(good, truth, **keywords)))
    lit_psnr = float(metrics.psnr(good, truth, data_range=10.0, mask=lit))
    assert row["lit_psnr"].value == pytest.approx(lit_psnr)
    lit_ssim = float(metrics.ssim(good, truth, where=lit, **keywords))
    assert row["lit_ssim"].value == pytest.approx(lit_ssim)
    light = float(metrics.total_light_ratio(good, truth, mask=valid))
    assert row["light"].value == pytest.approx(light)


def test_blocks_of_any_size_sum_to_the_same():
    truth, good, _ = images()
    for block in (5, 16, 64, 1000):
        whole = sums(good, truth, block=block).sums.sum(0)
        torch.testing.assert_close(whole, sums(good, truth).sums.sum(0))


def test_intervals_equal_a_plain_bootstrap():
    truth, good, _ = images()
    given = sums(good, truth)
    row = bootstrap({"good": given}, samples=400, seed=3)["good"]["lit_psnr"]
    drawn = torch.randint(16, (400, 16), generator=torch.Generator().manual_seed(3)).numpy()
    table = given.sums.numpy()
    values = [10 * math.log10(100 * s[0] / s[1]) for s in (table[d].sum(0) for d in drawn)]
    assert (row.low, row.high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))
    assert row.low < row.value < row.high


def test_a_difference_is_resampled_in_pairs():
    truth, good, poor = images()
    rows = bootstrap({"poor": sums(poor, truth), "good": sums(good, truth)}, against="poor")
    gain = rows["good"]["gain"]
    assert gain.value == pytest.approx(20 * math.log10(2))
    # The errors are the same noise at two strengths: paired, nothing is left to chance.
    assert gain.high - gain.low < 1e-9
    assert rows["poor"]["gain"].value == 0


def test_dark_and_invalid_images():
    truth = torch.zeros(32, 32, dtype=torch.float64)
    row = bootstrap({"dark": sums(truth + 1, truth)}, samples=10)["dark"]
    assert math.isnan(row["lit_psnr"].value) and math.isnan(row["lit_psnr"].low)
    assert row["psnr"].value == pytest.approx(20)
    with pytest.raises(ValueError, match="no pixel is valid"):
        sums(truth, truth, torch.zeros_like(truth, dtype=torch.bool))
    with pytest.raises(ValueError, match="must have one shape"):
        sums(truth[1:], truth)
    with pytest.raises(ValueError, match="different numbers of blocks"):
        bootstrap({"a": sums(truth, truth), "b": sums(truth, truth, block=8)})
    with pytest.raises(ValueError, match="'c' is no candidate; known: a"):
        bootstrap({"a": sums(truth, truth)}, against="c")
