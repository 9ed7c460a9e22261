"""The objectives beside the pixel losses, against float64 NumPy written out; masks; gradients."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import ndimage

from deeplight import losses, metrics

RANGE = 3.0


def numpy_ssim_costs(x, y, data_range=RANGE):
    """1 - SSIM at every window inside, by SciPy's Gaussian filter: [H - 10, W - 10]."""

    def mean(image):
        return ndimage.gaussian_filter(image, 1.5, truncate=5 / 1.5)[5:-5, 5:-5]

    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mx, my = mean(x), mean(y)
    vx, vy, cxy = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    return 1 - (2 * mx * my + c1) * (2 * cxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))


def numpy_steps(image, valid):
    """Absolute steps between valid neighbours, by an explicit loop."""
    steps = []
    for b, c, i, j in np.ndindex(image.shape):
        for k, m in ((i + 1, j), (i, j + 1)):
            inside = k < image.shape[2] and m < image.shape[3]
            if inside and valid[b, c, i, j] and valid[b, c, k, m]:
                steps.append(abs(image[b, c, k, m] - image[b, c, i, j]))
    return float(np.mean(steps)) if steps else 0.0


def dft(image):
    """The orthonormal transform as two matrix products."""

    def matrix(n):
        k = np.arange(n)
        return np.exp(-2j * np.pi * np.outer(k, k) / n) / np.sqrt(n)

    return matrix(image.shape[-2]) @ image @ matrix(image.shape[-1])


@pytest.fixture
def pair():
    rng = np.random.default_rng(1)
    target = rng.gamma(0.5, 1, (2, 1, 16, 21)) * (rng.random((2, 1, 16, 21)) < 0.4)
    prediction = target + 0.3 * rng.normal(size=target.shape)
    mask = np.ones(target.shape, dtype=bool)
    mask[0, 0, 3, 4] = mask[1, 0, 12:, 15:] = False
    return torch.tensor(prediction), torch.tensor(target), torch.tensor(mask)


CALLS = {
    "ssim": lambda p, t, m=None: losses.ssim(p, t, m, data_range=RANGE),
    "gradient": losses.gradient,
    "total_variation": lambda p, t, m=None: losses.total_variation(p, m),
    "radiance_consistency": lambda p, t, m=None: losses.radiance_consistency(p, t, m),
    "amplitude": losses.frequency,
    "complex": lambda p, t, m=None: losses.frequency(p, t, m, spectrum="complex"),
}


def hidden(image, mask):
    return torch.where(mask, image, math.nan)


def test_ssim_is_scipy(pair):
    x, y, mask = pair
    costs = np.stack(
        [numpy_ssim_costs(a[0], b[0]) for a, b in zip(x.numpy(), y.numpy(), strict=True)]
    )
    assert losses.ssim(x, y, data_range=RANGE).item() == pytest.approx(costs.mean(), rel=1e-9)
    whole = ndimage.binary_erosion(mask[:, 0].numpy(), np.ones((1, 11, 11)))[:, 5:-5, 5:-5]
    assert 0 < whole.sum() < whole.size
    got = losses.ssim(hidden(x, mask), hidden(y, mask), mask, data_range=RANGE).item()
    assert got == pytest.approx(costs[whole].mean(), rel=1e-9)
    score = metrics.ssim(x, y, data_range=RANGE, mask=mask, reduction="pooled").item()
    assert got == pytest.approx(1 - score, abs=1e-14)


def test_ssim_does_not_hide_a_broken_prediction(pair):
    x, y, mask = pair
    x[1, 0, 2, 2] = math.nan
    assert math.isnan(losses.ssim(x, y, mask, data_range=RANGE).item())


