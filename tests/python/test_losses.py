"""Objectives against float64 NumPy and torch; masks; gradients; options."""

import copy
import math
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from deeplight import losses

BETA = (0.2, 0.3, 0.5)


def area_average(image, factor):
    """An independent block mean: explicit loops."""
    rows, columns = image.shape[-2] // factor, image.shape[-1] // factor
    out = np.empty((*image.shape[:-2], rows, columns))
    for i in range(rows):
        for j in range(columns):
            block = image[..., i * factor : (i + 1) * factor, j * factor : (j + 1) * factor]
            out[..., i, j] = block.mean((-2, -1))
    return out


@pytest.fixture
def sample():
    rng = np.random.default_rng(0)
    target = rng.gamma(0.5, 1, (2, 1, 16, 24)) * (rng.random((2, 1, 16, 24)) < 0.3)
    pyramid = [rng.normal(size=(2, 1, 16 // k, 24 // k)) for k in (4, 2, 1)]
    return SimpleNamespace(
        target=torch.tensor(target),
        auxiliary=torch.tensor((rng.random(target.shape) < 0.1).astype(float)),
        output=SimpleNamespace(
            image=torch.tensor(pyramid[-1]),
            pyramid=[torch.tensor(level) for level in pyramid],
            auxiliary_logits=torch.tensor(rng.normal(size=target.shape)),
        ),
        mask=torch.tensor(rng.random(target.shape) < 0.7),
    )


def numpy_bce(logits, target):
    p = 1 / (1 + np.exp(-logits))
    return -(target * np.log(p) + (1 - target) * np.log(1 - p))


def test_deeplight_loss_is_the_formula(sample):
    pyramid = [level.numpy() for level in sample.output.pyramid]
    target = sample.target.numpy()
    levels = [
        np.abs(p - area_average(target, k)).mean() for p, k in zip(pyramid, (4, 2, 1), strict=True)
    ]
    image = sum(b * level for b, level in zip(BETA, levels, strict=True))
    bce = numpy_bce(sample.output.auxiliary_logits.numpy(), sample.auxiliary.numpy()).mean()
    loss = losses.DeepLightLoss()
    got = loss(sample.output, sample.target, sample.auxiliary)
    assert got.shape == ()
    assert got.item() == pytest.approx(0.8 * image + 0.2 * bce, rel=1e-12)
    terms = loss.terms(sample.output, sample.target, sample.auxiliary)
    assert terms["image"].item() == pytest.approx(image, rel=1e-12)
    assert terms["auxiliary"].item() == pytest.approx(bce, rel=1e-12)
    assert [level.item() for level in terms["levels"]] == pytest.approx(levels, rel=1e-12)


def test_without_auxiliary_the_pyramid_stands_alone(sample):
    loss = losses.DeepLightLoss(alpha=0.3)
    with_target = loss.terms(sample.output, sample.target, sample.auxiliary)
    alone = loss.terms(sample.output, sample.target)
    assert alone["auxiliary"] is None
    assert alone["total"].item() == with_target["image"].item()
    sample.output.auxiliary_logits = None
    assert loss(sample.output, sample.target, sample.auxiliary).item() == alone["total"].item()


@pytest.mark.parametrize(("levels", "weights"), [(1, [1.0]), (2, [0.375, 0.625]), (3, BETA)])
def test_shorter_pyramids_take_the_last_weights(sample, levels, weights):
    sample.output.pyramid = sample.output.pyramid[-levels:]
    terms = losses.DeepLightLoss().terms(sample.output, sample.target)
    expected = sum(w * level.item() for w, level in zip(weights, terms["levels"], strict=True))
    assert terms["total"].item() == pytest.approx(expected, rel=1e-14)


def test_an_output_without_pyramid_uses_its_image(sample):
    sample.output.pyramid = []
    got = losses.DeepLightLoss(pixel_loss="mse")(sample.output, sample.target).item()
    expected = torch.nn.functional.mse_loss(sample.output.image, sample.target).item()
    assert got == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    ("call", "reference"),
    [
        (losses.l1, torch.nn.functional.l1_loss),
        (losses.mse, torch.nn.functional.mse_loss),
        (losses.charbonnier, lambda p, t: ((p - t) ** 2 + 1e-6).sqrt().mean()),
    ],
)
def test_pixel_losses(sample, call, reference):
    prediction, target, mask = sample.output.image, sample.target, sample.mask
    assert call(prediction, target).item() == pytest.approx(
        reference(prediction, target).item(), rel=1e-13
    )
    hidden = torch.where(mask, target, math.nan)
    assert call(prediction, hidden, mask).item() == pytest.approx(
        reference(prediction[mask], target[mask]).item(), rel=1e-13
    )
    weighted = call(prediction, target, light_weight=4.0).item()
    lit = target > 0
    dark_part = reference(prediction[~lit], target[~lit]) * (~lit).sum()
    lit_part = reference(prediction[lit], target[lit]) * lit.sum() * 5
    expected = (dark_part + lit_part) / ((~lit).sum() + 5 * lit.sum())
    assert weighted == pytest.approx(expected.item(), rel=1e-13)


def test_bce_has_the_right_sign_and_does_not_overflow(sample):
    logits, target = sample.output.auxiliary_logits, sample.auxiliary
    sure = (target * 2 - 1) * 1e4
    assert losses.auxiliary_bce(sure, target).item() == 0
    assert losses.auxiliary_bce(-sure, target).item() == pytest.approx(1e4)
    values = numpy_bce(logits.numpy(), target.numpy())
    weight = np.where(target.numpy() == 1, 7.0, 1.0)
    got = losses.auxiliary_bce(logits, target, positive_weight=7.0).item()
    assert got == pytest.approx((values * weight).mean(), rel=1e-12)
    mask = sample.mask
    hidden = torch.where(mask, target, math.nan)
    got = losses.auxiliary_bce(logits, hidden, mask, positive_weight=7.0).item()
    assert got == pytest.approx((values * weight)[mask.numpy()].mean(), rel=1e-12)


@pytest.mark.parametrize("kind", ["l1", "mse", "charbonnier"])
def test_mask_reaches_the_area_averages(sample, kind):
    mask, target = sample.mask.numpy(), sample.target.numpy()
    share = area_average(mask.astype(float), 4)
    with np.errstate(invalid="ignore"):
        average = area_average(np.where(mask, target, 0), 4) / share
    difference = np.where(share > 0, sample.output.pyramid[0].numpy() - average, 0)
    cost = {
        "l1": np.abs(difference),
        "mse": difference**2,
        "charbonnier": np.sqrt(difference**2 + 1e-6),
    }[kind]
    hidden = torch.where(sample.mask, sample.target, math.nan)
    got = losses.multi_scale(sample.output.pyramid[:1], hidden, [1.0], sample.mask, kind=kind)
    assert got.item() == pytest.approx((cost * share).sum() / share.sum(), rel=1e-12)


def test_mask_equals_crop(sample):
    mask = torch.zeros(1, 1, 16, 24, dtype=torch.bool)
    mask[..., 4:12, 8:20] = True
    loss = losses.DeepLightLoss(pixel_loss="mse", light_weight=2.0, auxiliary_positive_weight=3.0)
    hidden = torch.where(mask, sample.target, math.nan)
    got = loss(sample.output, hidden, torch.where(mask, sample.auxiliary, math.nan), mask)
    crop = (..., slice(4, 12), slice(8, 20))
    sample.output.pyramid = [
        level[..., 4 // k : 12 // k, 8 // k : 20 // k]
        for level, k in zip(sample.output.pyramid, (4, 2, 1), strict=True)
    ]
    sample.output.auxiliary_logits = sample.output.auxiliary_logits[crop]
    expected = loss(sample.output, sample.target[crop], sample.auxiliary[crop])
    assert got.item() == pytest.approx(expected.item(), rel=1e-12)


def test_nothing_valid_is_zero_with_zero_gradient(sample):
    for level in (*sample.output.pyramid, sample.output.auxiliary_logits):
        level.requires_grad_()
    nothing = torch.zeros_like(sample.mask)
    target = torch.full_like(sample.target, math.nan)
    loss = losses.DeepLightLoss()(sample.output, target, target, nothing)
    assert loss.item() == 0
    loss.backward()
    for level in (*sample.output.pyramid, sample.output.auxiliary_logits):
        assert torch.equal(level.grad, torch.zeros_like(level))


@pytest.mark.parametrize("kind", ["l1", "mse", "charbonnier"])
@pytest.mark.parametrize("masked", [False, True])
def test_gradients(sample, kind, masked):
    loss = losses.DeepLightLoss(
        pixel_loss=kind, light_weight=3.0, auxiliary_positive_weight=5.0, epsilon=0.1
    )
    target = torch.where(sample.mask, sample.target, math.nan) if masked else sample.target

    def objective(coarse, middle, fine, logits):
        output = SimpleNamespace(pyramid=[coarse, middle, fine], auxiliary_logits=logits)
        return loss(output, target, sample.auxiliary, sample.mask if masked else None)

    inputs = [x.requires_grad_() for x in (*sample.output.pyramid, sample.output.auxiliary_logits)]
    assert torch.autograd.gradcheck(objective, inputs)


def test_float32_stays_float32(sample):
    output = SimpleNamespace(
        pyramid=[level.float() for level in sample.output.pyramid],
        auxiliary_logits=sample.output.auxiliary_logits.float(),
    )
    loss = losses.DeepLightLoss(light_weight=1.0)
    got = loss(output, sample.target.float(), sample.auxiliary, sample.mask)
    assert got.dtype == torch.float32


def test_options_survive_copy_and_pickle():
    loss = losses.DeepLightLoss(pixel_loss="mse", beta=[1, 2, 3])
    expected = {
        "alpha": 0.8,
        "beta": [1, 2, 3],
        "pixel_loss": "mse",
        "epsilon": 1e-3,
        "light_weight": 0.0,
        "light_threshold": 0.0,
        "auxiliary_positive_weight": 1.0,
        "ssim": 0.0,
        "ssim_range": 0.0,
        "gradient": 0.0,
        "total_variation": 0.0,
        "consistency": 0.0,
        "consistency_scale": 0,
        "frequency": 0.0,
        "spectrum": "amplitude",
    }
    assert loss.options == expected
    assert copy.deepcopy(loss).options == expected
    assert pickle.loads(pickle.dumps(loss)).options == expected
    assert "pixel_loss='mse'" in repr(loss)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alhpa": 0.5}, "did you mean 'alpha'"),
        ({"alpha": 1.5}, r"alpha must lie in \[0, 1\], got 1.5"),
        ({"pixel_loss": "l2"}, "'l2' is not one of l1, mse, charbonnier"),
        ({"beta": [0.5, -0.1, 1]}, "beta must not be negative"),
        ({"beta": []}, "only 0 weights"),
        ({"epsilon": 0.0}, "epsilon must be above 0"),
        ({"light_weight": -1.0}, "light_weight must not be negative"),
        ({"auxiliary_positive_weight": 0.0}, "must be above 0, got 0"),
        ({"ssim": 0.1}, "ssim needs ssim_range"),
        ({"ssim": 0.1, "ssim_range": -1.0}, "above 0, got -1"),
        ({"gradient": -0.1}, "gradient is a weight and must be finite and not negative, got -0.1"),
        ({"total_variation": math.inf}, "option 'total_variation' cannot be inf"),
        ({"consistency": -1.0}, "consistency is a weight"),
        ({"consistency_scale": -1}, "consistency_scale must not be negative"),
        ({"consistency_scale": 1.5}, "consistency_scale"),
        ({"frequency": 1.0, "spectrum": "phase"}, "'phase' is not one of amplitude, complex"),
        ({"frequncy": 1.0}, "did you mean 'frequency'"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        losses.DeepLightLoss(**options)


def test_wrong_shapes_are_named(sample):
    loss = losses.DeepLightLoss()
    sample.output.pyramid[0] = sample.output.pyramid[0][..., :-1]
    with pytest.raises(ValueError, match=r"level 0 is .* does not divide the target"):
        loss(sample.output, sample.target)
    with pytest.raises(ValueError, match="4 levels, beta only 3"):
        losses.multi_scale([sample.target] * 4, sample.target)
    with pytest.raises(ValueError, match="one shape"):
        losses.l1(sample.target, sample.target[..., :-1])
    with pytest.raises(ValueError, match="does not broadcast"):
        losses.l1(sample.target, sample.target, sample.mask[..., :-1])
    with pytest.raises(ValueError, match="mask must be boolean"):
        losses.multi_scale([sample.target], sample.target, mask=sample.mask.float())
