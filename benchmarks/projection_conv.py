"""Projection units, 1x1 with PixelShuffle and the affine warp against PyTorch's best layout.

Every contender is checked in float64 first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from protocol import Row, compare, fastest

from deeplight import functional

Tensors = tuple[torch.Tensor, ...]
Run = Callable[..., torch.Tensor]

# item, own, rival, shapes of the tensors
CASES: list[tuple[str, str, Run, Run, tuple[tuple[int, ...], ...]]] = [
    (
        "transposed k12 s8", "C32 64x64",
        lambda x, w, b: functional.projection_conv_transpose2d(x, w, b, 8, 2),
        lambda x, w, b: F.conv_transpose2d(x, w, b, 8, 2),
        ((1, 32, 64, 64), (32, 32, 12, 12), (32,)),
    ),
    (
        "strided k12 s8", "C32 512x512",
        lambda x, w, b: functional.projection_conv2d(x, w, b, 8, 2),
        lambda x, w, b: F.conv2d(x, w, b, 8, 2),
        ((1, 32, 512, 512), (32, 32, 12, 12), (32,)),
    ),
    (
        "transposed k6 s2 + PReLU", "C32 256x256",
        lambda x, w, b, s: functional.projection_conv_transpose2d(x, w, b, 2, 2, slope=s),
        lambda x, w, b, s: F.prelu(F.conv_transpose2d(x, w, b, 2, 2), s),
        ((1, 32, 256, 256), (32, 32, 6, 6), (32,), (32,)),
    ),
    (
        "1x1 + PixelShuffle 2 + ReLU", "C64 128x128",
        lambda x, w, b: functional.pixel_shuffle_conv1x1(x, w, b, 2, slope=torch.zeros(64).to(x)),
        lambda x, w, b: F.relu(F.pixel_shuffle(F.conv2d(x, w, b), 2)),
        ((1, 64, 128, 128), (256, 64, 1, 1), (256,)),
    ),
]  # fmt: skip


def _warp_cases() -> list[tuple[str, str, Run, Run, tuple[tuple[int, ...], ...]]]:
    near = torch.tensor([[[1.01, 0.02, 0.03], [-0.02, 0.99, -0.01]]])

    def own(x: torch.Tensor) -> torch.Tensor:
        return functional.affine_warp(x, near.to(x))

    def rival(x: torch.Tensor) -> torch.Tensor:
        grid = F.affine_grid(near.to(x), list(x.shape), align_corners=False)
        return F.grid_sample(x, grid, align_corners=False)

    return [
        ("affine warp", f"C{channels} {size}x{size}", own, rival, ((1, channels, size, size),))
        for channels, size in ((1, 512), (32, 256))
    ]


def _tensors(shapes: tuple[tuple[int, ...], ...], dtype: torch.dtype, layout: str) -> Tensors:
    generator = torch.Generator().manual_seed(0)
    made = [torch.randn(*shape, generator=generator).to(dtype) for shape in shapes]
    if layout == "channels-last":
        made = [t.to(memory_format=torch.channels_last) if t.dim() == 4 else t for t in made]
    return tuple(made)


def _step(run: Run, tensors: Tensors) -> Callable[[], object]:
    tensors = tuple(t.detach().clone().requires_grad_() for t in tensors)
    # As what follows in a network would hand it over; making it is no operator's work.
    above = torch.randn_like(run(*tensors))

    def step() -> object:
        return torch.autograd.grad(run(*tensors), tensors, above)

    return step


def _work(tensors: Tensors, out: torch.Tensor) -> tuple[float, float]:
    """Multiply-adds and bytes of a forward pass; the warp: four neighbours a result."""
    size = sum(t.nbytes for t in tensors) + out.nbytes
    if len(tensors) == 1:
        return 4.0 * out.numel(), size
    image, weight = tensors[0], tensors[1]
    if weight.shape[2:] == (1, 1):
        return float(out.numel()) * weight.shape[1], size
    # Each number of the smaller image meets every tap and channel of the larger one.
    smaller = min(image, out, key=lambda t: t.shape[2])
    return float(smaller.numel()) * weight[0].numel(), size


def _rows(
    item: str, shape: str, own: Run, rival: Run, tensors: dict[str, Tensors], threads: int,
    rounds: int,
) -> list[Row]:  # fmt: skip
    result = []
    macs, size = _work(tensors["planes"], own(*tensors["planes"]))
    for kind, prepare, factor, count in (
        ("forward", lambda run, t: partial(run, *t), 1, rounds),
        ("training", _step, 3, max(rounds // 2, 7)),
    ):
        with torch.set_grad_enabled(kind == "training"):
            rivals = {f"PyTorch, {n}": prepare(rival, t) for n, t in tensors.items()}
            best = fastest(rivals)
            for layout, arguments in tensors.items():
                measured = compare(prepare(own, arguments), rivals[best], count)
                row = Row(f"{item} {kind}, {layout}", shape, threads, best, *measured)
                row.against_roofline(factor * macs, factor * size)
                if row.peak and row.at_most is not None:
                    row.note = f"rival at {row.peak / row.ratio:.0%}"
                result.append(row)
    return result


def rows(rounds: int) -> list[Row]:
    """Forward and forward with backward, own in both layouts, at one and two threads."""
    result = []
    for item, shape, own, rival, shapes in CASES + _warp_cases():
        exact = _tensors(shapes, torch.float64, "planes")
        torch.testing.assert_close(own(*exact), rival(*exact), rtol=1e-9, atol=1e-9)
        tensors = {n: _tensors(shapes, torch.float32, n) for n in ("planes", "channels-last")}
        for threads in (1, 2):
            torch.set_num_threads(threads)
            result += _rows(item, shape, own, rival, tensors, threads, rounds)
    return result