def test_gradient_and_total_variation_are_the_loops(pair):
    x, y, mask = pair
    every = np.ones(mask.shape, dtype=bool)
    for valid, given in ((every, None), (mask.numpy(), mask)):
        p, t = (x, y) if given is None else (hidden(x, mask), hidden(y, mask))
        expected = numpy_steps((x - y).numpy(), valid)
        assert losses.gradient(p, t, given).item() == pytest.approx(expected, rel=1e-12)
        expected = numpy_steps(x.numpy(), valid)
        assert losses.total_variation(p, given).item() == pytest.approx(expected, rel=1e-12)


def test_gradient_sees_no_offset_and_tv_only_steps(pair):
    x, _, _ = pair
    assert losses.gradient(x + 5, x).item() == pytest.approx(0, abs=1e-14)
    assert losses.total_variation(torch.full((1, 1, 5, 7), 3.0)).item() == 0
    edge = torch.zeros(1, 1, 4, 4)
    edge[..., 2:] = 6  # 4 of 24 pairs step by 6
    assert losses.total_variation(edge).item() == pytest.approx(1.0)


@pytest.mark.parametrize(("kind", "power"), [("l1", 1), ("mse", 2)])
def test_radiance_consistency_is_the_block_means(kind, power):
    rng = np.random.default_rng(2)
    fine, low = rng.random((2, 1, 12, 8)), rng.random((2, 1, 3, 2))
    mask = rng.random(fine.shape) < 0.6
    mask[0, 0, :4, :4] = False
    known = rng.random(low.shape) < 0.8
    top = bottom = plain = 0.0
    for b, i, j in np.ndindex(2, 3, 2):
        part = (b, 0, slice(4 * i, 4 * i + 4), slice(4 * j, 4 * j + 4))
        plain += abs(fine[part].mean() - low[b, 0, i, j]) ** power / 12
        weight = mask[part].mean() * known[b, 0, i, j]
        if weight:
            top += weight * abs(fine[part][mask[part]].mean() - low[b, 0, i, j]) ** power
            bottom += weight
    fine, low, mask, known = (torch.tensor(a) for a in (fine, low, mask, known))
    got = losses.radiance_consistency(fine, low, kind=kind)
    assert got.item() == pytest.approx(plain, rel=1e-12)
    got = losses.radiance_consistency(
        hidden(fine, mask), torch.where(known, low, math.nan), mask, known, kind=kind
    )
    assert got.item() == pytest.approx(top / bottom, rel=1e-12)


@pytest.mark.parametrize("columns", [21, 20, 2, 1])
def test_frequency_is_the_transform_written_out(pair, columns):
    x, y, mask = (image[..., :columns] for image in pair)
    px, py = dft(x.numpy()), dft(y.numpy())
    got = losses.frequency(x, y).item()
    assert got == pytest.approx(np.abs(np.abs(px) - np.abs(py)).mean(), rel=1e-10)
    got = losses.frequency(x, y, spectrum="complex").item()
    assert got == pytest.approx(np.abs(px - py).mean(), rel=1e-10)
    got = losses.frequency(hidden(x, mask), hidden(y, mask), mask, spectrum="complex").item()
    assert got == pytest.approx(np.abs(dft(((x - y) * mask).numpy())).mean(), rel=1e-10)


def test_amplitude_is_blind_to_shifts_and_complex_is_not(pair):
    x, _, _ = pair
    moved = x.roll((3, 5), (-2, -1))
    assert losses.frequency(moved, x).item() == pytest.approx(0, abs=1e-14)
    assert losses.frequency(moved, x, spectrum="complex").item() > 0.1


@pytest.mark.parametrize("name", [name for name in CALLS if name != "total_variation"])
def test_equal_images_cost_nothing(pair, name):
    _, y, mask = pair
    assert CALLS[name](y, y).item() == pytest.approx(0, abs=1e-15)
    assert CALLS[name](y, y, mask).item() == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("masked", [False, True])
def test_gradients(pair, name, masked):
    x, y, mask = pair
    if masked:
        y = hidden(y, mask)
    x.requires_grad_()
    call = CALLS[name]
    assert torch.autograd.gradcheck(lambda p: call(p, y, mask if masked else None), x)


