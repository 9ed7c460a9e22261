"""Projection units, 1x1 with PixelShuffle and the affine warp against PyTorch, both layouts.

Every rival is checked in float64 first. Inputs that PyTorch wants channels-last are given so.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from protocol import Row, compare

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

    def step() -> object:
        out = run(*tensors)
        return torch.autograd.grad(out, tensors, torch.ones_like(out))

    return step


def rows(rounds: int) -> list[Row]:
    """Forward and forward with backward, in both layouts, at one and two threads."""
    result = []
    for item, shape, own, rival, shapes in CASES + _warp_cases():
        exact = _tensors(shapes, torch.float64, "contiguous")
        torch.testing.assert_close(own(*exact), rival(*exact), rtol=1e-9, atol=1e-9)
        for layout in ("contiguous", "channels-last"):
            tensors = _tensors(shapes, torch.float32, layout)
            for threads in (1, 2):
                torch.set_num_threads(threads)
                with torch.no_grad():
                    measured = compare(partial(own, *tensors), partial(rival, *tensors), rounds)
                name = f"torch, {layout}"
                result.append(Row(f"{item}, forward", shape, threads, name, *measured))
                measured = compare(_step(own, tensors), _step(rival, tensors), max(rounds // 2, 7))
                result.append(Row(f"{item}, training", shape, threads, name, *measured))
    return result
