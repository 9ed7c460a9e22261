"""Deformable convolution against torchvision, its own reference, gradcheck and opcheck."""

from __future__ import annotations

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplight import functional


def case(seed=0, batch=2, channels=4, out=6, h=7, w=5, kernel=(3, 3), groups=1, offset_groups=1,
         stride=1, padding=1, dilation=1, masked=True, reach=3.0):  # fmt: skip
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    kh, kw = kernel
    oh = (h + 2 * padding - dilation * (kh - 1) - 1) // stride + 1
    ow = (w + 2 * padding - dilation * (kw - 1) - 1) // stride + 1
    arguments = {
        "input": rand(batch, channels, h, w),
        "offset": reach * rand(batch, 2 * offset_groups * kh * kw, oh, ow),
        "weight": rand(out, channels // groups, kh, kw),
        "bias": rand(out),
        "mask": rand(batch, offset_groups * kh * kw, oh, ow).sigmoid() if masked else None,
    }
    return arguments, {"stride": stride, "padding": padding, "dilation": dilation}


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    batch=st.integers(1, 3),
    groups=st.sampled_from([1, 2]),
    offset_groups=st.sampled_from([1, 2]),
    h=st.integers(1, 9),
    w=st.integers(1, 9),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 2),
    dilation=st.integers(1, 2),
    masked=st.booleans(),
)
def test_equals_torchvision_and_the_reference(
    seed, batch, groups, offset_groups, h, w, kernel, stride, dilation, masked
):
    arguments, sizes = case(
        seed, batch, h=h, w=w, kernel=kernel, groups=groups, offset_groups=offset_groups,
        stride=stride, padding=4, dilation=dilation, masked=masked,
    )  # fmt: skip
    ours = functional.deform_conv2d(**arguments, **sizes)
    theirs = torchvision.ops.deform_conv2d(**arguments, **sizes)
    plain = functional.deform_conv2d_reference(**arguments, **sizes)
    torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(ours, plain, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("function", ["deform_conv2d", "deform_conv2d_reference"])
@pytest.mark.parametrize("masked", [False, True])
def test_gradcheck(function, masked):
    arguments, sizes = case(groups=2, offset_groups=2, h=4, w=4, batch=1, masked=masked)
    tensors = [None if t is None else t.requires_grad_() for t in arguments.values()]

    def run(*values):
        image, offset, weight, bias, mask = values
        return getattr(functional, function)(image, offset, weight, bias, mask=mask, **sizes)

    assert torch.autograd.gradcheck(run, tensors, eps=1e-6, atol=1e-6)


def test_gradients_equal_torchvision():
    arguments, sizes = case(groups=2, offset_groups=2)
    grads = []
    for function in (functional.deform_conv2d, torchvision.ops.deform_conv2d):
        leaves = {name: t.detach().clone().requires_grad_() for name, t in arguments.items()}
        function(**leaves, **sizes).pow(2).sum().backward()
        grads.append({name: t.grad for name, t in leaves.items()})
    for name in arguments:
        torch.testing.assert_close(grads[0][name], grads[1][name], rtol=1e-10, atol=1e-10)


def test_the_reference_can_be_differentiated_twice():
    arguments, sizes = case(h=3, w=3, batch=1, channels=2, out=2)
    tensors = [t.requires_grad_() for t in arguments.values()]

    def run(image, offset, weight, bias, mask):
        return functional.deform_conv2d_reference(image, offset, weight, bias, mask=mask, **sizes)

    assert torch.autograd.gradgradcheck(run, tensors, atol=1e-5)


def test_zero_offset_is_a_convolution():
    arguments, sizes = case(masked=False)
    arguments["offset"].zero_()
    expected = torch.conv2d(arguments["input"], arguments["weight"], arguments["bias"], padding=1)
    torch.testing.assert_close(functional.deform_conv2d(**arguments, **sizes), expected)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e30, -1e30])
@pytest.mark.parametrize("function", ["deform_conv2d", "deform_conv2d_reference"])
def test_offsets_without_a_place_sample_zero(bad, function):
    arguments, sizes = case(masked=False)
    arguments["bias"].zero_()
    arguments["offset"][:, :, 2, 3] = bad
    leaves = {n: t if t is None else t.clone().requires_grad_() for n, t in arguments.items()}
    out = getattr(functional, function)(**leaves, **sizes)
    assert torch.isfinite(out).all() and (out[:, :, 2, 3] == 0).all()
    out.sum().backward()
    assert all(t is None or torch.isfinite(t.grad).all() for t in leaves.values())


def test_opcheck():
    arguments, sizes = case()
    operator = torch.ops.deeplight.deform_conv2d.default
    values = [arguments[n].requires_grad_() for n in ("input", "offset", "weight", "bias")]
    torch.library.opcheck(operator, (*values, [1, 1], [1, 1], [1, 1], arguments["mask"]))
    torch.library.opcheck(operator, (*values[:3], None, [1, 1], [1, 1], [1, 1], None))
    assert sizes["padding"] == 1


@pytest.mark.parametrize("layout", ["channels_last", "sliced"])
def test_layouts(layout):
    arguments, sizes = case()
    expected = functional.deform_conv2d(**arguments, **sizes)
    if layout == "channels_last":
        arguments["input"] = arguments["input"].to(memory_format=torch.channels_last)
    else:
        wide = torch.zeros(2, 4, 7, 10, dtype=torch.float64)
        wide[..., ::2] = arguments["input"]
        arguments["input"] = wide[..., ::2]
    torch.testing.assert_close(functional.deform_conv2d(**arguments, **sizes), expected)


def test_empty_batch():
    arguments, sizes = case()
    empty = {n: t[:0] if n in ("input", "offset", "mask") else t for n, t in arguments.items()}
    assert functional.deform_conv2d(**empty, **sizes).shape == (0, 6, 7, 5)


def test_threads_do_not_change_a_bit():
    arguments, sizes = case(batch=5)
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        leaves = {n: t.detach().clone().requires_grad_() for n, t in arguments.items()}
        functional.deform_conv2d(**leaves, **sizes).sum().backward()
        results.append([leaves[n].grad for n in ("input", "offset", "mask")])
    torch.set_num_threads(2)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_autocast_samples_in_float32():
    arguments, sizes = case()
    single = {n: t.float() for n, t in arguments.items()}
    expected = functional.deform_conv2d(**single, **sizes)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = functional.deform_conv2d(**single, **sizes)
    assert out.dtype == torch.float32 and torch.equal(out, expected)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("input", (2, 4, 7), r"input must be \[B, C, H, W\], got \[2, 4, 7\]"),
        ("offset", (2, 17, 7, 5), "offset has 17 channels, expected a multiple of 18"),
        ("offset", (2, 18, 7, 4), r"offset is \[2, 18, 7, 4\], expected \[2, 18, 7, 5\]"),
        ("weight", (6, 3, 3, 3), "does not divide the 4 channels"),
        ("mask", (2, 8, 7, 5), r"mask is \[2, 8, 7, 5\], expected \[2, 9, 7, 5\]"),
        ("bias", (5,), r"bias is \[5\], expected \[6\]"),
    ],
)
@pytest.mark.parametrize("function", ["deform_conv2d", "deform_conv2d_reference"])
def test_bad_shapes(name, shape, message, function):
    arguments, sizes = case()
    arguments[name] = torch.zeros(*shape, dtype=torch.float64)
    with pytest.raises(ValueError, match=message):
        getattr(functional, function)(**arguments, **sizes)
