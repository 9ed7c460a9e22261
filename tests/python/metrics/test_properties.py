"""Properties that hold for any image: hypothesis over sizes, values, masks and cuts."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplight import _native, metrics

native = _native.metrics


def ssim(p, t, **k):
    return metrics.ssim(p, t, data_range=255, **k)


def ms_ssim(p, t, **k):
    return metrics.ms_ssim(p, t, data_range=255, weights=(0.5, 0.5), window_size=5, sigma=1, **k)


def spectral(p, t, **k):
    return metrics.spectral_error(p, t, window_size=8, **k)


def log_spectral(p, t, **k):
    return metrics.spectral_error(p, t, window_size=8, statistic="log", **k)


SYMMETRIC = [ssim, ms_ssim, metrics.uiqi, metrics.gradient_error, metrics.rmse, metrics.mae]
SYMMETRIC += [metrics.cc, log_spectral, lambda p, t: metrics.sam(p, t, vectors="image")]
EVERY = [*SYMMETRIC, spectral, lambda p, t: metrics.psnr(p, t, data_range=255), metrics.bias]

SEEDS = st.integers(0, 2**31 - 1)
SIDES = st.integers(16, 40)


def lights(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    t = torch.rand(shape, dtype=torch.double, generator=generator) * 255
    t = t * (torch.rand(shape, dtype=torch.double, generator=generator) < 0.5)
    return t + torch.randn(shape, dtype=torch.double, generator=generator) * 5, t


@settings(max_examples=6, deadline=None)
@given(SEEDS, SIDES, SIDES)
def test_symmetry(seed, rows, columns):
    p, t = lights(seed, rows, columns)
    for score in SYMMETRIC:
        assert score(p, t).item() == pytest.approx(score(t, p).item(), rel=1e-11, abs=1e-12)
    assert metrics.bias(p, t).item() == -metrics.bias(t, p).item()


@settings(max_examples=6, deadline=None)
@given(SEEDS, st.permutations(range(4)))
def test_order_of_the_batch(seed, order):
    p, t = lights(seed, 4, 1, 20, 20)
    order = list(order)
    for score in EVERY[:-2]:
        for reduction in ("pooled", "mean", "none"):
            if score is SYMMETRIC[-1] and reduction != "mean":
                continue
            extra = {} if score is SYMMETRIC[-1] else {"reduction": reduction}
            a, b = score(p, t, **extra), score(p[order], t[order], **extra)
            want = a[order] if reduction == "none" else a
            torch.testing.assert_close(b, want, rtol=1e-12, atol=1e-13)


@settings(max_examples=6, deadline=None)
@given(SEEDS, st.integers(0, 8), st.integers(0, 8), st.integers(16, 24), st.integers(16, 24))
def test_mask_is_crop(seed, top, left, rows, columns):
    p, t = lights(seed, 40, 44)
    # The spectral windows begin at multiples of 4, the scales of MS-SSIM at multiples of 2.
    top, left = top // 4 * 4, left // 4 * 4
    rows, columns = rows // 4 * 4, columns // 4 * 4
    part = (slice(top, top + rows), slice(left, left + columns))
    mask = torch.zeros(40, 44, dtype=torch.bool)
    mask[part] = True
    hidden = p.masked_fill(~mask, math.nan), t.masked_fill(~mask, -math.inf)
    for score in (ssim, ms_ssim, metrics.uiqi, metrics.gradient_error, spectral, metrics.cc):
        got = score(*hidden, mask=mask).item()
        assert got == pytest.approx(score(p[part], t[part]).item(), rel=1e-11, abs=1e-12)


@settings(max_examples=6, deadline=None)
@given(SEEDS, st.lists(st.integers(1, 59), max_size=4, unique=True))
def test_tiling_is_whole(seed, cuts):
    p, t = lights(seed, 60, 30)
    mask = torch.rand(60, 30, generator=torch.Generator().manual_seed(seed)) > 0.003
    edges = [0, *sorted(cuts), 60]
    makers = [
        (lambda: native.SsimAccumulator(255.0, "{}"), lambda **k: ssim(p, t, **k)),
        (lambda: native.UiqiAccumulator("{}"), lambda **k: metrics.uiqi(p, t, **k)),
        (
            lambda: native.GradientErrorAccumulator('{"filter": "sobel"}'),
            lambda **k: metrics.gradient_error(p, t, filter="sobel", **k),
        ),
        (native.AverageGradientAccumulator, lambda **k: metrics.average_gradient(p, **k)),
        (native.LaplacianVarianceAccumulator, lambda **k: metrics.laplacian_variance(p, **k)),
    ]
    for make, function in makers:
        whole = make()
        single = isinstance(
            whole, (native.AverageGradientAccumulator, native.LaplacianVarianceAccumulator)
        )
        for first, last in pairwise(edges):
            rows = slice(max(0, first - whole.overlap), last)
            # Rows above that the block shares, but only where they were all seen before.
            tile = make()
            tile.update(*([p[rows]] if single else [p[rows], t[rows]]), mask=mask[rows])
            whole.merge(tile)
        expected = function(mask=mask).item()
        assert whole.compute() == pytest.approx(expected, rel=1e-11, nan_ok=True)


@settings(max_examples=6, deadline=None)
@given(SEEDS, st.integers(0, 3), st.booleans())
def test_pieces_of_piqe_are_the_whole(seed, cut, lit):
    p, t = lights(seed, 59, 37)
    where = t > 200 if lit else None
    options = '{"stretch": "range", "data_range": 255}'
    whole, rows = native.PiqeAccumulator(options), 16 * cut
    halo = whole.halo
    assert halo == 3
    if rows:
        seen = slice(0, rows + halo)
        whole.update(p[seen], bottom=halo, where=None if where is None else where[seen])
    rest = slice(max(0, rows - halo), None)
    tile = native.PiqeAccumulator(options)
    tile.update(p[rest], top=halo if rows else 0, where=None if where is None else where[rest])
    whole.merge(tile)
    again = native.PiqeAccumulator(options)
    again.load_state(whole.state())
    expected = metrics.piqe(p, stretch="range", data_range=255, where=where).item()
    assert again.compute() == pytest.approx(expected, rel=1e-13, nan_ok=True)


@settings(max_examples=6, deadline=None)
@given(SEEDS)
def test_worse_with_noise(seed):
    _, t = lights(seed, 48, 48)
    generator = torch.Generator().manual_seed(seed + 1)
    noise = torch.randn(48, 48, dtype=torch.double, generator=generator)
    # Weaker noise may by chance cancel some of the lights' own variation.
    steps = [t + size * noise for size in (0.0, 20.0, 80.0, 320.0)]
    for score, sign in ((ssim, -1), (metrics.uiqi, -1), (metrics.gradient_error, 1), (spectral, 1)):
        values = [sign * score(step, t).item() for step in steps]
        assert values == sorted(values)
    # Scores without a truth reward the noise, as their pages say.
    for score in (metrics.average_gradient, metrics.laplacian_variance):
        values = [score(step).item() for step in steps]
        assert values == sorted(values)


@settings(max_examples=6, deadline=None)
@given(SEEDS, st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.uint8]))
def test_types_are_widened_first(seed, dtype):
    p, t = (x.clip(0, 255).to(dtype) for x in lights(seed, 20, 20))
    for score in (ssim, metrics.uiqi, metrics.gradient_error, metrics.bias, spectral):
        assert score(p, t).item() == score(p.double(), t.double()).item()


def counted(high, count):
    """A state of windows as if many were seen: (sum, rest, count)."""
    return [high, 0.0, float(count)]


def test_a_thousand_million_windows_lose_no_digit():
    # 10^9 windows of 0.1 and one more tile: the mean is 0.1 and the tile's, to all digits.
    whole = native.SsimAccumulator(255.0, "{}")
    for _ in range(1000):
        part = native.SsimAccumulator(255.0, "{}")
        part.load_state(counted(0.1 * 10**6, 10**6))
        whole.merge(part)
    assert whole.count == 10**9
    assert whole.compute() == pytest.approx(0.1, rel=1e-15)
    large = native.SsimAccumulator(255.0, "{}")
    large.load_state(counted(1e9, 10**9))
    for _ in range(1000):
        part = native.SsimAccumulator(255.0, "{}")
        part.load_state(counted(1e-8, 1))
        large.merge(part)
    state = large.state()
    # What a plain sum would have lost: 1000 times 1e-8 beside 1e9.
    assert state[0] - 1e9 + state[1] == pytest.approx(1e-5, rel=1e-6)
    entropy = native.EntropyAccumulator(1.0, '{"bins": 2}')
    entropy.load_state([3 * 10**9, 10**9, 0])
    assert entropy.count == 4 * 10**9
    assert entropy.compute() == pytest.approx(-0.75 * math.log2(0.75) + 0.5, rel=1e-15)
