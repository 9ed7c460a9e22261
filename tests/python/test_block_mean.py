"""Block means and block-mean consistency against NumPy loops."""

import math

import numpy as np
import pytest
import torch

from deeplight import _native

block_mean = _native.functional.block_mean
enforce = _native.functional.enforce_block_mean


def loop_mean(image, scale, valid=None):
    valid = np.ones(image.shape, bool) if valid is None else np.broadcast_to(valid, image.shape)
    out = np.zeros((*image.shape[:-2], image.shape[-2] // scale, image.shape[-1] // scale))
    for index in np.ndindex(out.shape):
        rows, columns = (slice(i * scale, (i + 1) * scale) for i in index[-2:])
        kept = image[(*index[:-2], rows, columns)][valid[(*index[:-2], rows, columns)]]
        out[index] = kept.mean() if kept.size else 0
    return out


@pytest.fixture
def images():
    rng = np.random.default_rng(1)
    fine = rng.normal(1, 2, (2, 1, 12, 20))
    fine[0, 0, :4, :4] = 0
    coarse = rng.gamma(1, 2, (2, 1, 3, 5))
    coarse[1, 0, 2, 2] = 0
    return fine, coarse


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_block_mean(images, scale):
    fine, _ = images
    valid = np.random.default_rng(2).random((1, 1, 12, 20)) < 0.5
    valid[..., :4, 4:8] = False
    got = block_mean(torch.tensor(fine), scale)
    np.testing.assert_allclose(got, loop_mean(fine, scale), atol=1e-14)
    hidden = torch.tensor(np.where(valid, fine, math.nan))
    got = block_mean(hidden, scale, torch.tensor(valid))
    np.testing.assert_allclose(got, loop_mean(fine, scale, valid), atol=1e-14)


@pytest.mark.parametrize("consistency", ["additive", "multiplicative"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_block_means_become_the_low_resolution(images, consistency, dtype):
    fine, coarse = (torch.tensor(x, dtype=dtype) for x in images)
    tolerance = 1e-6 if dtype == torch.float32 else 1e-14
    once = enforce(fine, coarse, 4, consistency)
    assert once.dtype == dtype
    np.testing.assert_allclose(loop_mean(once.double().numpy(), 4), coarse, atol=8 * tolerance)
    twice = enforce(once, coarse, 4, consistency)
    torch.testing.assert_close(twice, once, atol=8 * tolerance, rtol=8 * tolerance)


def test_additive_adds_one_amount_per_block(images):
    fine, coarse = images
    added = enforce(torch.tensor(fine), torch.tensor(coarse), 4, "additive").numpy() - fine
    expected = np.kron(coarse - loop_mean(fine, 4), np.ones((4, 4)))
    np.testing.assert_allclose(added, expected, atol=1e-13)


def test_multiplicative_keeps_shares_and_fills_dark_blocks_evenly(images):
    fine, coarse = images
    got = enforce(torch.tensor(fine), torch.tensor(coarse), 4, "multiplicative").numpy()
    assert got.min() >= 0
    light = fine.clip(0)
    factor = np.kron(coarse / np.maximum(loop_mean(light, 4), 1e-300), np.ones((4, 4)))
    dark = np.kron(loop_mean(light, 4), np.ones((4, 4))) == 0
    np.testing.assert_allclose(got[~dark], (light * factor)[~dark], rtol=1e-12)
    assert dark[0, 0, :4, :4].all()
    assert (got[0, 0, :4, :4] == coarse[0, 0, 0, 0]).all()
    assert (got[1, 0, 8:12, 8:12] == 0).all()


def test_multiplicative_survives_extreme_units():
    fine = torch.full((1, 1, 8, 8), 1e-40)
    fine[..., 0, 0] = 1e-38
    got = enforce(fine, torch.full((1, 1, 1, 1), 1e30), 8, "multiplicative")
    assert torch.isfinite(got).all()
    assert got.mean().item() == pytest.approx(1e30, rel=1e-4)


@pytest.mark.parametrize("consistency", ["additive", "multiplicative"])
def test_invalid_pixels_take_no_part(images, consistency):
    fine, coarse = images
    valid = np.random.default_rng(2).random((1, 1, 12, 20)) < 0.5
    valid[..., :4, 4:8] = False
    hidden = np.where(valid, fine, math.nan)
    args = (torch.tensor(coarse), 4, consistency, torch.tensor(valid))
    got = enforce(torch.tensor(hidden), *args).numpy()
    assert np.array_equal(np.isnan(got), np.isnan(hidden))
    expected = coarse.copy()
    expected[..., 0, 1] = 0
    np.testing.assert_allclose(loop_mean(got, 4, valid), expected, atol=1e-13)


@pytest.mark.parametrize("consistency", ["additive", "multiplicative"])
def test_gradients(images, consistency):
    fine, coarse = (torch.tensor(x, requires_grad=True) for x in images)
    # At the kink of the clamp a numeric gradient means nothing: keep the values off zero.
    away = (fine.detach() + 0.5 * fine.detach().sign()).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, y: enforce(x, y, 4, consistency), (away[1:], coarse[1:])
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f, c: block_mean(f, 8), "12x20 must be multiples of the scale 8"),
        (lambda f, c: block_mean(f, 0), "at least 1, got 0"),
        (lambda f, c: block_mean(f[0, 0, 0], 2), "at least two dimensions"),
        (lambda f, c: enforce(f, c, 2), "expected"),
        (lambda f, c: enforce(f, c, 4, "averaged"), "'averaged' is not one of"),
        (lambda f, c: block_mean(f, 4, f), "must be boolean"),
        (lambda f, c: block_mean(f, 4, f[..., :-1] > 0), "does not broadcast"),
    ],
)
def test_wrong_use_is_named(images, call, message):
    with pytest.raises(ValueError, match=message):
        call(*(torch.tensor(x) for x in images))