@pytest.mark.parametrize("name", CALLS)
def test_invalid_pixels_reach_neither_value_nor_gradient(pair, name):
    x, y, mask = pair
    # Both with gradients: without them another kernel computes the same sum in another order.
    plain = CALLS[name](x.clone().requires_grad_(), y, mask).item()
    noisy = torch.where(mask, x, math.nan).requires_grad_()
    loss = CALLS[name](noisy, torch.where(mask, y, math.inf), mask)
    assert loss.item() == plain
    loss.backward()
    assert torch.equal(noisy.grad[~mask], torch.zeros_like(noisy.grad[~mask]))
    assert noisy.grad.isfinite().all() and noisy.grad[mask].abs().max() > 0


@pytest.mark.parametrize("name", [name for name in CALLS if name not in ("amplitude", "complex")])
def test_mask_equals_crop(name):
    rng = np.random.default_rng(3)
    x, y = (torch.tensor(rng.random((2, 1, 24, 28))) for _ in range(2))
    mask = torch.zeros(1, 1, 24, 28, dtype=torch.bool)
    mask[..., 4:20, 6:26] = True
    part = (..., slice(4, 20), slice(6, 26))
    got = CALLS[name](hidden(x, mask), hidden(y, mask), mask).item()
    assert got == pytest.approx(CALLS[name](x[part], y[part]).item(), rel=1e-12)


@pytest.mark.parametrize("name", CALLS)
def test_nothing_valid_is_zero_with_zero_gradient(pair, name):
    x, _, mask = pair
    x = torch.full_like(x, math.nan).requires_grad_()
    loss = CALLS[name](x, torch.full_like(x, math.nan), torch.zeros_like(mask))
    assert loss.item() == 0
    loss.backward()
    assert torch.equal(x.grad, torch.zeros_like(x))


@pytest.mark.parametrize("name", [name for name in CALLS if name != "ssim"])
def test_one_pixel(name):
    x, y = torch.tensor([[[[2.0]]]], requires_grad=True), torch.tensor([[[[0.5]]]])
    loss = CALLS[name](x, y)
    assert loss.item() == (0 if name in ("gradient", "total_variation") else 1.5)
    loss.backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_types_stay_and_sums_do_not_overflow(name, dtype):
    x = torch.zeros(1, 1, 256, 256, dtype=dtype)
    x[..., ::2, :] = 16
    got = CALLS[name](x, torch.zeros_like(x))
    assert got.dtype == dtype
    if name in ("gradient", "total_variation"):
        assert got.item() == pytest.approx(8, rel=1e-2)
    assert got.isfinite()


def test_options_and_shapes_are_checked(pair):
    x, y, mask = pair
    for call in (losses.gradient, losses.frequency):
        with pytest.raises(ValueError, match="both must have one shape"):
            call(x, y[..., :-1])
        with pytest.raises(ValueError, match="mask must be boolean"):
            call(x, y, mask.float())
        with pytest.raises(ValueError, match="does not broadcast"):
            call(x, y, mask[..., :-1])
    with pytest.raises(ValueError, match="at least two dimensions"):
        losses.total_variation(x[0, 0, 0])
    with pytest.raises(ValueError, match="data_range must be finite and above 0, got 0"):
        losses.ssim(x, y, data_range=0.0)
    with pytest.raises(ValueError, match="window, got 8x21"):
        losses.ssim(x[..., :8, :], y[..., :8, :], data_range=1.0)
    with pytest.raises(TypeError, match="data_range"):
        losses.ssim(x, y)
    with pytest.raises(ValueError, match="does not divide the prediction"):
        losses.radiance_consistency(x, y[..., ::2, :10])
    with pytest.raises(ValueError, match="images of one batch"):
        losses.radiance_consistency(x, y[0])
    with pytest.raises(ValueError, match="'phase' is not one of"):
        losses.frequency(x, y, spectrum="phase")


