"""What the tests of MoCoLSK-Net share: a narrow network."""

from __future__ import annotations

import torch

import deeplight

GUIDES = {"reflectance": 3, "dem": 1}
SMALL = {
    "width": 8, "guides": GUIDES, "scale": 2, "stages": 2, "blocks": 1, "reconstruction_blocks": 1,
    "reduction": 4,
}  # fmt: skip


def disturbed(**options):
    """A small float64 network whose every tensor counts."""
    torch.manual_seed(2)
    net = deeplight.create_model("mocolsk_net", **{**SMALL, **options}).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return net
