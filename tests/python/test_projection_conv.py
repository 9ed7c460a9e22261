"""Projection convolutions and 1x1 with PixelShuffle against PyTorch in float64, with gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplight import functional
from large_kernel_cases import laid_out, simd_level, simd_levels

LAYOUT = st.sampled_from(["contiguous", "channels_last", "every_second", "window"])


def weights(inputs, outputs, kernel, transposed, dtype=torch.float64):
    shape = (inputs, outputs) if transposed else (outputs, inputs)
    return torch.randn(*shape, *kernel, dtype=dtype)


def ours(transposed):
    return functional.projection_conv_transpose2d if transposed else functional.projection_conv2d


def torchs(transposed):
    return F.conv_transpose2d if transposed else F.conv2d


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10**6), transposed=st.booleans(), batch=st.integers(0, 2),
    inputs=st.integers(1, 5), outputs=st.integers(1, 37),
    kernel=st.tuples(st.integers(1, 12), st.integers(1, 7)),
    stride=st.tuples(st.integers(1, 8), st.integers(1, 4)), layout=LAYOUT,
    level=st.sampled_from(simd_levels()), data=st.data(),
)  # fmt: skip
def test_equals_pytorch_in_float64(
    seed, transposed, batch, inputs, outputs, kernel, stride, layout, level, data
):
    torch.manual_seed(seed)
    padding = tuple(data.draw(st.integers(0, (k - 1) // 2)) for k in kernel)
    low = [1 if transposed else k - 2 * p for k, p in zip(kernel, padding, strict=True)]
    size = [data.draw(st.integers(max(1, n), max(1, n) + 12)) for n in low]
    natural = [(n - 1) * s - 2 * p + k
               for n, s, p, k in zip(size, stride, padding, kernel, strict=True)]  # fmt: skip
    if transposed and min(natural) < 1:
        return
    image = laid_out((batch, inputs, *size), torch.float32, layout)
    weight = weights(inputs, outputs, kernel, transposed, torch.float32)
    bias = torch.randn(outputs)
    with simd_level(level):
        out = ours(transposed)(image, weight, bias, stride, padding)
    exact = torchs(transposed)(image.double(), weight.double(), bias.double(), stride, padding)
    scale = torchs(transposed)(image.double().abs(), weight.double().abs(), bias.double().abs(),
                               stride, padding)  # fmt: skip
    assert out.shape == exact.shape
    assert bool(((out.double() - exact).abs() <= 2e-6 * scale).all())


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("level", simd_levels())
def test_first_and_second_derivatives(transposed, level):
    torch.manual_seed(0)
    # Numerical derivatives cost the product of all sizes: a transposed result is small enough so.
    size = (1, 2, 3, 4) if transposed else (2, 3, 7, 6)
    image = torch.randn(size, dtype=torch.float64, requires_grad=True)
    weight = weights(size[1], 3, (5, 4), transposed).requires_grad_()
    bias, slope = (torch.randn(3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    shape = torchs(transposed)(image, weight, bias, 3, 1).shape
    residual = torch.randn(shape, dtype=torch.float64, requires_grad=True)

    def run(*tensors):
        x, w, b, s, r = tensors
        return ours(transposed)(x, w, b, 3, 1, slope=s, residual=r, alpha=-0.5)

    with simd_level(level):
        torch.testing.assert_close(
            run(image, weight, bias, slope, residual),
            F.prelu(torchs(transposed)(image, weight, bias, 3, 1), slope) - 0.5 * residual,
        )
        assert torch.autograd.gradcheck(run, (image, weight, bias, slope, residual))
        assert torch.autograd.gradgradcheck(run, (image, weight, bias, slope, residual))


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("r", [2, 3, 8])
def test_pixel_shuffle(r, layout):
    torch.manual_seed(1)
    image = laid_out((2, 5, 4, 7), torch.float64, layout).requires_grad_()
    weight = torch.randn(3 * r * r, 5, 1, 1, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(3 * r * r, dtype=torch.float64, requires_grad=True)
    slope = torch.zeros(3, dtype=torch.float64)
    out = functional.pixel_shuffle_conv1x1(image, weight, bias, r, slope=slope)
    expected = F.relu(F.pixel_shuffle(F.conv2d(image, weight, bias), r))
    torch.testing.assert_close(out, expected)
    above = torch.randn_like(expected)
    mine = torch.autograd.grad(out, (image, weight, bias), above)
    theirs = torch.autograd.grad(expected, (image, weight, bias), above)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("transposed", [False, True])
def test_opcheck_and_reference(transposed):
    image = torch.randn(2, 3, 6, 7, requires_grad=True)
    weight, bias = weights(3, 4, (4, 4), transposed, torch.float32), torch.randn(4)
    slope = torch.full((4,), 0.2)
    arguments = (image, weight, bias, [2, 2], [1, 1], transposed, [], slope, None, 1.0)
    torch.library.opcheck(torch.ops.deeplight.projection_conv2d.default, arguments)
    torch.testing.assert_close(
        ours(transposed)(image, weight, bias, 2, 1, slope=slope),
        functional.projection_conv2d_reference(
            image, weight, bias, 2, 1, transposed=transposed, slope=slope
        ),
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6), transposed=st.booleans(), batch=st.integers(0, 2),
    inputs=st.sampled_from([1, 3, 16, 17]), outputs=st.sampled_from([1, 2, 16, 33]),
    kernel=st.tuples(st.integers(1, 9), st.integers(1, 7)),
    stride=st.tuples(st.integers(1, 8), st.integers(1, 4)),
    size=st.tuples(st.integers(9, 14), st.integers(7, 90)), layout=LAYOUT, grad_layout=LAYOUT,
    wanted=st.lists(st.booleans(), min_size=4, max_size=4).filter(any),
    level=st.sampled_from(simd_levels()), data=st.data(),
)  # fmt: skip
def test_backward_in_one_pass_is_that_of_plain_operations(
    seed, transposed, batch, inputs, outputs, kernel, stride, size, layout, grad_layout, wanted,
    level, data,
):  # fmt: skip
    torch.manual_seed(seed)
    padding = tuple(data.draw(st.integers(0, (k - 1) // 2)) for k in kernel)
    leaves = [
        laid_out((batch, inputs, *size), torch.float64, layout),
        weights(inputs, outputs, kernel, transposed),
        torch.randn(outputs, dtype=torch.float64),
        torch.randn(outputs, dtype=torch.float64),
    ]
    asked = [t.requires_grad_() for t, use in zip(leaves, wanted, strict=True) if use]
    image, weight, bias, slope = leaves
    with simd_level(level):
        out = ours(transposed)(image, weight, bias, stride, padding, slope=slope)
        expected = F.prelu(torchs(transposed)(image, weight, bias, stride, padding), slope)
        above = laid_out(tuple(out.shape), torch.float64, grad_layout)
        mine = torch.autograd.grad(out, asked, above)
    for one, other in zip(mine, torch.autograd.grad(expected, asked, above), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("level", simd_levels())
def test_results_that_are_streamed_past_the_cache(level, layout):
    """Results of 4 MiB and more, with and without whole lines of the cache, and several blocks."""
    torch.manual_seed(4)
    for outputs, width in ((16, 96), (16, 83), (17, 96)):
        image = laid_out((1, 3, 96, width), torch.float32, layout).requires_grad_()
        weight = weights(3, outputs, (12, 12), True, torch.float32).requires_grad_()
        slope = torch.rand(outputs, requires_grad=True)
        leaves = (image, weight, slope)
        with simd_level(level):
            out = functional.projection_conv_transpose2d(image, weight, None, 8, 2, slope=slope)
            mine = torch.autograd.grad(out, leaves, above := torch.randn_like(out))
        expected = F.prelu(F.conv_transpose2d(image, weight, None, 8, 2), slope)
        torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4)
        plain = torch.autograd.grad(expected, leaves, above)
        for one, other in zip(mine, plain, strict=True):
            scale = float(other.abs().max())
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("kind", ["strided", "transposed", "shuffle"])
def test_threads_do_not_change_a_bit(kind, layout):
    torch.manual_seed(2)
    transposed = kind == "transposed"
    image = laid_out((1, 8, 33, 31), torch.float32, layout).requires_grad_()
    weight = weights(8, 16, (6, 6), transposed, torch.float32).requires_grad_()
    bias, slope = torch.randn(16, requires_grad=True), torch.randn(16, requires_grad=True)
    wide = torch.randn(64, 8, 1, 1, requires_grad=True), torch.randn(64, requires_grad=True)
    kept, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            if kind == "shuffle":
                out = functional.pixel_shuffle_conv1x1(image, *wide, 2, slope=slope)
                leaves = (image, *wide, slope)
            else:
                out = ours(transposed)(image, weight, bias, 2, 2, slope=slope)
                leaves = (image, weight, bias, slope)
            results.append((out, *torch.autograd.grad(out.square().sum(), leaves)))
    finally:
        torch.set_num_threads(kept)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("transposed", [False, True])
def test_compiled_backward_calls_the_same_operators(transposed):
    image = torch.randn(1, 3, 6, 7, requires_grad=True)
    weight = weights(3, 4, (4, 4), transposed, torch.float32).requires_grad_()
    bias, slope = torch.randn(4, requires_grad=True), torch.full((4,), 0.2, requires_grad=True)
    leaves = (image, weight, bias, slope)

    def run(image, weight, bias, slope):
        out = torch.ops.deeplight.projection_conv2d(
            image, weight, bias, [2, 2], [1, 1], transposed, [], slope, None, 1.0
        )
        return out.square().sum()

    compiled = torch.compile(run, backend="aot_eager", fullgraph=True)
    mine = torch.autograd.grad(compiled(*leaves), leaves)
    for one, other in zip(mine, torch.autograd.grad(run(*leaves), leaves), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("dtype, bound", [(torch.bfloat16, 2**-8), (torch.float16, 2**-11)])
def test_half_precision_sums_in_single(dtype, bound):
    torch.manual_seed(3)
    image, weight = torch.randn(1, 16, 9, 9), weights(16, 8, (8, 8), True, torch.float32)
    image, weight = image.to(dtype), weight.to(dtype)
    out = functional.projection_conv_transpose2d(image, weight, None, 4, 2)
    exact = F.conv_transpose2d(image.double(), weight.double(), None, 4, 2)
    assert out.dtype == dtype
    # One rounding of the result, beside those of float32 sums.
    sums = F.conv_transpose2d(image.double().abs(), weight.double().abs(), None, 4, 2)
    assert bool(((out.double() - exact).abs() <= bound * exact.abs() + 2e-6 * sums).all())


@pytest.mark.parametrize(
    "change, message",
    [
        ({"weight": torch.zeros(4, 2, 3, 3)}, "with I = 3"),
        ({"bias": torch.zeros(5)}, "bias is"),
        ({"slope": torch.zeros(5)}, "slope is"),
        ({"residual": torch.zeros(1, 4, 2, 2)}, "residual is"),
        ({"stride": 0}, "stride must be positive"),
        ({"padding": 3}, "padding must be in"),
        ({"input": torch.zeros(1, 3, 2, 2)}, "too small"),
        ({"input": torch.zeros(3, 8, 8)}, r"\[B, I, H, W\]"),
        ({"weight": torch.zeros(4, 3, 3, 3).double()}, "type"),
    ],
)
def test_wrong_shapes_are_named(change, message):
    arguments = {"input": torch.zeros(1, 3, 8, 8), "weight": torch.zeros(4, 3, 3, 3)} | change
    with pytest.raises(ValueError, match=message):
        functional.projection_conv2d(**arguments)
