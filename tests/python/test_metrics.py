"""Scores against scikit-image, torchmetrics and float64 NumPy; anchors; masks; degenerate input."""

import math

import numpy as np
import pytest
import torch
import torchmetrics.functional as tm
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

from deeplight import metrics


def lights(*shape, seed=0, density=0.2):
    """Sparse lights in 8-bit units, float64, and a disturbed copy."""
    rng = np.random.default_rng(seed)
    truth = rng.gamma(0.7, 60.0, shape).clip(0, 255) * (rng.random(shape) < density)
    return truth + rng.normal(0, 6.0, shape), truth


def skimage_map(prediction, truth, data_range):
    _, full = structural_similarity(
        prediction,
        truth,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=data_range,
        full=True,
    )
    return full[5:-5, 5:-5]


def test_psnr_matches_scikit_image():
    prediction, truth = lights(40, 53)
    expected = peak_signal_noise_ratio(truth, prediction, data_range=255)
    assert metrics.psnr(prediction, truth, data_range=255).item() == pytest.approx(
        expected, rel=1e-13
    )


def test_ssim_matches_scikit_image():
    prediction, truth = lights(40, 53)
    expected = skimage_map(prediction, truth, 255)
    got = metrics.ssim_map(prediction, truth, data_range=255)
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-12)
    assert metrics.ssim(prediction, truth, data_range=255).item() == pytest.approx(
        expected.mean(), abs=1e-13
    )


def test_ssim_matches_torchmetrics_inside_its_padding():
    prediction, truth = (torch.tensor(x)[None, None] for x in lights(40, 53))
    _, full = structural_similarity_index_measure(
        prediction, truth, data_range=255.0, sigma=1.5, kernel_size=11, return_full_image=True
    )
    got = metrics.ssim_map(prediction, truth, data_range=255)
    torch.testing.assert_close(got, full[..., 5:-5, 5:-5], atol=1e-10, rtol=0)


def test_rmse_and_cc_match_torchmetrics_and_numpy():
    prediction, truth = lights(3, 1, 17, 23)
    got = metrics.rmse(prediction, truth, reduction="none")
    expected = np.sqrt(((prediction - truth) ** 2).mean((1, 2, 3)))
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-14)
    pooled = metrics.rmse(prediction, truth, reduction="pooled").item()
    flat = [torch.tensor(x).flatten() for x in (prediction, truth)]
    assert pooled == pytest.approx(tm.mean_squared_error(*flat, squared=False).item(), rel=1e-13)

    got = metrics.cc(prediction, truth, reduction="none").numpy()
    expected = [
        np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(prediction, truth, strict=True)
    ]
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    pooled = metrics.cc(prediction, truth, reduction="pooled").item()
    assert pooled == pytest.approx(tm.pearson_corrcoef(*flat).item(), rel=1e-10)


def test_total_light_ratio():
    prediction, truth = lights(2, 1, 9, 9)
    got = metrics.total_light_ratio(prediction, truth, reduction="none").numpy()
    np.testing.assert_allclose(got, prediction.sum((1, 2, 3)) / truth.sum((1, 2, 3)), rtol=1e-13)
    pooled = metrics.total_light_ratio(prediction, truth, reduction="pooled").item()
    assert pooled == pytest.approx(prediction.sum() / truth.sum(), rel=1e-13)


def test_lit_scores():
    prediction, truth = lights(40, 53)
    lit = truth > 0
    assert torch.equal(metrics.lit_mask(truth), torch.tensor(lit))
    got = metrics.psnr(prediction, truth, data_range=255, mask=lit).item()
    expected = 10 * math.log10(255**2 / np.mean((prediction - truth)[lit] ** 2))
    assert got == pytest.approx(expected, rel=1e-13)
    got = metrics.ssim(prediction, truth, data_range=255, where=lit).item()
    expected = skimage_map(prediction, truth, 255)[lit[5:-5, 5:-5]].mean()
    assert got == pytest.approx(expected, abs=1e-12)


def test_pooled_ssim_weighs_windows():
    prediction, truth = lights(2, 1, 20, 20)
    where = np.zeros((2, 1, 20, 20), bool)
    where[0, 0, 7:12, 7:12] = True
    where[1, 0, 10, 10] = True
    maps = [skimage_map(p[0], t[0], 255) for p, t in zip(prediction, truth, strict=True)]
    values = np.concatenate([m[w[0, 5:-5, 5:-5]] for m, w in zip(maps, where, strict=True)])
    pooled = metrics.ssim(prediction, truth, data_range=255, where=where, reduction="pooled")
    assert pooled.item() == pytest.approx(values.mean(), abs=1e-12)
    mean = metrics.ssim(prediction, truth, data_range=255, where=where, reduction="mean")
    assert mean.item() == pytest.approx((values[:-1].mean() + values[-1]) / 2, abs=1e-12)


