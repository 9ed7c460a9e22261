"""DeepLightSR against the same network written in PyTorch eager (the tests' oracle)."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from protocol import Row, compare

import deeplight

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "python"))
import reference_deeplight_sr as reference


def rows(rounds: int) -> list[Row]:
    """Forward of the default network on one 32 x 32 low-resolution tile; two threads."""
    torch.set_num_threads(2)
    net = deeplight.create_model("deeplight_sr").eval()
    low = torch.randn(1, 1, 32, 32)
    guides = {"dmo": torch.randn(1, 7, 256, 256), "dem": torch.randn(1, 1, 256, 256)}
    state, options = net.state_dict(), net.options
    with torch.no_grad():
        expected = reference.forward(state, options, low, guides)[0]
        torch.testing.assert_close(net(low, guides).image, expected, rtol=1e-4, atol=1e-5)
        measured = compare(
            lambda: net(low, guides),
            lambda: reference.forward(state, options, low, guides),
            rounds,
        )
    return [Row("DeepLightSR forward", "32x32 x8", 2, "PyTorch eager", *measured)]
