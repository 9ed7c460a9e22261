"""The declared margin against the true receptive field, for every registered network.

One pixel of an input is changed; output pixels further than the margin from it must not change at
all. Image-wide statistics are those of the unchanged image, as they are when tiles are computed.
"""

import pytest
import torch

import deeplight
from deeplight.models import model_info

#: Narrow networks: the reach does not depend on the width.
NARROW = {
    "deeplight_sr": [
        {"scale": 2, "width": 4, "guides": {"dem": 2}},
        {"scale": 2, "width": 4},
    ],
    "mocolsk_net": [{"scale": 2, "width": 8, "groups": 1, "guides": {"dem": 2}}],
}


def narrow(name):
    """Option sets of an architecture that its own defaults accept."""
    known = model_info(name).default_options
    cases = NARROW.get(name, [{}])
    return [{key: value for key, value in case.items() if key in known} for case in cases]


CASES = [(name, options) for name in deeplight.list_models() for options in narrow(name)]


def reach(changed, row, column, scale):
    """Largest distance, in low-resolution pixels, of a changed output pixel; -1 for none."""
    rows, columns = torch.nonzero(changed, as_tuple=True)
    if len(rows) == 0:
        return -1
    down = (rows.div(scale, rounding_mode="floor") - row).abs().max()
    right = (columns.div(scale, rounding_mode="floor") - column).abs().max()
    return int(max(down, right))


@pytest.mark.parametrize(("name", "options"), CASES)
def test_nothing_reaches_further_than_the_margin(name, options):
    torch.manual_seed(0)
    # In float64: kernels of float32 may let rounding, and nothing else, reach further.
    net = deeplight.create_model(name, **options).eval().double()
    with torch.no_grad():
        for key, parameter in net.named_parameters():  # fresh weights of zero hide what they reach
            if parameter.dim() > 1:
                small = 0.05 if "transformer" in key or "offset" in key else 0.8
                parameter.normal_(0, small / parameter[0].numel() ** 0.5)
    scale, margin = net.scale, net.margin
    row = column = 8  # near a corner, so that a small image shows a large distance
    side = (margin + 32) // 4 * 4
    low = torch.rand(1, 1, side, side, dtype=torch.float64)
    guides = {
        key: torch.rand(1, bands, side * scale, side * scale, dtype=torch.float64)
        for key, bands in net.guides.items()
    }
    with torch.no_grad():
        statistics = net.image_statistics(low)
        if net.needs_representative_pass:
            statistics = net.representative_statistics(low, guides, statistics)
        before = net(low, guides, statistics).image[0, 0]
        bright = low.clone()
        bright[0, 0, row, column] += 3
        found = {"low_resolution": net(bright, guides, statistics).image[0, 0] != before}
        for key, guide in guides.items():
            other = guide.clone()
            other[0, :, row * scale, column * scale] += 3
            found[key] = net(low, {**guides, key: other}, statistics).image[0, 0] != before
    for key, changed in found.items():
        furthest = reach(changed, row, column, scale)
        assert furthest >= 0, f"{key} changes nothing at all"
        assert furthest <= margin, f"{key} reaches {furthest} pixels, the margin is {margin}"
