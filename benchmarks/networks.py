"""DeepLightSR against the same network written in PyTorch (the tests' oracle), whole.

The rival has the same parameters and torchvision's deformable convolution; eager counts in its
better memory layout, DEEPLIGHT_BENCH_COMPILE=1 adds `torch.compile`. Forward and training step of
the default network on one 32 x 32 low-resolution tile at x8, at one and two threads.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from module_rows import LAST, rows_of
from protocol import Row

import deeplight

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "python"))
import reference_deeplight_sr as reference

SIZE, SCALE = 32, 8
Guides = dict[str, torch.Tensor]


class Plain(torch.nn.Module):
    """The oracle as a module, so that layouts, gradients and the compiler treat it as one."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.options = net.options
        self.names = list(net.state_dict())
        self.values = torch.nn.ParameterList(t.detach().clone() for t in net.parameters())

    def forward(self, low: torch.Tensor, guides: Guides) -> torch.Tensor:
        """The image, from the oracle's function on these parameters."""
        state = dict(zip(self.names, self.values, strict=True))
        return reference.forward(state, self.options, low, guides)[0]


def _inputs(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, Guides]:
    generator = torch.Generator().manual_seed(0)
    fine = SIZE * SCALE
    shapes = ((1, 1, SIZE, SIZE), (1, 7, fine, fine), (1, 1, fine, fine))
    low, dmo, dem = (torch.randn(s, generator=generator, dtype=dtype) for s in shapes)
    return low, {"dmo": dmo, "dem": dem}


def rows(rounds: int) -> list[Row]:
    """Forward and training step at one and two threads."""
    torch.manual_seed(0)
    net = deeplight.create_model("deeplight_sr").eval()
    plain = Plain(net)
    assert plain.names == [name for name, _ in net.named_parameters()]
    low, guides = _inputs()
    with torch.no_grad():
        exact = plain.double()(low.double(), {n: g.double() for n, g in guides.items()})
        scale = float(exact.abs().max())
        for module in (net, plain.float()):
            output = module(low, guides)
            image = getattr(output, "image", output)
            assert float((image.double() - exact).abs().max()) < 1e-4 * scale
    last = (low, {n: g.to(memory_format=LAST) for n, g in guides.items()})
    shape, result = f"{SIZE}x{SIZE} x{SCALE}", []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        counts = (rounds, max(rounds // 2, 5))
        result += rows_of("DeepLightSR", shape, net, plain, (low, guides), last, counts)
    return result