SCORES = {
    "psnr": lambda p, t, **k: metrics.psnr(p, t, data_range=255, **k),
    "ssim": lambda p, t, **k: metrics.ssim(p, t, data_range=255, **k),
    "rmse": metrics.rmse,
    "cc": metrics.cc,
    "light": metrics.total_light_ratio,
}


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("poison", [math.nan, math.inf, 1e30])
def test_mask_equals_crop(name, poison):
    prediction, truth = lights(2, 1, 30, 40)
    mask = np.zeros((1, 1, 30, 40), bool)
    mask[..., 3:27, 5:31] = True
    crop = (..., slice(3, 27), slice(5, 31))
    hidden = [np.where(mask, x, poison) for x in (prediction, truth)]
    for reduction in ("mean", "none", "pooled"):
        got = SCORES[name](*hidden, mask=mask, reduction=reduction)
        expected = SCORES[name](prediction[crop], truth[crop], reduction=reduction)
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


def test_ssim_drops_windows_that_touch_an_invalid_pixel():
    prediction, truth = lights(30, 30)
    mask = np.ones((30, 30), bool)
    mask[15, 15] = False
    values = metrics.ssim_map(prediction, truth, data_range=255, mask=mask).numpy()
    assert np.isnan(values).sum() == 11 * 11
    assert np.isnan(values[5:16, 5:16]).sum() == 11 * 11
    expected = skimage_map(prediction, truth, 255)
    np.testing.assert_allclose(values[~np.isnan(values)], expected[~np.isnan(values)], atol=1e-12)


@pytest.mark.parametrize("name", SCORES)
def test_no_valid_pixel_is_nan_and_has_no_vote(name):
    prediction, truth = lights(2, 1, 16, 16)
    mask = np.zeros((2, 1, 16, 16), bool)
    assert math.isnan(SCORES[name](prediction, truth, mask=mask))
    assert math.isnan(SCORES[name](prediction, truth, mask=mask, reduction="pooled"))
    mask[1] = True
    alone = SCORES[name](prediction[1], truth[1])
    each = SCORES[name](prediction, truth, mask=mask, reduction="none")
    assert math.isnan(each[0])
    torch.testing.assert_close(each[1], alone, rtol=1e-13, atol=0)
    torch.testing.assert_close(
        SCORES[name](prediction, truth, mask=mask), alone, rtol=1e-13, atol=0
    )


