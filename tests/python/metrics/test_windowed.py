"""Scores over windows and blocks against scikit-image, SciPy, torchmetrics and NumPy."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.measure import shannon_entropy
from skimage.metrics import structural_similarity
from torchmetrics.functional import image as tm

from deeplight import metrics


def arrays(*shape, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.gamma(0.7, 60.0, shape).clip(0, 255) * (rng.random(shape) < 0.3)
    return truth + rng.normal(0, 6, shape), truth


def pair(*shape, seed=0):
    return tuple(torch.tensor(a) for a in arrays(*shape, seed=seed))


def ssim(p, t, **options):
    return metrics.ssim(p, t, data_range=255, **options)


def ms_ssim(p, t, **options):
    return metrics.ms_ssim(p, t, data_range=255, **options)


def small_ms_ssim(p, t, **options):
    return ms_ssim(p, t, weights=(0.4, 0.6), window_size=5, sigma=1.0, **options)


FULL_REFERENCE = [ssim, small_ms_ssim, metrics.uiqi, metrics.gradient_error]
SINGLE = [metrics.piqe, metrics.average_gradient, metrics.laplacian_variance]


def numpy_uiqi(x, y, size=8):
    def mean(a):
        windows = np.lib.stride_tricks.sliding_window_view(a, (size, size))
        return windows.mean(axis=(-2, -1))

    mx, my = mean(x), mean(y)
    variances = mean(x * x) - mx * mx + mean(y * y) - my * my
    return (4 * (mean(x * y) - mx * my) * mx * my / (variances * (mx * mx + my * my))).mean()


def scipy_uiqi(x, y, size=8):
    def mean(a):
        return ndimage.uniform_filter(a, size, mode="constant")[4:-3, 4:-3]

    mx, my = mean(x), mean(y)
    variances = mean(x * x) - mx * mx + mean(y * y) - my * my
    return (4 * (mean(x * y) - mx * my) * mx * my / (variances * (mx * mx + my * my))).mean()


def numpy_piqe(image, columns=(7, 9)):
    """MATLAB's steps in float64, one block after the other."""
    height, width = image.shape
    x = np.pad(image, ((0, -height % 16), (0, -width % 16)), "symmetric")
    x = np.floor(255 * (x / x.max()) + 0.5)
    taps = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
    taps /= taps.sum()

    def blur(a):
        rows = ndimage.correlate1d(a, taps, 0, mode="nearest")
        return ndimage.correlate1d(rows, taps, 1, mode="nearest")

    mean = blur(x)
    z = (x - mean) / (np.sqrt(np.abs(blur(x * x) - mean * mean)) + 1)
    total = active = 0
    for i in range(0, z.shape[0], 16):
        for j in range(0, z.shape[1], 16):
            block = z[i : i + 16, j : j + 16]
            variance = block.var(ddof=1)
            if variance <= 0.1:
                continue
            active += 1
            edges = (block[0], block[-1], block[:, 0], block[:, -1])
            flat = any(e[s : s + 6].std(ddof=1) < 0.1 for e in edges for s in range(11))
            surround = np.delete(block, columns, 1).std(ddof=1)
            ratio = block[:, 7:9].std(ddof=1) / surround
            sigma = math.sqrt(variance)
            noisy = sigma > 2 * abs(sigma - ratio) / max(sigma, ratio)
            total += (1 - variance) * flat + variance * noisy
    return 100 * (total + 1) / (active + 1)


def test_ssim_is_scikit_image_by_both_conventions():
    p, t = arrays(60, 73)
    gaussian = structural_similarity(
        p,
        t,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        full=True,
    )[1][5:-5, 5:-5]
    assert ssim(p, t).item() == pytest.approx(gaussian.mean(), rel=1e-12)
    ours = metrics.ssim_map(p, t, data_range=255).numpy()
    np.testing.assert_allclose(ours, gaussian, rtol=0, atol=1e-12)
    ours = ssim(p, t, window="uniform", window_size=7, sample_covariance=True).item()
    assert ours == pytest.approx(structural_similarity(p, t, data_range=255), rel=1e-12)


def test_ssim_mirrored_is_torchmetrics():
    p, t = pair(2, 3, 40, 47)
    expected = tm.structural_similarity_index_measure(p, t, data_range=255.0).item()
    assert ssim(p, t, padding="reflect").item() == pytest.approx(expected, rel=1e-12)
    assert ssim(p, t, reduction="none").shape == (2,)
    full = metrics.ssim_map(p, t, data_range=255, padding="reflect")
    assert full.shape == p.shape and full.mean().item() == pytest.approx(expected, rel=1e-12)
    assert abs(ssim(p, t).item() - expected) > 1e-5


