"""Convolution with a kernel per sample against PyTorch in float64, gradcheck and opcheck."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from deeplight import functional
from large_kernel_cases import dynamic_case, simd_level, simd_levels


@pytest.mark.parametrize("level", simd_levels())
def test_random_cases_equal_pytorch_in_float64(level):
    with simd_level(level):
        for seed in range(8):
            dynamic_case(seed)


@pytest.mark.parametrize("function", ["dynamic_conv2d", "dynamic_conv2d_reference"])
def test_every_sample_has_its_own_kernel(function):
    torch.manual_seed(0)
    x, k = torch.randn(3, 2, 7, 6).double(), torch.randn(3, 4, 2, 3, 5).double()
    out = getattr(functional, function)(x, k, (1, 2))
    expected = torch.stack([F.conv2d(x[i], k[i], padding=(1, 2)) for i in range(3)])
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize("function", ["dynamic_conv2d", "dynamic_conv2d_reference"])
@pytest.mark.parametrize("channels", [(2, 2), (9, 8)])
def test_gradcheck(function, channels):
    torch.manual_seed(0)
    x = torch.randn(2, channels[0], 4, 3).double().requires_grad_()
    k = torch.randn(2, channels[1], channels[0], 3, 1).double().requires_grad_()

    def run(image, kernel):
        return getattr(functional, function)(image, kernel, (2, 0))

    assert torch.autograd.gradcheck(run, (x, k), fast_mode=True)
    if channels == (2, 2):
        assert torch.autograd.gradgradcheck(run, (x, k), fast_mode=True)


def test_opcheck():
    x, k = torch.randn(2, 2, 6, 7, requires_grad=True), torch.randn(2, 3, 2, 3, 3)
    operator = torch.ops.deeplight.dynamic_conv2d.default
    torch.library.opcheck(operator, (x, k.requires_grad_(), [1, 1]))


def test_empty_batch_and_single_pixel():
    out = functional.dynamic_conv2d(torch.zeros(0, 2, 5, 5), torch.zeros(0, 3, 2, 3, 3), 1)
    assert out.shape == (0, 3, 5, 5)
    x, k = torch.randn(2, 2, 1, 1), torch.randn(2, 2, 2, 3, 3)
    out = functional.dynamic_conv2d(x, k, 1)
    torch.testing.assert_close(out[..., 0], k[..., 1, 1] @ x[..., 0])


def test_a_nan_reaches_its_window_and_nothing_else():
    x = torch.randn(2, 2, 9, 20)
    x[1, 0, 4, 15] = float("nan")
    out = functional.dynamic_conv2d(x, torch.rand(2, 2, 2, 3, 3) + 0.1, 1)
    expected = torch.zeros(2, 2, 9, 20, dtype=torch.bool)
    expected[1, :, 3:6, 14:17] = True
    assert torch.equal(torch.isnan(out), expected)


def test_threads_do_not_change_a_bit():
    kept, results = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        x = torch.randn(3, 2, 97, 70, requires_grad=True)
        k = torch.randn(3, 2, 2, 3, 3, requires_grad=True)
        out = functional.dynamic_conv2d(x, k, 1)
        out.backward(torch.randn_like(out))
        results.append([out, x.grad, k.grad])
    torch.set_num_threads(kept)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize(("dtype", "bound"), [(torch.bfloat16, 2**-8), (torch.float16, 2**-11)])
def test_half_precision_rounds_once(dtype, bound):
    x, k = torch.randn(2, 2, 12, 13).to(dtype), torch.randn(2, 2, 2, 3, 3).to(dtype)
    out, exact = (functional.dynamic_conv2d(*t, 1) for t in ((x, k), (x.float(), k.float())))
    assert out.dtype == dtype
    assert ((out.float() - exact).abs() <= bound * exact.abs() + 1e-7).all()


def test_autocast_is_that_of_a_convolution():
    x, k = torch.randn(1, 2, 9, 9), torch.randn(1, 2, 2, 3, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert functional.dynamic_conv2d(x, k, 1).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("input", (2, 4, 7), r"input must be \[B, C, H, W\], got \[2, 4, 7\]"),
        ("kernel", (3, 2, 4, 3, 3), r"kernel is \[3, 2, 4, 3, 3\], expected \[2, O, 4, kh, kw\]"),
        ("kernel", (2, 2, 4, 9, 3), "is smaller than the kernel"),
        ("kernel", (2, 0, 4, 3, 3), "at least one tap and channel"),
    ],
)
@pytest.mark.parametrize("function", ["dynamic_conv2d", "dynamic_conv2d_reference"])
def test_bad_shapes(name, shape, message, function):
    arguments = {"input": torch.zeros(2, 4, 7, 6), "kernel": torch.zeros(2, 2, 4, 3, 3)}
    arguments[name] = torch.zeros(*shape)
    with pytest.raises(ValueError, match=message):
        getattr(functional, function)(**arguments)
