"""What the tests of MoCoLSK-Net share: a narrow network and inputs for it."""

from __future__ import annotations

import torch

import deeplight

GUIDES = {"reflectance": 3, "dem": 1}
SMALL = {
    "width": 8, "guides": GUIDES, "scale": 2, "stages": 2, "blocks": 1, "reconstruction_blocks": 1,
    "reduction": 4,
}  # fmt: skip


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


def disturbed(**options):
    """A small float64 network whose every tensor counts."""
    torch.manual_seed(2)
    net = deeplight.create_model("mocolsk_net", **{**SMALL, **options}).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return net
