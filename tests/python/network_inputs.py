"""What the tests of several networks share: random inputs, and how many parameters there are."""

from __future__ import annotations

import torch


def count(module):
    return sum(p.numel() for p in module.parameters())


def inputs(net, h=9, w=6, batch=2, dtype=torch.float64):
    torch.manual_seed(1)
    low = torch.randn(batch, 1, h, w, dtype=dtype)
    r = net.scale
    return low, {
        name: torch.randn(batch, bands, r * h, r * w, dtype=dtype)
        for name, bands in net.guides.items()
    }