@pytest.fixture
def output():
    rng = np.random.default_rng(4)
    return SimpleNamespace(
        image=None,
        pyramid=[torch.tensor(rng.random((2, 1, 16 // k, 24 // k))) for k in (4, 2, 1)],
        auxiliary_logits=torch.tensor(rng.normal(size=(2, 1, 16, 24))),
    )


def test_extra_terms_are_added_by_name(output):
    rng = np.random.default_rng(5)
    target = torch.tensor(rng.random((2, 1, 16, 24)))
    auxiliary = torch.tensor((rng.random((2, 1, 16, 24)) < 0.3).astype(float))
    mask = torch.tensor(rng.random((2, 1, 16, 24)) < 0.99)
    mask[1, 0] = True
    target = hidden(target, mask)
    fine = output.pyramid[-1]
    weights = {
        "ssim": 0.1,
        "gradient": 0.2,
        "total_variation": 0.3,
        "consistency": 0.4,
        "frequency": 0.5,
    }
    loss = losses.DeepLightLoss(ssim_range=2.0, spectrum="complex", pixel_loss="mse", **weights)
    terms = loss.terms(output, target, auxiliary, mask)
    plain = losses.DeepLightLoss(pixel_loss="mse").terms(output, target, auxiliary, mask)
    assert plain["extra"] == {}
    shares = torch.nn.functional.avg_pool2d(mask.double(), 4)
    sums = torch.nn.functional.avg_pool2d(torch.where(mask, target, 0), 4)
    expected = {
        "ssim": losses.ssim(fine, target, mask, data_range=2.0),
        "gradient": losses.gradient(fine, target, mask),
        "total_variation": losses.total_variation(fine, mask),
        "consistency": losses.radiance_consistency(fine, sums / shares, mask, kind="mse"),
        "frequency": losses.frequency(fine, target, mask, spectrum="complex"),
    }
    assert list(terms["extra"]) == list(weights)
    for name, value in expected.items():
        assert terms["extra"][name].item() == pytest.approx(value.item(), rel=1e-12), name
    total = plain["total"] + sum(w * expected[name] for name, w in weights.items())
    assert terms["total"].item() == pytest.approx(total.item(), rel=1e-12)
    assert terms["image"].item() == plain["image"].item()


def test_consistency_takes_the_low_resolution_or_a_scale(output):
    target = torch.tensor(np.random.default_rng(6).random((2, 1, 16, 24)))
    fine, low = output.pyramid[-1], target[..., ::8, ::8]
    loss = losses.DeepLightLoss(consistency=1.0, consistency_scale=2)
    got = loss.terms(output, target, low_resolution=low)["extra"]["consistency"]
    expected = torch.nn.functional.avg_pool2d(fine, 8).sub(low).abs().mean()
    assert got.item() == pytest.approx(expected.item(), rel=1e-12)
    got = loss.terms(output, target)["extra"]["consistency"]
    expected = torch.nn.functional.avg_pool2d(fine - target, 2).abs().mean()
    assert got.item() == pytest.approx(expected.item(), rel=1e-12)
    total = loss(output, target, low_resolution=low).item()
    assert total != pytest.approx(loss(output, target).item())


def test_gradients_of_the_whole_objective(output):
    target = torch.tensor(np.random.default_rng(7).random((2, 1, 16, 24)))
    loss = losses.DeepLightLoss(
        ssim=0.1, ssim_range=1.0, gradient=0.1, total_variation=0.1, consistency=0.1, frequency=0.1
    )

    def objective(coarse, fine):
        return loss(SimpleNamespace(pyramid=[coarse, fine], auxiliary_logits=None), target)

    inputs = [level.requires_grad_() for level in (output.pyramid[0], output.pyramid[2])]
    assert torch.autograd.gradcheck(objective, inputs)
