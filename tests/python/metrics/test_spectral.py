"""Spectral errors against Welch's steps in NumPy, anchors, masks, blocks, gradients."""

import math

import numpy as np
import pytest
import torch
from scipy import signal

from deeplight import _native, metrics


def pair(*shape, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.gamma(0.7, 60.0, shape) * (rng.random(shape) < 0.3)
    return torch.tensor(truth + rng.normal(0, 6, shape)), torch.tensor(truth)


def numpy_bands(x, size):
    line = signal.get_window("hann", size)
    taper = np.outer(line, line)
    total, number = np.zeros((size, size)), 0
    for i in range(0, x.shape[0] - size + 1, size // 2):
        for j in range(0, x.shape[1] - size + 1, size // 2):
            window = x[i : i + size, j : j + size]
            total += np.abs(np.fft.fft2((window - window.mean()) * taper)) ** 2
            number += 1
    power = total / number / (taper**2).sum()
    f = np.fft.fftfreq(size) * size
    ring = np.floor(np.hypot(f[:, None], f[None]) + 0.5)
    return np.array([power[ring == k].mean() for k in range(1, size // 2 + 1)])


@pytest.mark.parametrize("size", [16, 64])
def test_bands_and_errors_are_numpy(size):
    p, t = pair(150, 173)
    bands = metrics.spectral_bands(p, t, window_size=size)
    a, b = numpy_bands(p.numpy(), size), numpy_bands(t.numpy(), size)
    np.testing.assert_allclose(bands.prediction, a, rtol=1e-12)
    np.testing.assert_allclose(bands.target, b, rtol=1e-12)
    np.testing.assert_allclose(bands.frequency, np.arange(1, size // 2 + 1) / size)
    got = metrics.spectral_error(p, t, window_size=size).item()
    assert got == pytest.approx(np.mean(np.abs(a - b) / b), rel=1e-12)
    got = metrics.spectral_error(p, t, window_size=size, statistic="log").item()
    assert got == pytest.approx(np.sqrt(np.mean((10 * np.log10(a / b)) ** 2)), rel=1e-12)


def test_one_line_is_scipys_welch():
    # Rows that are all alike: the transform along columns is the periodogram of one row.
    row = pair(1, 300)[1][0].numpy()
    _, power = signal.welch(row, nperseg=32, detrend="constant", return_onesided=False)
    x = torch.tensor(np.tile(row, (32, 1)))
    got = metrics.spectral_bands(x, x, window_size=32).target
    # The Hann taper spreads the one column over three rings; band by band the sums agree.
    line = signal.get_window("hann", 32)
    column = np.abs(np.fft.fft(line)) ** 2 / (line**2).sum()
    plane = np.outer(column, power)
    f = np.fft.fftfreq(32) * 32
    ring = np.floor(np.hypot(f[:, None], f[None]) + 0.5)
    expected = [plane[ring == k].mean() for k in range(1, 17)]
    # The mean of a row is the mean of its window, but the taper brings some of it back.
    np.testing.assert_allclose(got[3:], expected[3:], rtol=1e-9)


def test_anchors():
    noise = torch.randn(512, 512, dtype=torch.float64, generator=torch.manual_seed(0)) * 3
    power = metrics.spectral_bands(noise, 2 * noise)
    assert power.prediction[2:].mean().item() == pytest.approx(9, rel=0.01)
    np.testing.assert_allclose(power.target, 4 * power.prediction, rtol=1e-12)
    assert metrics.spectral_error(2 * noise, noise).item() == pytest.approx(3, rel=1e-12)
    log = metrics.spectral_error(2 * noise, noise, statistic="log").item()
    assert log == pytest.approx(10 * math.log10(4), rel=1e-12)
    wave = torch.cos(2 * math.pi * torch.arange(128, dtype=torch.float64) / 8).expand(128, 128)
    assert metrics.spectral_bands(wave, wave).target.argmax().item() == 7  # 8 / 64 cycles per pixel
    # Blind to where things are, as documented.
    assert metrics.spectral_error(noise.flip(-1).flip(-2), noise).item() < 0.002


def test_grows_with_noise_and_with_blur():
    _, t = pair(128, 128)
    noise = torch.randn(128, 128, dtype=torch.float64, generator=torch.manual_seed(0))
    errors = [metrics.spectral_error(t + s * noise, t).item() for s in (0, 4, 16, 64)]
    assert errors == sorted(errors) and errors[0] == 0
    blurred = (t + t.roll(1, 0) + t.roll(1, 1) + t.roll((1, 1), (0, 1))) / 4
    bands = metrics.spectral_bands(blurred, t)
    assert (bands.prediction[-8:] < 0.4 * bands.target[-8:]).all()


@pytest.mark.parametrize("statistic", ["relative", "log"])
def test_mask_is_crop_and_where_chooses(statistic):
    p, t = pair(96, 112)
    mask = torch.zeros(96, 112, dtype=torch.bool)
    mask[16:64, 32:96] = True
    options = {"window_size": 16, "statistic": statistic}
    expected = metrics.spectral_error(p[16:64, 32:96], t[16:64, 32:96], **options).item()
    hidden = p.masked_fill(~mask, math.nan), t.masked_fill(~mask, math.inf)
    assert metrics.spectral_error(*hidden, mask=mask, **options).item() == pytest.approx(expected)
    spot = torch.zeros(96, 112, dtype=torch.bool)
    spot[0, 0] = True
    one = metrics.spectral_error(p[:16, :16], t[:16, :16], **options).item()
    assert metrics.spectral_error(p, t, where=spot, **options).item() == pytest.approx(one)


def test_blocks_are_the_whole():
    p, t = pair(150, 90)
    mask = torch.rand(150, 90, generator=torch.manual_seed(0)) > 0.002
    expected = metrics.spectral_error(p, t, mask=mask, window_size=16, statistic="log").item()
    parts = [
        _native.metrics.SpectralAccumulator('{"window_size": 16, "statistic": "log"}')
        for _ in range(3)
    ]
    rows = (slice(0, 40 + 8), slice(40, 96 + 8), slice(96, 150))
    for part, row in zip(parts, rows, strict=True):
        assert (part.stride, part.overlap) == (8, 8)
        part.update(p[row], t[row], mask[row])
    parts[2].merge(parts[0])
    parts[2].merge(parts[1])
    assert parts[2].compute() == pytest.approx(expected, rel=1e-12)


def test_degenerate():
    zero, flat = torch.zeros(64, 64), torch.full((64, 64), 0.1, dtype=torch.float64)
    noise = torch.rand(64, 64, dtype=torch.float64)
    for statistic in ("relative", "log"):
        score = lambda p, t, s=statistic, **k: metrics.spectral_error(p, t, statistic=s, **k).item()  # noqa: E731
        assert score(zero, zero) == score(flat, flat) == score(noise, noise) == 0
        assert score(flat * 3, flat) == 0
        assert score(noise, flat) == math.inf
        assert math.isnan(score(noise, noise, mask=torch.zeros(64, 64, dtype=torch.bool)))
        spoiled = noise.clone()
        spoiled[3, 3] = math.nan
        assert math.isnan(score(spoiled, noise))
    assert metrics.spectral_error(flat, noise).item() == 1
    assert metrics.spectral_error(flat, noise, statistic="log").item() == math.inf
    with pytest.raises(ValueError, match="64x64 pixels, the window, got 1x1"):
        metrics.spectral_error(torch.ones(1, 1), torch.ones(1, 1))
    with pytest.raises(ValueError, match="window_size must be even"):
        metrics.spectral_error(noise, noise, window_size=7)
    with pytest.raises(ValueError, match="there is no map"):
        metrics.spectral_error(noise, noise, reduction="map")
    with pytest.raises(ValueError, match="one shape"):
        metrics.spectral_error(noise, noise[:32])


@pytest.mark.parametrize("statistic", ["relative", "log"])
def test_gradients(statistic):
    p, t = pair(12, 12)
    p = p.requires_grad_()

    def score(x):
        return metrics.spectral_error(x, t, window_size=8, statistic=statistic)

    assert torch.autograd.gradcheck(score, (p,), eps=1e-5, atol=1e-6)


def test_reductions():
    p, t = pair(3, 2, 32, 40)
    options = {"window_size": 16}
    none = metrics.spectral_error(p, t, reduction="none", **options)
    assert none.shape == (3,)
    torch.testing.assert_close(none[1], metrics.spectral_error(p[1], t[1], **options))
    torch.testing.assert_close(none.mean(), metrics.spectral_error(p, t, **options))
    pooled = metrics.spectral_bands(p, t, reduction="pooled", **options)
    each = metrics.spectral_bands(p, t, **options)
    torch.testing.assert_close(pooled.prediction, each.prediction.mean(0), rtol=1e-12, atol=0)
