"""Random cases of projection convolutions, 1x1 with PixelShuffle, and warps, with their checks.

Shared by the tests and by the long run of scripts/soak_operators.py; see large_kernel_cases.py.
"""

from __future__ import annotations

import random

import torch
import torch.nn.functional as F

from deeplight import functional
from large_kernel_cases import LAYOUTS, check_bilinear, laid_out


def projection_case(seed: int) -> None:
    """One random strided or transposed projection with bias, PReLU and residual."""
    r = random.Random(seed)
    torch.manual_seed(seed)
    dtype, transposed = r.choice([torch.float32, torch.float64]), r.choice([False, True])
    inputs, outputs = r.choice([1, 2, 3, 5, 8, 17, 33]), r.choice([1, 2, 5, 16, 17, 37, 64])
    kernel = (r.choice([1, 2, 3, 5, 6, 8, 12, 13]), r.choice([1, 2, 3, 4, 6, 7, 8, 12]))
    stride = (r.choice([1, 2, 3, 4, 8]), r.choice([1, 2, 3, 4, 8, 16]))
    padding = tuple(r.randint(0, (k - 1) // 2) for k in kernel)
    least = [1 if transposed else max(1, k - 2 * p) for k, p in zip(kernel, padding, strict=True)]
    size = [n + r.choice([0, 1, 2, 7, 12, 29]) for n in least]
    pairs = zip(size, stride, padding, kernel, strict=True)
    if transposed and min((n - 1) * s - 2 * p + k for n, s, p, k in pairs) < 1:
        return
    image = laid_out((r.choice([0, 1, 1, 2]), inputs, *size), dtype, r.choice(LAYOUTS))
    shape = (inputs, outputs) if transposed else (outputs, inputs)
    weight = torch.randn(*shape, *kernel, dtype=dtype)
    own = functional.projection_conv_transpose2d if transposed else functional.projection_conv2d
    plain = F.conv_transpose2d if transposed else F.conv2d
    if len(image):
        check_bilinear(
            lambda x, w: own(x, w, None, stride, padding),
            lambda x, w: plain(x, w, None, stride, padding),
            image,
            weight,
        )
    bias, slope = torch.randn(2, outputs, dtype=dtype)
    sums = plain(image.double(), weight.double(), bias.double(), stride, padding)
    residual = laid_out(tuple(sums.shape), dtype, r.choice(LAYOUTS))
    out = own(image, weight, bias, stride, padding, slope=slope, residual=residual, alpha=-0.5)
    exact = F.prelu(sums, slope.double()) - 0.5 * residual.double()
    most = plain(image.double().abs(), weight.double().abs(), bias.double().abs(), stride, padding)
    most = most * slope.double().abs().clamp(min=1).view(-1, 1, 1) + residual.double().abs()
    bound = 2e-6 if dtype == torch.float32 else 1e-13
    assert out.shape == exact.shape and out.dtype == dtype
    assert bool(((out.double() - exact).abs() <= bound * most).all())


def pixel_shuffle_case(seed: int) -> None:
    """One random 1x1 convolution with PixelShuffle and ReLU; gradients without the ReLU."""
    r = random.Random(seed)
    torch.manual_seed(seed)
    dtype, factor = r.choice([torch.float32, torch.float64]), r.choice([1, 2, 3, 4, 8])
    inputs, outputs = r.choice([1, 2, 5, 16, 33, 64]), r.choice([1, 2, 3, 16, 19])
    size = (r.choice([1, 2, 7, 13, 32]), r.choice([1, 3, 16, 17, 45]))
    image = laid_out((r.choice([1, 1, 2]), inputs, *size), dtype, r.choice(LAYOUTS))
    weight = torch.randn(outputs * factor * factor, inputs, 1, 1, dtype=dtype)

    def plain(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None = None) -> torch.Tensor:
        return F.pixel_shuffle(F.conv2d(x, w, b), factor)

    check_bilinear(
        lambda x, w: functional.pixel_shuffle_conv1x1(x, w, None, factor), plain, image, weight
    )
    bias = torch.randn(len(weight), dtype=dtype)
    zeros = torch.zeros(outputs, dtype=dtype)
    out = functional.pixel_shuffle_conv1x1(image, weight, bias, factor, slope=zeros)
    exact = plain(image.double(), weight.double(), bias.double()).relu()
    most = plain(image.double().abs(), weight.double().abs(), bias.double().abs())
    bound = 2e-6 if dtype == torch.float32 else 1e-13
    assert bool(((out.double() - exact).abs() <= bound * most).all())


def warp_case(seed: int) -> None:
    """One random affine warp, in float64 or float32."""
    random.Random(seed).choice([double_warp_case, single_warp_case])(seed)


def single_warp_case(seed: int) -> None:
    """One affine warp in float32 and its gradient by the image, against float64.

    Sides and matrices are such that positions are exact in float32 too: what is left is the sum.
    """
    r = random.Random(seed)
    torch.manual_seed(seed)
    mode, align = r.choice(["zeros", "border", "reflection"]), r.choice([False, True])
    sides = [1 << n for n in (1, 2, 3, 5, 7)]
    h, w, *size = (r.choice(sides) + align for _ in range(4))
    if r.choice([False, True]):
        size = [h, w]
    batch, channels = r.choice([1, 1, 2, 3]), r.choice([1, 2, 3, 8, 17])
    image = laid_out((batch, channels, h, w), torch.float32, r.choice(LAYOUTS))
    most = r.choice([3, 60])
    steps = torch.randint(-most, most + 1, (r.choice([1, batch]), 2, 3))
    theta = torch.eye(2, 3) + steps / 64

    def exact(x: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
        grid = F.affine_grid(m.expand(batch, -1, -1), [batch, channels, *size], align_corners=align)
        return F.grid_sample(x, grid, padding_mode=mode, align_corners=align)

    leaf, double = image.requires_grad_(), image.detach().double().requires_grad_()
    magnitude = double.detach().abs().requires_grad_()
    out, expected, total = (
        functional.affine_warp(leaf, theta, size, mode, align),
        exact(double, theta.double()),
        exact(magnitude, theta.double()),
    )
    assert out.shape == expected.shape and out.dtype == torch.float32
    assert bool(((out - expected).abs() <= 2e-6 * total + 1e-12).all()), "values"
    above = torch.randn_like(out)
    (gradient,) = torch.autograd.grad(out, leaf, above)
    (wanted,) = torch.autograd.grad(expected, double, above.double())
    (sums,) = torch.autograd.grad(total, magnitude, above.double().abs())
    # A pixel that a position just touches has a weight of some 1e-15 by the oracle's own rounding.
    assert bool(((gradient - wanted).abs() <= 2e-6 * sums + 1e-12).all()), "gradient"


def double_warp_case(seed: int) -> None:
    """One random affine warp against torch's grid in float64, with both gradients."""
    r = random.Random(seed)
    torch.manual_seed(seed)
    mode, align = r.choice(["zeros", "border", "reflection"]), r.choice([False, True])
    batch, channels = r.choice([1, 1, 2, 3]), r.choice([1, 2, 3, 8, 17])
    h, w = r.choice([2, 3, 7, 13, 40]), r.choice([2, 5, 16, 17, 67, 130])
    near = r.choice([False, True])
    size = (h, w) if near else (r.choice([2, 3, 9, 33]), r.choice([2, 4, 16, 31, 80]))
    image = laid_out((batch, channels, h, w), torch.float64, r.choice(LAYOUTS))
    theta = torch.eye(2, 3, dtype=torch.float64) + (0.02 if near else 0.7) * torch.randn(
        r.choice([1, batch]), 2, 3, dtype=torch.float64
    )
    leaves = image.detach().requires_grad_(), theta.requires_grad_()
    out = functional.affine_warp(*leaves, size, mode, align)
    grid = F.affine_grid(
        leaves[1].expand(batch, -1, -1), [batch, channels, *size], align_corners=align
    )
    exact = F.grid_sample(leaves[0], grid, padding_mode=mode, align_corners=align)
    torch.testing.assert_close(out, exact, rtol=1e-9, atol=1e-9)
    above = torch.randn_like(exact)
    mine = torch.autograd.grad(out, leaves, above)
    theirs = torch.autograd.grad(exact, leaves, above)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-7 * channels * max(h, w))
