"""10^9 pixels have the value of the small image that they repeat.

DEEPLIGHT_LONG_TESTS=1 also runs windows over a view of 2^30 pixels: two minutes of one core.
"""

import os

import pytest
import torch

from deeplight import _native, metrics

SIDE = 32768  # 2^30 pixels
long = pytest.mark.skipif(
    os.environ.get("DEEPLIGHT_LONG_TESTS") != "1", reason="DEEPLIGHT_LONG_TESTS=1 runs it: minutes"
)

native = _native.metrics


def rows(height=1, seed=0):
    """float32 [height, SIDE]: sparse lights, and a prediction of them."""
    generator = torch.Generator().manual_seed(seed)
    t = torch.rand(height, SIDE, generator=generator) * 200
    t = t * (torch.rand(height, SIDE, generator=generator) < 0.4)
    return t + torch.randn(height, SIDE, generator=generator) * 6, t


@long
def test_windows_of_one_row_repeated():
    # A view of 2^30 pixels without their memory; every row of windows is the same.
    p, t = rows()
    tall, wide = [x.expand(SIDE, SIDE) for x in (p, t)], [x.expand(64, SIDE) for x in (p, t)]
    for score in (lambda *x: metrics.ssim(*x, data_range=255), metrics.uiqi):
        assert score(*tall).item() == pytest.approx(score(*wide).item(), rel=1e-13)
    piqe = metrics.piqe(tall[0], stretch="range", data_range=255).item()
    blocks = metrics.piqe_blocks(wide[0], stretch="range", data_range=255)
    total, active = (x[1].sum().item() * (SIDE // 16) for x in (blocks.distortion, blocks.active))
    assert piqe == pytest.approx(100 * (total + 1) / (active + 1), rel=1e-12)


@pytest.mark.parametrize(
    ("make", "function"),
    [
        (lambda: native.PsnrAccumulator(255.0), lambda p, t: metrics.psnr(p, t, data_range=255)),
        (native.RmseAccumulator, metrics.rmse),
        (native.MaeAccumulator, metrics.mae),
        (native.BiasAccumulator, metrics.bias),
        (native.RsdAccumulator, metrics.rsd),
        (native.R2Accumulator, metrics.r2),
        (native.CcAccumulator, metrics.cc),
        (native.TotalLightRatioAccumulator, metrics.total_light_ratio),
        (lambda: native.LitF1Accumulator(5.0), lambda p, t: metrics.lit_f1(p, t, threshold=5)),
    ],
)
def test_a_block_doubled_until_it_is_a_thousand_million(make, function):
    p, t = rows(16)
    whole = make()
    whole.update(p, t)
    for _ in range(11):
        other = make()
        other.merge(whole)
        whole.merge(other)
    assert float(whole.compute()) == pytest.approx(function(p, t).item(), rel=1e-11)


@long
def test_entropy_counts_beyond_32_bits():
    byte = torch.arange(256, dtype=torch.uint8).repeat(SIDE // 256).expand(SIDE, SIDE)
    assert metrics.entropy(byte, data_range=255).item() == pytest.approx(8, abs=1e-13)
