"""Sharpening by an index: exact where its model is exact, and its properties where it is not."""

import numpy as np
import pytest
import torch

from deeplight.sharpening import block_mean, sharpen

SCALE = 4


@pytest.fixture(scope="module")
def ndvi():
    """[32, 40], smooth with detail."""
    rng = np.random.default_rng(1)
    return torch.from_numpy(rng.uniform(0.05, 0.85, (32, 40)))


def test_distrad_recovers_a_quadratic_that_is_linear_in_a_cell(ndvi):
    truth = 310 - 8 * ndvi
    found = sharpen(block_mean(truth, SCALE), ndvi, SCALE, method="distrad")
    torch.testing.assert_close(found.image, truth, rtol=0, atol=1e-7)
    assert found.coefficients == pytest.approx((310, -8, 0), abs=1e-6)
    assert found.explained == pytest.approx(1) and found.cells == 80


def test_distrad_recovers_a_quadratic_over_homogeneous_cells():
    cells = torch.linspace(0.1, 0.8, 30, dtype=torch.float64).view(5, 6)
    fine = cells.repeat_interleave(SCALE, 0).repeat_interleave(SCALE, 1)
    fine[:SCALE, :SCALE] += 0.1 * torch.rand(SCALE, SCALE, dtype=torch.float64)  # one mixed cell
    truth = 300 + 5 * fine - 12 * fine**2
    found = sharpen(block_mean(truth, SCALE), fine, SCALE, method="distrad", homogeneous=29 / 30)
    assert found.cells == 29
    assert found.coefficients == pytest.approx((300, 5, -12), abs=1e-6)
    torch.testing.assert_close(found.image, truth, rtol=0, atol=1e-6)


def test_tsharp_recovers_a_line_in_cover(ndvi):
    coarse = block_mean(ndvi, SCALE)
    least, most = coarse.min(), coarse.max()
    cover = 1 - ((most - ndvi) / (most - least)).clamp(0, 1) ** 0.625
    truth = 305 - 11 * cover
    found = sharpen(block_mean(truth, SCALE), ndvi, SCALE)
    torch.testing.assert_close(found.image, truth, rtol=0, atol=1e-8)
    assert found.coefficients == pytest.approx((305, -11))


@pytest.mark.parametrize("method", ["tsharp", "distrad"])
def test_block_residuals_keep_the_coarse_temperature(ndvi, method):
    low = 295 + 5 * torch.rand(8, 10, dtype=torch.float64)
    found = sharpen(low, ndvi, SCALE, method=method)
    torch.testing.assert_close(block_mean(found.image, SCALE), low, rtol=0, atol=1e-9)
    smooth = sharpen(low, ndvi, SCALE, method=method, residual="smooth")
    assert (block_mean(smooth.image, SCALE) - low).abs().max() > 1e-3
    assert smooth.coefficients == pytest.approx(found.coefficients)


def test_missing_cells_and_pixels_stay_missing(ndvi):
    low = block_mean(300 - 5 * ndvi, SCALE)
    low[0, 0] = torch.nan
    index = ndvi.clone()
    index[31, 39] = torch.nan
    for residual in ("block", "smooth"):
        image = sharpen(low, index, SCALE, residual=residual).image
        missing = ~image.isfinite()
        assert missing[:4, :4].all() and missing[28:, 36:].all()
        assert int(missing.sum()) == 32
    assert sharpen(low, index, SCALE).cells == 78


def test_wrong_use():
    low, index = torch.rand(3, 3), torch.rand(12, 12)
    for options, message in (
        ({"method": "tshap"}, "tsharp"),
        ({"residual": "none"}, "block or smooth"),
        ({"homogeneous": 0.0}, r"in \(0, 1\]"),
        ({"homogeneous": 0.1, "method": "distrad"}, "1 cells cannot be fitted"),
    ):
        with pytest.raises(ValueError, match=message):
            sharpen(low, index, SCALE, **options)
    with pytest.raises(ValueError, match=r"expected \(9, 9\)"):
        sharpen(low, index, 3)
    for method in ("tsharp", "distrad"):
        with pytest.raises(ValueError, match="in all 9 cells"):
            sharpen(low, torch.ones(12, 12), SCALE, method=method)
