"""MoCoLSK-Net in tiles: margins, recorded statistics, parts of an image."""

from __future__ import annotations

import pytest
import torch

import deeplight
from mocolsk_cases import disturbed
from network_inputs import inputs

MARGINS = {
    "x2": {},
    "x4": {"scale": 4, "stages": 1},
    "x8": {"scale": 8, "stages": 1},
    "CS": {"selection": ["channel"]},
    "Ex": {"wiring": "exchanged"},
    "w/o DConv": {"dynamic": False, "stages": 1},
    "w/o LKD": {"kernels": [23], "dilations": [1], "stages": 1},
    "SK-M": {"fusion": "sk"},
    "LSK-M": {"fusion": "lsk", "stages": 1},
    "baseline": {"fusion": "concatenation"},
    "consistent": {"consistency": "additive", "stages": 1},
}


class TestTiles:
    @pytest.mark.parametrize("name", MARGINS)
    def test_margin_is_the_receptive_field_of_given_statistics(self, name):
        """Perturbs one low-resolution cell and looks how far the change reaches."""
        net = disturbed(**{"width": 4, **MARGINS[name]}).eval()
        r, size = net.scale, 2 * net.margin + 3
        low, guides = inputs(net, size, size, batch=1)
        statistics = net.representative_statistics(low, guides)
        before = net(low, guides, statistics).image.detach()
        middle = size // 2
        cell = slice(r * middle, r * middle + r)
        low[0, 0, middle, middle] += 10
        for guide in guides.values():
            guide[0, :, cell, cell] += 10
        changed = (net(low, guides, statistics).image.detach() - before).abs()[0, 0] > 0
        rows, columns = torch.where(changed)
        reach = max(
            middle - int(rows.min()) // r,
            int(rows.max()) // r - middle,
            middle - int(columns.min()) // r,
            int(columns.max()) // r - middle,
        )
        assert reach <= net.margin
        # The rectified slopes never vanish, so that nothing but rounding hides a path.
        assert net.margin <= reach + 1, "a margin too wide wastes every tile's halo"

    def test_margins_of_the_published_networks(self):
        margins = [deeplight.create_model("mocolsk_net", scale=s).margin for s in (2, 4, 8)]
        assert margins == [115, 81, 68]

    def test_recorded_statistics_of_the_whole_image_change_nothing(self):
        net = disturbed().eval()
        low, guides = inputs(net, batch=1)
        assert net.needs_representative_pass
        with torch.no_grad():
            statistics = net.representative_statistics(low, guides)
            again, alone = net(low, guides, statistics).image, net(low, guides).image
        assert all(value.shape[0] == 1 for value in statistics.pooled.values())
        torch.testing.assert_close(again, alone, rtol=0, atol=0)

    def test_a_tile_without_statistics_differs(self):
        net = disturbed().eval()
        low, guides = inputs(net, 80, 80, batch=1)
        whole = net(low, guides).image[:, :, 60:64, 60:64]
        tile = net(low[:, :, :70, :70], {n: g[:, :, :140, :140] for n, g in guides.items()}).image
        assert (tile[:, :, 60:64, 60:64] - whole).abs().max() > 1e-6

    @pytest.mark.parametrize("options", [{}, {"selection": ["channel", "spatial"]}])
    def test_tiles_equal_the_whole_image(self, options):
        net = disturbed(width=4, **options).eval()
        h, w, tile, halo = 111, 105, 37, net.margin
        assert halo < 45, "the test needs tiles that do not see the whole image"
        low, guides = inputs(net, h, w, batch=1)
        statistics = net.representative_statistics(
            low[:, :, 20:60, 30:70], {n: g[:, :, 40:120, 60:140] for n, g in guides.items()}
        )
        whole = net(low, guides, statistics).image.detach()
        for row in range(0, h, tile):
            for column in range(0, w, tile):
                top, left = max(row - halo, 0), max(column - halo, 0)
                bottom, right = min(row + tile + halo, h), min(column + tile + halo, w)
                rows, columns = min(tile, h - row), min(tile, w - column)
                part = net.native.forward_part(
                    low[:, :, top:bottom, left:right],
                    {n: g[:, :, 2 * top : 2 * bottom, 2 * left : 2 * right]
                     for n, g in guides.items()},
                    (row - top, column - left, rows, columns),
                    statistics.for_tile(top, left),
                ).detach()  # fmt: skip
                expected = whole[
                    :, :, 2 * row : 2 * (row + rows), 2 * column : 2 * (column + columns)
                ]
                torch.testing.assert_close(part, expected, rtol=1e-9, atol=1e-9)

    def test_a_part_without_statistics_equals_the_crop_of_the_whole(self):
        net = disturbed()
        low, guides = inputs(net, h=21, w=18, batch=1)
        whole = net(low, guides).image
        part = net.native.forward_part(low, guides, (7, 5, 6, 8))
        torch.testing.assert_close(part, whole[:, :, 14:26, 10:26], rtol=0, atol=0)
        with pytest.raises(ValueError, match="lies outside"):
            net.native.forward_part(low, guides, (0, 0, 22, 1))

    def test_statistics_of_another_network_are_refused(self):
        net, other = disturbed(stages=2).eval(), disturbed(stages=1).eval()
        low, guides = inputs(net, batch=1)
        statistics = other.representative_statistics(low, guides)
        with pytest.raises(ValueError, match="recorded by another network"):
            net(low, guides, statistics)
        with pytest.raises(ValueError, match="one image"):
            net.representative_statistics(*inputs(net, batch=2))
