"""Convolution with a kernel per sample on the CPU against PyTorch's grouped convolution.

2 -> 2 channels, 3 x 3, as in the selection of MoCoLSK-Net; checked against float64 first.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from protocol import Row, compare

from deeplight import functional

BATCH, CHANNELS, SIZE = 4, 2, 512


def _grouped(x: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    out = F.conv2d(x.flatten(0, 1)[None], k.flatten(0, 1), None, 1, 1, groups=len(x))
    return out.view(x.shape)


def rows(rounds: int) -> list[Row]:
    """Forward, and forward with both gradients, at one and two threads."""
    torch.manual_seed(0)
    x = torch.randn(BATCH, CHANNELS, SIZE, SIZE, requires_grad=True)
    k = torch.randn(BATCH, CHANNELS, CHANNELS, 3, 3, requires_grad=True)
    grad = torch.randn(x.shape)
    with torch.no_grad():
        exact = _grouped(x.double(), k.double())
    contenders = (lambda: functional.dynamic_conv2d(x, k, 1), lambda: _grouped(x, k))
    for run in contenders:
        assert float((run().detach().double() - exact).abs().max()) < 1e-5 * float(
            exact.abs().max()
        )
    steps = [lambda run=run: torch.autograd.grad(run(), (x, k), grad) for run in contenders]
    shape, result = f"B{BATCH} 2->2 {SIZE}x{SIZE}", []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        with torch.no_grad():
            measured = compare(*contenders, rounds)
        row = Row("dynamic_conv2d forward", shape, threads, "PyTorch eager", *measured)
        macs = 9.0 * CHANNELS * x.numel()
        result.append(row.against_roofline(macs, 2.0 * x.nbytes))
        measured = compare(*steps, rounds)
        row = Row("dynamic_conv2d step", shape, threads, "PyTorch eager", *measured)
        result.append(row.against_roofline(3 * macs, 5.0 * x.nbytes))
    return result
