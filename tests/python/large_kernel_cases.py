"""Random cases of depthwise, dynamic and large selective kernels, and how their results are judged.

Shared by the tests and by the long run of scripts/soak_operators.py: `random_case(seed)` of each
operator compares forward and gradients with float64 and raises AssertionError.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F

from deeplight import functional

# Share of the sum of |a||b| by which a float32 sum may be wrong; float64 in its own digits.
BOUNDS = {torch.float32: 2e-6, torch.float64: 1e-13}


def simd_levels() -> list[str]:
    """The levels that this machine has."""
    kept, found = torch.ops.deeplight.simd_level(), []
    for name in ("scalar", "baseline", "avx2", "avx512"):
        try:
            torch.ops.deeplight.set_simd_level(name)
        except (RuntimeError, ValueError):
            continue
        found.append(name)
    torch.ops.deeplight.set_simd_level(kept)
    return found


@contextmanager
def simd_level(name: str) -> Iterator[None]:
    kept = torch.ops.deeplight.simd_level()
    torch.ops.deeplight.set_simd_level(name)
    try:
        yield
    finally:
        torch.ops.deeplight.set_simd_level(kept)


def laid_out(shape: tuple[int, ...], dtype: torch.dtype, layout: str) -> torch.Tensor:
    """Random numbers of a shape [B, C, H, W] in one of the layouts that a caller may bring."""
    b, c, h, w = shape
    if layout == "channels_last":
        return torch.randn(shape, dtype=dtype).to(memory_format=torch.channels_last)
    if layout == "every_second":
        return torch.randn(b, c, h, 2 * w, dtype=dtype)[..., ::2]
    if layout == "window":
        return torch.randn(b, c, h + 3, w + 2, dtype=dtype)[:, :, 1 : h + 1, :w]
    if layout == "expanded":
        return torch.randn(1, c, h, w, dtype=dtype).expand(b, -1, -1, -1)
    return torch.randn(shape, dtype=dtype)


LAYOUTS = ("contiguous", "channels_last", "every_second", "window", "expanded")


def check_bilinear(
    run: Callable[..., torch.Tensor], exact: Callable[..., torch.Tensor],
    image: torch.Tensor, weight: torch.Tensor,
) -> None:  # fmt: skip
    """Forward and both gradients of `run`, linear in image and in weight, against float64."""
    bound = BOUNDS[image.dtype]
    leaves = [image.detach().requires_grad_(), weight.detach().requires_grad_()]
    doubles = [t.detach().double().requires_grad_() for t in leaves]
    sizes = [t.detach().double().abs().requires_grad_() for t in leaves]
    out, expected, size = run(*leaves), exact(*doubles), exact(*sizes)
    assert out.shape == expected.shape and out.dtype == image.dtype
    assert ((out - expected).abs() <= bound * size).all()
    gradient = torch.randn_like(out)
    out.backward(gradient)
    expected.backward(gradient.double())
    size.backward(gradient.double().abs())
    for leaf, double, total in zip(leaves, doubles, sizes, strict=True):
        assert leaf.grad.shape == leaf.shape
        assert ((leaf.grad - double.grad).abs() <= bound * total.grad).all()


def depthwise_case(seed: int) -> None:
    """One random depthwise convolution."""
    r = random.Random(seed)
    torch.manual_seed(seed)
    dtype = r.choice([torch.float32, torch.float64])
    channels = r.choice([1, 2, 3, 5, 7, 8, 13, 16, 17, 31])
    kernel = (r.choice([1, 2, 3, 5, 7, 9]), r.choice([1, 2, 3, 4, 5, 7, 23]))
    dilation = (r.choice([1, 1, 2, 3]), r.choice([1, 1, 2, 3]))
    padding = tuple(r.randint(0, k * d) for k, d in zip(kernel, dilation, strict=True))
    least = [1 + (k - 1) * d - 2 * p for k, d, p in zip(kernel, dilation, padding, strict=True)]
    height = max(1, least[0]) + r.choice([0, 1, 4, 12, 36, 68])
    width = max(1, least[1]) + r.choice([0, 1, 15, 16, 17, 64, 67])
    image = laid_out((r.choice([1, 1, 2, 3]), channels, height, width), dtype, r.choice(LAYOUTS))
    weight = torch.randn(channels, 1, *kernel, dtype=dtype)
    check_bilinear(
        lambda x, w: functional.depthwise_conv2d(x, w, None, padding, dilation),
        lambda x, w: F.conv2d(x, w, None, 1, padding, dilation, channels),
        image,
        weight,
    )


def dynamic_case(seed: int) -> None:
    """One random convolution with a kernel per sample."""
    r = random.Random(seed)
    torch.manual_seed(seed)
    dtype = r.choice([torch.float32, torch.float64])
    batch = r.choice([1, 2, 3])
    channels, outs = r.choice([(1, 1), (2, 2), (3, 5), (7, 2), (1, 9), (8, 8), (9, 11)])
    kernel = (r.choice([1, 2, 3, 5, 7]), r.choice([1, 2, 3, 5, 7]))
    padding = tuple(r.randint(0, k) for k in kernel)
    height = max(1, kernel[0] - 2 * padding[0]) + r.choice([0, 1, 4, 15, 17, 40])
    width = max(1, kernel[1] - 2 * padding[1]) + r.choice([0, 1, 15, 16, 17, 64, 67])
    image = laid_out((batch, channels, height, width), dtype, r.choice(LAYOUTS))

    def exact(x: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        # Strides of planes even of sides of 1: with others PyTorch refuses a gradient of its own.
        planes = x.flatten(0, 1)[None].clone(memory_format=torch.contiguous_format)
        out = F.conv2d(planes, k.flatten(0, 1), None, 1, padding, groups=batch)
        return out.view(batch, outs, *out.shape[2:])

    kernels = torch.randn(batch, outs, channels, *kernel, dtype=dtype)
    check_bilinear(
        lambda x, k: functional.dynamic_conv2d(x, k, padding), exact, image, kernels
    )  # fmt: skip


def selective_arguments(
    channels: int = 4, branch: int = 2, outs: int = 4, size: tuple[int, int] = (6, 7),
    batch: int = 2, kernels: tuple[int, int, int] = (3, 3, 3), dynamic: bool = False,
    dtype: torch.dtype = torch.float64, layout: str = "contiguous",
) -> dict[str, torch.Tensor]:  # fmt: skip
    """Random tensors for large_selective_kernel, weights as a trained network would have them."""

    def rand(*shape: int) -> torch.Tensor:
        inputs = max(1, torch.Size(shape[1:]).numel())
        return torch.randn(*shape, dtype=dtype) / inputs**0.5

    first, second, selection = kernels
    return {
        "input": laid_out((batch, channels, *size), dtype, layout),
        "multiplier": laid_out((batch, outs, *size), dtype, layout),
        "first": rand(channels, 1, first, first),
        "second": rand(channels, 1, second, second),
        "first_squeeze": rand(branch, channels, 1, 1),
        "second_squeeze": rand(branch, channels, 1, 1),
        "selection": rand(*((batch,) if dynamic else ()), 2, 2, selection, selection),
        "expand": rand(outs, branch, 1, 1),
        "first_bias": torch.randn(channels, dtype=dtype),
        "second_bias": torch.randn(channels, dtype=dtype),
        "first_squeeze_bias": torch.randn(branch, dtype=dtype),
        "second_squeeze_bias": torch.randn(branch, dtype=dtype),
        "selection_bias": torch.randn(2, dtype=dtype),
        "expand_bias": torch.randn(outs, dtype=dtype),
    }


def check_selective(
    arguments: dict[str, torch.Tensor], gradients: bool = True, **dilations: int
) -> None:
    """Result and all gradients against the reference in float64."""
    leaves = {n: t.detach().requires_grad_() for n, t in arguments.items()}
    doubles = {n: t.detach().double().requires_grad_() for n, t in arguments.items()}
    out = functional.large_selective_kernel(**leaves, **dilations)
    expected = functional.large_selective_kernel_reference(**doubles, **dilations)
    # Sums of a chain: relative to the largest number, since no one sum stands alone.
    bound = 2e-5 if out.dtype == torch.float32 else 1e-12
    assert out.shape == expected.shape and out.dtype == leaves["input"].dtype
    assert (out - expected).abs().max() <= bound * expected.abs().max()
    if not gradients:
        return
    gradient = torch.randn_like(out)
    out.backward(gradient)
    expected.backward(gradient.double())
    for name, leaf in leaves.items():
        most = doubles[name].grad.abs().max()
        # A bias adds up the signals that its weights weigh: a single one may cancel by chance.
        most = max(most, doubles[name.removesuffix("_bias")].grad.abs().max())
        assert (leaf.grad - doubles[name].grad).abs().max() <= bound * most + 1e-30, name


def selective_case(seed: int) -> None:
    """One random large selective kernel; in float32 without gradients.

    A maximum over channels that rounding alone decides has another channel's gradient.
    """
    r = random.Random(seed)
    torch.manual_seed(seed)
    dtype = r.choice([torch.float32, torch.float64])
    arguments = selective_arguments(
        channels=r.choice([1, 2, 5, 8, 9, 17]),
        branch=r.choice([1, 2, 3, 5]),
        outs=r.choice([1, 4, 7]),
        size=(r.choice([1, 2, 5, 13, 33, 37]), r.choice([1, 3, 16, 17, 31, 129, 131])),
        batch=r.choice([1, 1, 2]),
        kernels=(r.choice([1, 3, 5]), r.choice([1, 3, 7]), r.choice([1, 3, 5, 7])),
        dynamic=r.choice([False, True]),
        layout=r.choice(LAYOUTS),
        dtype=dtype,
    )
    check_selective(
        arguments,
        gradients=dtype == torch.float64,
        first_dilation=r.choice([1, 2]),
        second_dilation=r.choice([1, 2, 3]),
    )
