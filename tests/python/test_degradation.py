"""How a low resolution is simulated, against SciPy and plain NumPy."""

import json
import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from deeplight import _native


def scene(height=48, width=64, seed=1):
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(1, height, width, generator=generator) * 100
    return target, torch.rand(1, height, width, generator=generator) > 0.2


def spread_with_scipy(target, valid, kernel):
    """Normalised convolution, zeros outside."""
    weight = valid[0].double().numpy()
    light = np.where(weight > 0, target[0].double().numpy(), 0)
    spread = [ndimage.convolve(x, kernel.numpy(), mode="constant") for x in (light, weight)]
    with np.errstate(invalid="ignore"):
        return np.where(weight > 0, spread[0] / spread[1], math.nan)


def test_gaussian_against_scipy():
    for sigma in (0.3, 1.0, 2.7):
        kernel = _native.gaussian_kernel(sigma)
        point = np.zeros(kernel.shape)
        point[kernel.shape[0] // 2, kernel.shape[1] // 2] = 1
        expected = ndimage.gaussian_filter(point, sigma, mode="constant", truncate=4)
        np.testing.assert_allclose(kernel.numpy(), expected, rtol=1e-12, atol=1e-17)


@pytest.mark.parametrize("shape", [(9, 9), (3, 7), (1, 5)])
def test_measured_kernel_against_scipy(shape):
    kernel = _native.point_spread_kernel(torch.rand(shape))
    target, valid = scene()
    got = _native.point_spread(target, kernel, valid)[0]
    np.testing.assert_allclose(got, spread_with_scipy(target, valid, kernel), rtol=1e-6)


def test_gaussian_on_a_raster_larger_than_a_strip():
    kernel = _native.gaussian_kernel(3.5)
    target, valid = scene(300, 70)
    got = _native.point_spread(target, kernel, valid)[0]
    np.testing.assert_allclose(got, spread_with_scipy(target, valid, kernel), rtol=1e-6)


def test_threads_change_nothing():
    kernel = _native.gaussian_kernel(2.0)
    target, valid = scene(400, 30)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = _native.point_spread(target, kernel, valid)
        torch.set_num_threads(3)
        together = _native.point_spread(target, kernel, valid)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(alone.nan_to_num(-1), together.nan_to_num(-1))


def test_low_resolution_against_numpy():
    target, valid = scene()
    valid[:, :8, 8:16] = False
    kernel = _native.gaussian_kernel(1.2)
    seen = np.nan_to_num(spread_with_scipy(target, valid, kernel))
    weight = valid[0].numpy().astype(float)
    with np.errstate(invalid="ignore"):
        mean = (seen * weight).reshape(6, 8, 8, 8).sum((1, 3)) / weight.reshape(6, 8, 8, 8).sum(
            (1, 3)
        )
    low = _native.simulate_low_resolution(target, 8, valid, kernel)[0]
    np.testing.assert_allclose(low, mean, rtol=1e-6)
    assert math.isnan(low[0, 1])
    limit = float(np.nanmedian(mean))
    cut = _native.simulate_low_resolution(target, 8, valid, kernel, saturation=limit)[0]
    np.testing.assert_allclose(cut, np.minimum(mean, limit), rtol=1e-6)
    plain = _native.simulate_low_resolution(target, 8)
    torch.testing.assert_close(plain, torch.nn.functional.avg_pool2d(target, 8))


def test_any_phase_of_a_patch_is_cut_from_the_same_blurred_image():
    target, valid = scene(96, 96)
    kernel = _native.gaussian_kernel(1.7)
    options = {
        "scale": 4, "patch": 5, "batch": 6, "gain_jitter": 0.0, "flips": False, "threads": 0,
        "saturation": 55.0,
    }  # fmt: skip
    sampler = _native.PatchSampler(
        target, {}, [(0, 0, 96, 96)], valid=valid, options=json.dumps(options), kernel=kernel
    )
    phases = set()
    for step in range(5):
        batch = sampler.sample(step)
        for low, (row, column, _, _) in zip(batch.low_resolution, batch.windows, strict=True):
            top, left = row % 4, column % 4
            phases.add((top, left))
            # The sensor's whole image on this phase of the grid; border blocks lack light that a
            # shifted raster does not have, so the blur is taken before the shift.
            seen = _native.point_spread(target, kernel, valid)[:, top:, left:]
            usable = valid[:, top:, left:]
            height, width = seen.shape[1] // 4 * 4, seen.shape[2] // 4 * 4
            whole = _native.simulate_low_resolution(
                seen[:, :height, :width], 4, usable[:, :height, :width], saturation=55.0
            )
            i, j = (row - top) // 4, (column - left) // 4
            assert torch.equal(low.nan_to_num(-1), whole[:, i : i + 5, j : j + 5].nan_to_num(-1))
    assert len(phases) > 8


def test_bad_kernels_are_refused():
    target, _ = scene()
    with pytest.raises(ValueError, match="must be in"):
        _native.gaussian_kernel(0)
    for kernel, message in (
        (torch.ones(4, 3), "two odd sides"),
        (-torch.ones(3, 3), "must not be negative, got -1"),
        (torch.full((3, 3), math.inf), "must be finite"),
        (torch.zeros(3, 3), "positive sum"),
    ):
        with pytest.raises(ValueError, match=message):
            _native.point_spread(target, kernel)
    with pytest.raises(ValueError, match="multiples of the scale 5"):
        _native.simulate_low_resolution(target, 5)


def test_shares_of_a_batch_make_the_batch():
    target, valid = scene(96, 96)
    options = {"scale": 4, "patch": 5, "batch": 6, "seed": 3}

    def sampler(**share):
        return _native.PatchSampler(
            target, {"g": target}, [(0, 0, 96, 96)], valid=valid,
            options=json.dumps({**options, **share}),
        )  # fmt: skip

    whole = sampler()
    shares = [sampler(first_item=rank * 3, items=3) for rank in range(2)]
    for step in (0, 1, 2, 7):
        batch, parts = whole.sample(step), [share.sample(step) for share in shares]
        assert torch.equal(batch.target, torch.cat([part.target for part in parts]))
        assert torch.equal(batch.guides["g"], torch.cat([part.guides["g"] for part in parts]))
        assert batch.windows == parts[0].windows + parts[1].windows
    with pytest.raises(ValueError, match="must lie in the batch of 6"):
        sampler(first_item=4, items=3)