@pytest.mark.parametrize("name", SCORES)
def test_reductions_and_shapes(name):
    prediction, truth = lights(2, 3, 1, 14, 15)
    each = SCORES[name](prediction, truth, reduction="none")
    assert each.shape == (2, 3) and each.dtype == torch.float64
    for i in range(2):
        for j in range(3):
            one = SCORES[name](prediction[i, j, 0], truth[i, j, 0], reduction="none")
            assert one.shape == ()
            torch.testing.assert_close(each[i, j], one, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(SCORES[name](prediction, truth), each.mean(), rtol=1e-13, atol=0)
    order = SCORES[name](prediction[::-1].copy(), truth[::-1].copy(), reduction="pooled")
    pooled = SCORES[name](prediction, truth, reduction="pooled")
    torch.testing.assert_close(order, pooled, rtol=1e-12, atol=1e-14)


def test_identical_images():
    _, truth = lights(20, 20)
    assert metrics.psnr(truth, truth, data_range=255).item() == math.inf
    assert metrics.ssim(truth, truth, data_range=255).item() == pytest.approx(1, abs=1e-14)
    assert metrics.rmse(truth, truth).item() == 0
    assert metrics.cc(truth, truth).item() == pytest.approx(1, abs=1e-14)
    assert metrics.total_light_ratio(truth, truth).item() == 1


def test_dark_and_constant_images():
    dark = torch.zeros(1, 1, 16, 16)
    # 0.1 has no exact double, so a mean of it leaves a variance that only looks like one.
    grey = torch.full((1, 1, 16, 16), 0.1, dtype=torch.float64)
    _, truth = lights(1, 1, 16, 16)
    assert metrics.ssim(dark, dark, data_range=255).item() == 1
    assert metrics.cc(dark, truth).item() == 0
    assert metrics.cc(truth, grey).item() == 0
    assert metrics.cc(grey, grey).item() == 0
    assert metrics.cc(truth, truth, mask=np.arange(256).reshape(16, 16) == 37).item() == 0
    assert metrics.total_light_ratio(dark, dark).item() == 1
    assert metrics.total_light_ratio(dark, truth).item() == 0
    assert metrics.total_light_ratio(truth, dark).item() == math.inf


def test_all_dark_prediction_scores_well_unless_lit():
    _, truth = lights(1, 1, 64, 64, density=0.05)
    dark = np.zeros_like(truth)
    assert metrics.psnr(dark, truth, data_range=255) > 20
    lit = metrics.lit_mask(truth)
    assert metrics.psnr(dark, truth, data_range=255, mask=lit) < 15
    whole = metrics.ssim(dark, truth, data_range=255)
    assert metrics.ssim(dark, truth, data_range=255, where=lit) < whole / 2


def test_anchor_scaled_flat_images():
    # Flat windows leave only the luminance term (2 k m^2 + c1) / ((1 + k^2) m^2 + c1).
    k, level, c1 = 0.75, 200.0, (0.01 * 255) ** 2
    flat = torch.full((1, 1, 12, 12), level)
    expected = (2 * k * level**2 + c1) / ((1 + k * k) * level**2 + c1)
    assert metrics.ssim(flat * k, flat, data_range=255).item() == pytest.approx(expected, abs=1e-9)
    assert metrics.psnr(flat * k, flat, data_range=255).item() == pytest.approx(
        20 * math.log10(255 / 50), abs=1e-12
    )
    _, truth = lights(16, 16)
    assert metrics.cc(-3 * truth + 7, truth).item() == pytest.approx(-1, abs=1e-12)


def test_more_noise_scores_worse():
    _, truth = lights(64, 64)
    noise = np.random.default_rng(3).normal(size=truth.shape)
    scores = [
        [SCORES[name](truth + level * noise, truth).item() for level in (1, 4, 16)]
        for name in ("psnr", "ssim", "cc")
    ]
    for values in scores:
        assert values == sorted(values, reverse=True)


def test_integers_do_not_wrap_and_half_is_widened():
    a = torch.tensor([[0, 255], [10, 20]], dtype=torch.uint8)
    b = torch.tensor([[255, 0], [20, 10]], dtype=torch.uint8)
    expected = math.sqrt((2 * 255**2 + 2 * 10**2) / 4)
    assert metrics.rmse(a, b).item() == pytest.approx(expected, rel=1e-15)
    bright = torch.full((1, 64, 64), 60000.0, dtype=torch.float16)
    assert metrics.total_light_ratio(bright, bright).item() == 1
    assert metrics.rmse(bright, torch.zeros_like(bright)).item() == 60000 - 60000 % 32


def test_ssim_is_differentiable():
    prediction, truth = (torch.tensor(x) for x in lights(2, 1, 12, 13))
    prediction.requires_grad_()
    mask = torch.ones(2, 1, 12, 13, dtype=torch.bool)
    mask[1, :, 0, 0] = False
    assert torch.autograd.gradcheck(
        lambda x: metrics.ssim(x, truth, data_range=255, mask=mask, reduction="pooled"), prediction
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p, t: metrics.psnr(p, t), "data_range must be given"),
        (lambda p, t: metrics.ssim(p, t), "data_range must be given"),
        (lambda p, t: metrics.psnr(p, t, data_range=0), "above 0, got 0"),
        (lambda p, t: metrics.ssim(p, t, data_range=math.nan), "finite and above 0"),
        (lambda p, t: metrics.rmse(p, t[:-1]), "one shape"),
        (lambda p, t: metrics.rmse(p, t, mask=np.ones(p.shape)), "must be boolean"),
        (lambda p, t: metrics.rmse(p, t, mask=np.ones((3, 3), bool)), "does not broadcast"),
        (lambda p, t: metrics.rmse(p, t, reduction="sum"), "'sum' is not one of mean, none"),
        (lambda p, t: metrics.rmse(p[0], t[0]), "two dimensions"),
        (lambda p, t: metrics.rmse(p[:0], t[:0]), "must not be empty"),
        (lambda p, t: metrics.ssim(p[:10], t[:10], data_range=1), "11x11 pixels.*10x20"),
        (lambda p, t: metrics.ssim(p, t, data_range=1, window_size=8), "odd"),
        (lambda p, t: metrics.ssim(p, t, data_range=1, where=t), "where must be boolean"),
    ],
)
def test_wrong_use_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(*lights(20, 20))
