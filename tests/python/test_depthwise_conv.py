"""Depthwise convolution against PyTorch in float64, its own reference, gradcheck and opcheck."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from deeplight import functional
from large_kernel_cases import LAYOUTS, depthwise_case, laid_out, simd_level, simd_levels


@pytest.mark.parametrize("level", simd_levels())
def test_random_cases_equal_pytorch_in_float64(level):
    with simd_level(level):
        for seed in range(8):
            depthwise_case(seed)


def test_the_reference_equals_pytorch():
    torch.manual_seed(0)
    x, w, b = torch.randn(2, 3, 9, 8).double(), torch.randn(3, 1, 5, 3).double(), torch.randn(3)
    ours = functional.depthwise_conv2d_reference(x, w, b.double(), (4, 2), (2, 1))
    torch.testing.assert_close(ours, F.conv2d(x, w, b.double(), 1, (4, 2), (2, 1), 3))


@pytest.mark.parametrize("function", ["depthwise_conv2d", "depthwise_conv2d_reference"])
@pytest.mark.parametrize("channels", [3, 8])
def test_gradcheck(function, channels):
    torch.manual_seed(0)
    layout = "channels_last" if channels == 8 else "contiguous"
    x = laid_out((2, channels, 4, 3), torch.float64, layout).requires_grad_()
    w = torch.randn(channels, 1, 3, 5).double().requires_grad_()
    b = torch.randn(channels).double().requires_grad_()

    def run(*leaves):
        return getattr(functional, function)(*leaves, padding=(2, 4), dilation=2)

    assert torch.autograd.gradcheck(run, (x, w, b), fast_mode=True)
    assert torch.autograd.gradgradcheck(run, (x, w, b), fast_mode=True)


def test_opcheck():
    x = torch.randn(2, 8, 6, 7, requires_grad=True)
    w, b = torch.randn(8, 1, 3, 7, requires_grad=True), torch.randn(8, requires_grad=True)
    operator = torch.ops.deeplight.depthwise_conv2d.default
    torch.library.opcheck(operator, (x, w, b, [3, 9], [3, 3]))
    last = x.detach().to(memory_format=torch.channels_last).requires_grad_()
    torch.library.opcheck(operator, (last, w, None, [3, 9], [3, 3]))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_result_has_the_layout_of_the_input(layout):
    x, w = laid_out((2, 16, 9, 11), torch.float32, layout), torch.randn(16, 1, 7, 7)
    out = functional.depthwise_conv2d(x, w, padding=9, dilation=3)
    kept = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    assert out.is_contiguous(memory_format=kept)


def test_bias_and_its_gradient():
    x = torch.randn(3, 5, 70, 9, requires_grad=True)
    w, b = torch.randn(5, 1, 3, 3), torch.randn(5, requires_grad=True)
    out = functional.depthwise_conv2d(x, w, b, 1)
    torch.testing.assert_close(out, functional.depthwise_conv2d(x, w, None, 1) + b.view(5, 1, 1))
    gradient = torch.randn_like(out)
    out.backward(gradient)
    torch.testing.assert_close(b.grad, gradient.sum((0, 2, 3)))


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_empty_batch_and_single_pixel(layout):
    w = torch.randn(8, 1, 23, 23, requires_grad=True)
    empty = laid_out((0, 8, 5, 5), torch.float32, layout)
    out = functional.depthwise_conv2d(empty, w, padding=11)
    out.sum().backward()
    assert out.shape == (0, 8, 5, 5) and (w.grad == 0).all()
    pixel = laid_out((1, 8, 1, 1), torch.float32, layout)
    out = functional.depthwise_conv2d(pixel, w, padding=11)
    torch.testing.assert_close(out.flatten(), pixel.flatten() * w[:, 0, 11, 11])


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_bad_pixel_reaches_its_window_and_nothing_else(layout, bad):
    x = laid_out((1, 8, 20, 21), torch.float32, layout)
    x[0, 3, 9, 10] = bad
    out = functional.depthwise_conv2d(x, torch.rand(8, 1, 7, 7) + 0.1, padding=9, dilation=3)
    wrong = ~torch.isfinite(out)
    expected = torch.zeros_like(wrong)
    expected[0, 3, 0:19:3, 1:20:3] = True
    assert torch.equal(wrong, expected)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_threads_do_not_change_a_bit(layout):
    torch.manual_seed(0)
    kept, results = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        x = laid_out((2, 17, 97, 70), torch.float32, layout).requires_grad_()
        w, b = torch.randn(17, 1, 7, 7, requires_grad=True), torch.randn(17, requires_grad=True)
        out = functional.depthwise_conv2d(x, w, b, 9, 3)
        out.backward(torch.randn(out.shape))
        results.append([out, x.grad, w.grad, b.grad])
    torch.set_num_threads(kept)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize(("dtype", "bound"), [(torch.bfloat16, 2**-8), (torch.float16, 2**-11)])
def test_half_precision_rounds_once(dtype, bound):
    x, w = torch.randn(2, 8, 12, 13).to(dtype), torch.randn(8, 1, 7, 7).to(dtype)
    out = functional.depthwise_conv2d(x, w, None, 9, 3)
    exact = functional.depthwise_conv2d(x.float(), w.float(), None, 9, 3)
    assert out.dtype == dtype
    assert ((out.float() - exact).abs() <= bound * exact.abs() + 1e-7).all()


def test_autocast_is_that_of_a_convolution():
    x, w = torch.randn(1, 8, 9, 9), torch.randn(8, 1, 7, 7)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = functional.depthwise_conv2d(x, w, None, 3)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(
        out, functional.depthwise_conv2d(x.bfloat16(), w.bfloat16(), None, 3)
    )


def test_more_than_two_to_the_31_elements_between_samples():
    distance = 2**31 + 64  # never touched memory between them costs nothing
    storage = torch.empty(distance + 256)
    x = torch.as_strided(storage, (2, 1, 8, 8), (distance, 64, 8, 1))
    x.copy_(torch.randn(2, 1, 8, 8))
    w = torch.randn(1, 1, 5, 5)
    torch.testing.assert_close(
        functional.depthwise_conv2d(x, w, None, 2), F.conv2d(x.contiguous(), w, None, 1, 2)
    )


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("input", (2, 4, 7), r"input must be \[B, C, H, W\], got \[2, 4, 7\]"),
        ("weight", (4, 2, 3, 3), r"weight is \[4, 2, 3, 3\], expected \[4, 1, kh, kw\]"),
        ("weight", (4, 1, 9, 3), "is smaller than the kernel"),
        ("bias", (5,), r"bias is \[5\], expected \[4\]"),
    ],
)
@pytest.mark.parametrize("function", ["depthwise_conv2d", "depthwise_conv2d_reference"])
def test_bad_shapes(name, shape, message, function):
    arguments = {"input": torch.zeros(2, 4, 7, 6), "weight": torch.zeros(4, 1, 3, 3)}
    arguments[name] = torch.zeros(*shape)
    with pytest.raises(ValueError, match=message):
        getattr(functional, function)(**arguments)
