"""Random cases of deformable convolution, and their check: tests and the long run share them."""

from __future__ import annotations

import random

import torch
import torchvision

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


def laid_out(tensor, layout):
    if layout == "channels_last":
        return tensor.to(memory_format=torch.channels_last)
    if layout == "sliced":
        return torch.stack([tensor, tensor], -1)[..., 0]
    return tensor


def check_case(shapes, layout):
    """Values and all gradients in float64 against torchvision and the plain reference."""
    arguments, sizes = case(padding=4, **shapes)
    functions = [functional.deform_conv2d, torchvision.ops.deform_conv2d]
    if shapes["batch"]:
        functions.append(functional.deform_conv2d_reference)
    results = []
    for function in functions:
        leaves = {
            name: None if t is None else t.detach().clone().requires_grad_()
            for name, t in arguments.items()
        }
        image = laid_out(leaves["input"], layout)
        out = function(**{**leaves, "input": image}, **sizes)
        out.mul(torch.linspace(-1, 1, out.numel()).to(out).view_as(out)).sum().backward()
        results.append([out] + [t.grad for t in leaves.values() if t is not None])
    for other in results[1:]:
        for ours, theirs in zip(results[0], other, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def check_single_case(shapes, layout):
    """Values and all gradients in float32 within 2e-6 of the sum of their terms' magnitudes.

    Offsets are multiples of 1/64: positions and their fractions are then exact in float32 too.
    """
    arguments, sizes = case(padding=4, **shapes)
    arguments["offset"] = (arguments["offset"] * 64).round() / 64
    singles = {n: t.float() if t is not None else None for n, t in arguments.items()}
    doubles = {n: t.double() if t is not None else None for n, t in singles.items()}
    magnitudes = {n: t if n == "offset" or t is None else t.abs() for n, t in doubles.items()}

    def run(values, above=None):
        leaves = {n: t if t is None else t.requires_grad_() for n, t in values.items()}
        image = laid_out(leaves["input"], layout)
        out = functional.deform_conv2d(**{**leaves, "input": image}, **sizes)
        wanted = [t for t in leaves.values() if t is not None]
        above = torch.linspace(-1, 1, out.numel()).to(out).view_as(out) if above is None else above
        found = iter(torch.autograd.grad(out, wanted, above))
        return (
            out.detach(),
            above,
            {n: None if t is None else next(found) for n, t in leaves.items()},
        )

    out, above, gradients = run(singles)
    exact, _, exact_gradients = run(doubles, above.double())
    total, _, totals = run(magnitudes, above.double().abs())
    totals["offset"] = offset_magnitudes(magnitudes, above.double().abs(), sizes)
    assert out.dtype == torch.float32
    assert bool(((out - exact).abs() <= 2e-6 * total).all()), "values"
    for name, gradient in gradients.items():
        if gradient is not None:
            error = (gradient - exact_gradients[name]).abs()
            assert bool((error <= 2e-6 * totals[name]).all()), name


def offset_magnitudes(magnitudes, above, sizes):
    """The sum of magnitudes behind each offset's gradient.

    A sample's slope along y is the difference of its values in the rows above and below, so its
    terms are those of two samples with y moved to these rows; each is a gradient of the mask.
    """
    offset = magnitudes["offset"]
    axes = torch.arange(offset.shape[1]) % 2
    points = offset.shape[1] // 2
    factor = (
        torch.ones_like(offset[:, :points]) if magnitudes["mask"] is None else magnitudes["mask"]
    )
    result = torch.zeros_like(offset)
    for axis in (0, 1):
        along = (axes == axis).view(1, -1, 1, 1)
        for step in (0, 1):
            mask = torch.ones_like(factor).requires_grad_()
            moved = torch.where(along, offset.floor() + step, offset).detach()
            out = functional.deform_conv2d(
                **{**magnitudes, "offset": moved, "mask": mask, "bias": None}, **sizes
            )
            (sums,) = torch.autograd.grad(out, mask, above)
            result[:, axis::2] += sums * factor
    return result.detach()


def deform_case(seed):
    """One random case of the long run: odd sizes, far offsets, empty batches, every layout."""
    pick = random.Random(seed)
    groups, offset_groups = pick.choice([1, 2, 3]), pick.choice([1, 2, 3])
    shapes = {
        "seed": seed,
        "batch": pick.randint(0, 3),
        "channels": 6 * pick.randint(1, 12),
        "out": groups * pick.randint(1, 40),
        "groups": groups,
        "offset_groups": offset_groups,
        "h": pick.choice([1, 2, 3, 5, 7, 13, 23, 37]),
        "w": pick.choice([1, 2, 3, 7, 11, 31, 53]),
        "kernel": (pick.randint(1, 4), pick.randint(1, 4)),
        "stride": pick.randint(1, 3),
        "dilation": pick.randint(1, 2),
        "masked": pick.random() < 0.5,
        "reach": pick.choice([0.5, 3.0, 100.0]),
    }
    layout = pick.choice(["contiguous", "channels_last", "sliced"])
    pick.choice([check_case, check_single_case])(shapes, layout)
