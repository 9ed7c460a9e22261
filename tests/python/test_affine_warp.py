"""Warps against torch's affine_grid and grid_sample, their reference, gradcheck and opcheck."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplight import functional
from large_kernel_cases import laid_out, simd_level, simd_levels

MODES = ("zeros", "border", "reflection")


def torchs(image, theta, size, mode, align):
    theta = theta.expand(image.size(0), -1, -1)
    grid = F.affine_grid(theta, (*image.shape[:2], *size), align_corners=align)
    return F.grid_sample(image, grid, padding_mode=mode, align_corners=align)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6), batch=st.integers(1, 3), channels=st.integers(1, 9),
    h=st.integers(2, 40), w=st.integers(2, 300), oh=st.integers(2, 40), ow=st.integers(2, 300),
    mode=st.sampled_from(MODES), align=st.booleans(), shared=st.booleans(),
    layout=st.sampled_from(["contiguous", "channels_last", "every_second"]),
    near=st.booleans(), level=st.sampled_from(simd_levels()),
)  # fmt: skip
def test_equals_torch_in_float64(
    seed, batch, channels, h, w, oh, ow, mode, align, shared, layout, near, level
):
    torch.manual_seed(seed)
    size = (h, w) if near else (oh, ow)
    image = laid_out((batch, channels, h, w), torch.float64, layout).requires_grad_()
    spread = 0.02 if near else 0.7
    theta = torch.eye(2, 3, dtype=torch.float64) + spread * torch.randn(
        1 if shared else batch, 2, 3, dtype=torch.float64
    )
    theta.requires_grad_()
    with simd_level(level):
        out = functional.affine_warp(image, theta, size, mode, align)
        expected = torchs(image, theta, size, mode, align)
        torch.testing.assert_close(out, expected, rtol=1e-9, atol=1e-9)
        above = torch.randn_like(expected)
        mine = torch.autograd.grad(out, (image, theta), above)
    theirs = torch.autograd.grad(expected, (image, theta), above)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-7 * channels * max(h, w))


@pytest.mark.parametrize("mode", MODES)
def test_kernel_equals_the_reference_in_pixels(mode):
    torch.manual_seed(4)
    image = torch.randn(2, 3, 11, 13, dtype=torch.float64)
    matrix = 0.3 * torch.randn(2, 2, 3, dtype=torch.float64)
    arguments = (image, matrix, 6.0, 5.0, 1.5, mode)
    torch.testing.assert_close(
        functional.pixel_warp(*arguments), functional.pixel_warp_reference(*arguments)
    )


def test_gradcheck_and_opcheck():
    torch.manual_seed(5)
    image = torch.randn(2, 3, 5, 6, dtype=torch.float64, requires_grad=True)
    matrix = (0.1 * torch.randn(1, 2, 3, dtype=torch.float64)).requires_grad_()

    def run(x, m):
        return functional.pixel_warp(x, m, 2.5, 2.0, 1.5)

    assert torch.autograd.gradcheck(run, (image, matrix))
    torch.library.opcheck(
        torch.ops.deeplight.pixel_warp.default, (image, matrix, 2.5, 2.0, 1.5, 1, [])
    )
    first = torch.autograd.grad(run(image, matrix).sum(), image, create_graph=False)
    assert first[0].shape == image.shape
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(run(image, matrix).square().sum(), image, create_graph=True)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("mode", MODES)
def test_a_displacement_that_is_no_number_samples_zero(bad, mode):
    image = torch.ones(1, 2, 4, 5)
    matrix = torch.zeros(1, 2, 3)
    matrix[0, 0, 2] = bad
    out = functional.pixel_warp(image, matrix, 2.0, 1.5, math.inf, mode)
    assert bool((out == 0).all())


def test_nan_does_not_spread_past_the_pixels_it_is_sampled_for():
    image = torch.ones(1, 1, 6, 7)
    image[0, 0, 3, 3] = math.nan
    still = functional.pixel_warp(image, torch.zeros(1, 2, 3), 3.0, 2.5, 1.0)
    assert int(still.isnan().sum()) == 1


def test_far_displacements_stay_inside_memory():
    image = torch.ones(1, 1, 3, 4)
    for mode in MODES:
        for shift in (1e9, -1e9, 3e38, -3e38):
            matrix = torch.tensor([[[0.0, 0.0, shift], [0.0, 0.0, -shift]]])
            out = functional.pixel_warp(image, matrix, 0.0, 0.0, math.inf, mode)
            assert bool(((out == 0) if mode == "zeros" else (out == 1)).all())


def test_threads_do_not_change_a_bit():
    torch.manual_seed(6)
    image = torch.randn(2, 5, 64, 65, requires_grad=True)
    matrix = (0.05 * torch.randn(1, 2, 3)).requires_grad_()
    kept, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            out = functional.pixel_warp(image, matrix, 32.0, 31.5, 4.0)
            results.append((out, *torch.autograd.grad(out.square().sum(), (image, matrix))))
    finally:
        torch.set_num_threads(kept)
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_half_precision_computes_positions_in_single():
    image = torch.rand(1, 2, 200, 300)
    matrix = torch.tensor([[[0.001, 0.0, 0.25], [0.0, 0.001, 0.25]]])
    exact = functional.pixel_warp(image.bfloat16().float(), matrix.bfloat16().float(), 0, 0, 4.0)
    out = functional.pixel_warp(image.bfloat16(), matrix.bfloat16(), 0, 0, 4.0)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out, exact.bfloat16(), rtol=0, atol=0)


@pytest.mark.parametrize(
    "image, theta, options, message",
    [
        (torch.zeros(3, 4, 5), torch.zeros(1, 2, 3), {}, r"\[B, C, H, W\]"),
        (torch.zeros(2, 1, 4, 5), torch.zeros(3, 2, 3), {}, "2 or 1, 2, 3"),
        (torch.zeros(1, 1, 4, 5), torch.zeros(1, 2, 3), {"padding_mode": "wrap"}, "expected zeros"),
        (torch.zeros(1, 1, 4, 5), torch.zeros(1, 2, 3), {"size": (1, 2, 3)}, "rows and columns"),
    ],
)
def test_wrong_use_is_named(image, theta, options, message):
    with pytest.raises(ValueError, match=message):
        functional.affine_warp(image, theta, **options)