@pytest.mark.parametrize("lit", [False, True])
def test_ms_ssim_is_the_product_over_scales(lit):
    p, t = pair(1, 1, 64, 70)
    where = t > 100 if lit else torch.ones_like(t, dtype=torch.bool)
    chosen = where[0, 0].numpy()
    c1, c2, result = (0.01 * 255) ** 2, (0.03 * 255) ** 2, 1.0
    x, y = p[0, 0].numpy(), t[0, 0].numpy()
    taps = np.exp(-(np.arange(-2, 3) ** 2) / 2.0)
    taps /= taps.sum()

    def mean(a):
        rows = ndimage.correlate1d(a, taps, 0)
        return ndimage.correlate1d(rows, taps, 1)[2:-2, 2:-2]

    for power in (0.4, 0.6):
        mx, my = mean(x), mean(y)
        variances = mean(x * x) - mx * mx + mean(y * y) - my * my
        values = (2 * (mean(x * y) - mx * my) + c2) / (variances + c2)
        if power == 0.6:
            values = values * (2 * mx * my + c1) / (mx * mx + my * my + c1)
        result *= values[chosen[2:-2, 2:-2]].mean() ** power
        x, y = (a[: len(a) // 2 * 2, : a.shape[1] // 2 * 2] for a in (x, y))
        x, y = ((a[::2, ::2] + a[1::2, ::2] + a[::2, 1::2] + a[1::2, 1::2]) / 4 for a in (x, y))
        corners = [chosen[i : len(chosen) // 2 * 2 : 2, j : chosen.shape[1] // 2 * 2 : 2]
                   for i in (0, 1) for j in (0, 1)]  # fmt: skip
        chosen = np.logical_or.reduce(corners)
    got = small_ms_ssim(p, t, **({"where": where} if lit else {}))
    assert got.item() == pytest.approx(result, rel=1e-12)
    one = ms_ssim(p, t, weights=(1.0,)).item()
    assert one == pytest.approx(ssim(p, t).item(), rel=1e-13)


def test_lit_ms_ssim():
    p, t = pair(2, 1, 64, 70)
    lit = metrics.lit_mask(t, 100)
    mask = torch.rand(64, 70, generator=torch.Generator().manual_seed(0)) > 0.001
    whole = torch.ones_like(lit)
    assert small_ms_ssim(p, t, where=whole).item() == small_ms_ssim(p, t).item()
    kernel = small_ms_ssim(p, t, where=lit, mask=mask, reduction="none")
    traced = small_ms_ssim(p.clone().requires_grad_(), t, where=lit, mask=mask, reduction="none")
    torch.testing.assert_close(traced.detach(), kernel, rtol=1e-12, atol=0)
    lit[0] = False
    scores = small_ms_ssim(p, t, where=lit, reduction="none")
    assert scores[0].isnan() and not scores[1].isnan()
    assert small_ms_ssim(p, t, where=lit).item() == scores[1].item()
    dark = torch.zeros_like(t)
    assert small_ms_ssim(dark, t, where=t > 200).item() < small_ms_ssim(dark, t).item()


def test_ms_ssim_of_negative_structure():
    t = torch.rand(1, 1, 40, 40, dtype=torch.float64, generator=torch.manual_seed(0)) * 255
    options = {"weights": (0.4, 0.6), "window_size": 5, "sigma": 1.0}
    assert ms_ssim(255 - t, t, **options).item() == 0
    assert math.isnan(ms_ssim(255 - t, t, negative="nan", **options).item())


def test_uiqi_is_scipy_and_numpy():
    p, t = arrays(50, 61)
    assert metrics.uiqi(p, t).item() == pytest.approx(numpy_uiqi(p, t), rel=1e-12)
    assert metrics.uiqi(p, t).item() == pytest.approx(scipy_uiqi(p, t), rel=1e-11)


def test_uiqi_anchors():
    p, _ = pair(40, 40)
    assert metrics.uiqi(0.75 * p, p).item() == pytest.approx(0.9216, abs=1e-12)
    noise = torch.randn(60, 60, dtype=torch.float64, generator=torch.manual_seed(0))
    assert -1 <= metrics.uiqi(100 - noise, 100 + noise).item() < -0.999
    assert metrics.uiqi(p, p).item() == pytest.approx(1, abs=1e-13)


def test_uiqi_of_dark_windows_is_the_rule():
    dark = torch.zeros(20, 20)
    scores = [metrics.uiqi(dark, dark, degenerate=rule).item() for rule in ("one", "zero", "skip")]
    assert scores[:2] == [1, 0] and math.isnan(scores[2])
    flat = metrics.uiqi(torch.full((20, 20), 2.0), torch.full((20, 20), 4.0)).item()
    assert flat == pytest.approx(2 * 2 * 4 / (2 * 2 + 4 * 4), rel=1e-12)


@pytest.mark.parametrize("kind", ["sparse", "blurred", "noise", "odd"])
def test_piqe_is_numpy(kind):
    p, t = arrays(64, 80)
    image = {
        "sparse": p.clip(0),
        "blurred": ndimage.gaussian_filter(t, 2),
        "noise": np.random.default_rng(1).random((64, 96)) * 77,
        "odd": p.clip(0)[:53, :71],
    }[kind]
    expected = numpy_piqe(image)
    assert metrics.piqe(image).item() == pytest.approx(expected, rel=1e-10)
    centred = metrics.piqe(image, surround="centred").item()
    assert centred == pytest.approx(numpy_piqe(image, (7, 8)), rel=1e-10)
    assert expected != pytest.approx(100)


def test_piqe_stretches():
    image = np.random.default_rng(1).random((48, 48)) * 77
    peak = metrics.piqe(image, stretch="range", data_range=image.max())
    assert peak.item() == metrics.piqe(image).item()
    byte = torch.tensor(image * 2).to(torch.uint8)
    none = metrics.piqe(byte, stretch="none")
    assert none.item() == metrics.piqe(byte, stretch="range", data_range=255).item()
    with pytest.raises(ValueError, match="data_range"):
        metrics.piqe(image, stretch="range")


def test_piqe_lit_blocks_alone():
    image = np.zeros((64, 64))
    image[16:48, 16:48] = np.random.default_rng(1).random((32, 32)) * 100
    lit = metrics.lit_mask(image)
    blocks = metrics.piqe(image, where=lit, reduction="map").numpy()
    counted = np.isfinite(blocks).reshape(4, 4)
    assert counted[1:3, 1:3].all() and counted.sum() == 4
    assert metrics.piqe(np.zeros((64, 64))).item() == 100


def test_single_image_scores_are_scikit_image_scipy_and_numpy():
    byte = torch.randint(0, 256, (40, 50), generator=torch.manual_seed(0)).to(torch.uint8)
    got = metrics.entropy(byte, data_range=255).item()
    assert got == pytest.approx(shannon_entropy(byte.numpy()), rel=1e-13)
    assert metrics.entropy(byte < 128, data_range=1, bins=2).item() <= 1
    p, _ = arrays(40, 51)
    dx, dy = p[:-1, 1:] - p[:-1, :-1], p[1:, :-1] - p[:-1, :-1]
    got = metrics.average_gradient(p).item()
    assert got == pytest.approx(np.sqrt((dx**2 + dy**2) / 2).mean(), rel=1e-13)
    laplacian = ndimage.laplace(p)[1:-1, 1:-1]
    assert metrics.laplacian_variance(p).item() == pytest.approx(laplacian.var(), rel=1e-12)
    ours = metrics.laplacian_variance(p, reduction="map").numpy()
    np.testing.assert_allclose(ours, laplacian, rtol=0, atol=1e-11)


def test_gradient_error_is_numpy_and_scipy():
    p, t = arrays(40, 51)
    d = p - t
    dx, dy = d[:-1, 1:] - d[:-1, :-1], d[1:, :-1] - d[:-1, :-1]
    assert metrics.gradient_error(p, t).item() == pytest.approx(np.hypot(dx, dy).mean(), rel=1e-13)
    got = metrics.gradient_error(p, t, norm="l1").item()
    assert got == pytest.approx((np.abs(dx) + np.abs(dy)).mean(), rel=1e-13)
    sobel = np.hypot(ndimage.sobel(d, 0), ndimage.sobel(d, 1))[1:-1, 1:-1] / 8
    got = metrics.gradient_error(p, t, filter="sobel").item()
    assert got == pytest.approx(sobel.mean(), rel=1e-12)
    assert metrics.gradient_error(t + 1000, t).item() == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("score", FULL_REFERENCE)
def test_mask_is_crop(score):
    p, t = pair(64, 70)
    mask = torch.zeros(64, 70, dtype=torch.bool)
    mask[8:40, 12:60] = True
    expected = score(p[8:40, 12:60], t[8:40, 12:60]).item()
    hidden = (p.masked_fill(~mask, math.nan), t.masked_fill(~mask, math.inf))
    assert score(*hidden, mask=mask).item() == pytest.approx(expected, rel=1e-12)
    p = p.masked_fill(~mask, math.nan).requires_grad_()
    value = score(p, hidden[1], mask=mask)
    assert value.item() == pytest.approx(expected, rel=1e-12)
    (gradient,) = torch.autograd.grad(value, p)
    assert gradient.isfinite().all() and (gradient[~mask] == 0).all()


@pytest.mark.parametrize("score", [metrics.average_gradient, metrics.laplacian_variance])
def test_mask_of_a_single_image_is_crop(score):
    p, _ = pair(40, 50)
    mask = torch.zeros(40, 50, dtype=torch.bool)
    mask[8:30, 12:40] = True
    got = score(p.masked_fill(~mask, math.nan), mask=mask).item()
    assert got == pytest.approx(score(p[8:30, 12:40]).item(), rel=1e-13)


def test_where_weighs_the_finished_map():
    p, t = pair(40, 50)
    lit = metrics.lit_mask(t)
    map_ = metrics.ssim_map(p, t, data_range=255)
    expected = map_[lit[5:-5, 5:-5]].mean().item()
    assert ssim(p, t, where=lit).item() == pytest.approx(expected, rel=1e-13)
    map_ = metrics.uiqi(p, t, reduction="map")
    expected = map_[lit[4:-3, 4:-3]].mean().item()
    assert metrics.uiqi(p, t, where=lit).item() == pytest.approx(expected, rel=1e-13)


def test_threads_do_not_show():
    p, t = pair(3, 200, 210)
    runs = {}
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            runs[threads] = [score(p, t).item() for score in (*FULL_REFERENCE, ms_ssim)]
            runs[threads] += [score(p).item() for score in SINGLE]
            runs[threads].append(metrics.entropy(p, data_range=255).item())
    finally:
        torch.set_num_threads(before)
    assert runs[1] == runs[2]


@pytest.mark.parametrize("score", FULL_REFERENCE)
def test_kernel_is_the_differentiable_path(score):
    p, t = pair(2, 1, 40, 44)
    for reduction in ("none", "pooled"):
        kernel = score(p, t, reduction=reduction)
        traced = score(p.clone().requires_grad_(), t, reduction=reduction)
        torch.testing.assert_close(traced.detach(), kernel, rtol=1e-12, atol=0)


@pytest.mark.parametrize("score", FULL_REFERENCE)
def test_gradients(score):
    p, t = pair(12, 13)
    p = p.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: score(x, t), (p,), eps=1e-5, atol=1e-7)


@pytest.mark.parametrize("score", FULL_REFERENCE)
def test_reductions(score):
    p, t = pair(3, 1, 24, 24)
    none = score(p, t, reduction="none")
    assert none.shape == (3,)
    torch.testing.assert_close(none.mean(), score(p, t))
    torch.testing.assert_close(none[1], score(p[1], t[1]))
    half = score(p.half(), t.half()).item()
    assert half == score(p.half().double(), t.half().double()).item()


@pytest.mark.parametrize("score", FULL_REFERENCE)
def test_degenerate_pairs(score):
    zero = torch.zeros(16, 16)
    best = 0 if score is metrics.gradient_error else 1
    assert score(zero, zero).item() == best
    assert score(zero + 7, zero + 7).item() == pytest.approx(best, abs=1e-13)
    nothing = torch.zeros(16, 16, dtype=torch.bool)
    assert math.isnan(score(zero, zero, mask=nothing).item())


def test_degenerate_single_images():
    zero, pixel = torch.zeros(16, 16), torch.ones(1, 1)
    nothing = torch.zeros(16, 16, dtype=torch.bool)
    for score in (metrics.average_gradient, metrics.laplacian_variance):
        assert score(zero).item() == 0 and score(zero + 7).item() == 0
        assert math.isnan(score(pixel).item()) and math.isnan(score(zero, mask=nothing).item())
    for image in (zero, zero + 7, pixel):
        assert metrics.piqe(image).item() == 100
        assert metrics.entropy(image, data_range=255).item() == 0
    assert math.isnan(metrics.piqe(zero, mask=nothing).item())
    assert math.isnan(metrics.entropy(zero, data_range=255, mask=nothing).item())
    assert math.isnan(metrics.gradient_error(pixel, pixel).item())


@pytest.mark.parametrize("score", FULL_REFERENCE)
def test_bad_pairs(score):
    p, t = pair(24, 24)
    with pytest.raises(ValueError, match="24"):
        score(p, t[:20])
    with pytest.raises(ValueError, match="bool"):
        score(p, t, mask=torch.ones(24, 24))
    with pytest.raises(ValueError, match="sideways"):
        score(p, t, reduction="sideways")


def test_bad_options():
    p, t = pair(24, 24)
    with pytest.raises(ValueError, match="data_range"):
        metrics.ms_ssim(p, t)
    with pytest.raises(ValueError, match="data_range"):
        metrics.entropy(p)
    with pytest.raises(ValueError, match="bins"):
        metrics.entropy(p, data_range=255, bins=0)
    for call in (ssim, metrics.uiqi):
        with pytest.raises(ValueError, match="4"):
            call(p[:4], t[:4])
        with pytest.raises(ValueError, match="diagonal"):
            call(p, t, padding="diagonal")
    with pytest.raises(ValueError, match="24"):
        ms_ssim(p, t)
    with pytest.raises(ValueError, match="weight"):
        ms_ssim(p, t, weights=())
    with pytest.raises(ValueError, match="10"):
        ssim(p, t, window_size=10)
