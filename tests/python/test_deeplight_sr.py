"""DeepLightSR: published counts, an independent float64 oracle, ablations, tiles, bad input."""

from __future__ import annotations

import pytest
import torch

import deeplight
import reference_deeplight_sr as reference
from network_inputs import count, inputs

GUIDES = {"dmo": 3, "dem": 1}
SMALL = {"width": 8, "guides": GUIDES}


def disturbed(**options):
    """A float64 network without any zero-initialised tensor, so that every branch counts."""
    torch.manual_seed(2)
    net = deeplight.create_model("deeplight_sr", **{**SMALL, **options}).double()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            scale = 0.02 if "transformer" in name else 0.1
            parameter.add_(scale * torch.randn_like(parameter))
    return net


class TestParameterCounts:
    def test_default_is_the_published_one(self):
        assert count(deeplight.create_model("deeplight_sr")) == 3_450_223

    def test_parts_add_up(self):
        net = deeplight.create_model("deeplight_sr")
        parts = {name: count(child) for name, child in net.named_children()}
        assert parts["downsample_dmo"] + parts["downsample_dem"] == 113_216
        assert count(net.align.transformer) == 7_760
        assert count(net.align.local) == 84_882
        assert count(net.fuse.main) == count(net.fuse.auxiliary0) == 1_485_632
        assert parts["refine"] == 51_661
        assert sum(parts.values()) == 3_450_223

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({"guides": {"dem": 1}}, 3_450_223 - 1_485_632 - 110_720 - 57_472),
            ({"guides": {}}, 7_760 + 84_882 + 51_661),
            ({"align": {"modulated": True}}, 3_450_223 + 9 * (64 * 9 + 1)),
            ({"refine": {"auxiliary_head": False}}, 3_450_223 - 10),
            ({"refine": {"multi_scale": False}}, 3_450_223 - 2 * 577),
            ({"fuse": {"cross_branch": False}}, 3_450_223 - 2 * 3 * (64 * 64 + 64)),
            ({"align": {"enabled": False}}, 3_450_223 - 7_760 - 84_882 - 221_440 + 640),
        ],
    )
    def test_options_change_it_as_computed_by_hand(self, options, expected):
        if options.get("guides") == {"dem": 1}:
            # One guide: its downsampling, its alignment, one fusion.
            expected = (320 + 18_496 + 36_928) + 7_760 + 84_882 + 110_720 + 1_485_632 + 51_661
        assert count(deeplight.create_model("deeplight_sr", **options)) == expected


VARIANTS = {
    "default": {},
    "x2": {"scale": 2},
    "x4": {"scale": 4},
    "gate and skip": {"refine": {"guide_gate": True, "bicubic_skip": True}},
    "modulated": {"align": {"modulated": True}},
    "guides on the fine grid": {"align": {"warp_guides": False}},
    "no warp": {"align": {"warp": False}},
    "consistent": {"refine": {"consistency": "additive"}},
    "one guide": {"guides": {"dem": 2}},
    "three guides": {"guides": {"a": 1, "b": 2, "c": 1}, "fuse": {"blocks": 1}},
    "no guide": {"guides": {}},
    "w/o LR NTL": {"without": ["low_resolution"]},
    "w/o DMO": {"without": ["dmo"]},
    "w/o DEM": {"without": ["dem"]},
    "w/o both guides": {"without": ["dmo", "dem"]},
    "w/o ISP": {"refine": {"auxiliary_head": False}},
    "w/o CAA": {"align": {"enabled": False}},
    "w/o AMFF": {"fuse": {"cross_branch": False}},
    "w/o AER": {"refine": {"multi_scale": False}},
}


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS.keys())
def test_equals_the_plain_reference_in_float64(options):
    net = disturbed(**options)
    low, guides = inputs(net)
    image, pyramid, logits = net(low, guides)
    expected = reference.forward(net.state_dict(), net.options, low, guides)
    torch.testing.assert_close(image, expected[0], rtol=1e-9, atol=1e-9)
    assert len(pyramid) == len(expected[1])
    for ours, theirs in zip(pyramid, expected[1], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    assert (logits is None) == (expected[2] is None)
    if logits is not None:
        torch.testing.assert_close(logits, expected[2], rtol=1e-9, atol=1e-9)


def test_the_oracle_notices_swapped_branches():
    net = disturbed()
    low, guides = inputs(net)
    state = dict(net.state_dict())
    image = net(low, guides).image
    for name in [n for n in state if ".merge_a" in n or ".blocks_a" in n]:
        other = name.replace("_a", "_b")
        state[name], state[other] = state[other], state[name]
    swapped = reference.forward(state, net.options, low, guides)[0]
    assert (image - swapped).abs().max() > 1e-6


def test_zero_initialised_parts_start_neutral():
    torch.manual_seed(0)
    refine = {"bicubic_skip": True, "zero_heads": True, "guide_gate": True}
    net = deeplight.create_model("deeplight_sr", **SMALL, refine=refine)
    low, guides = inputs(net, dtype=torch.float32)
    bicubic = torch.nn.functional.interpolate(low, scale_factor=8, mode="bicubic")
    torch.testing.assert_close(net(low, guides).image, bicubic, rtol=1e-5, atol=1e-5)
    assert net.image_statistics(low[:1]).warp.matrix.abs().max() == 0


def test_gradcheck_of_the_whole_network():
    net = disturbed(scale=2, width=2, guides={"dem": 1}, fuse={"blocks": 1})
    low, guides = inputs(net, h=4, w=4, batch=1)
    low.requires_grad_()
    guides["dem"].requires_grad_()

    def run(image, guide):
        output = net(image, {"dem": guide})
        return output.image, output.auxiliary_logits

    assert torch.autograd.gradcheck(run, (low, guides["dem"]), atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize(("h", "w"), [(1, 1), (1, 7), (3, 2), (13, 11)])
def test_any_size(h, w):
    net = deeplight.create_model("deeplight_sr", **SMALL)
    low, guides = inputs(net, h, w, dtype=torch.float32)
    assert net(low, guides).image.shape == (2, 1, 8 * h, 8 * w)
    assert [p.shape[-1] // w for p in net(low, guides).pyramid] == [2, 4, 8]


def test_a_batch_equals_its_samples():
    net = disturbed()
    low, guides = inputs(net, batch=3)
    together = net(low, guides).image
    for i in range(3):
        alone = net(low[i : i + 1], {n: g[i : i + 1] for n, g in guides.items()}).image
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "options",
    [
        {"scale": 2},
        {"scale": 2, "align": {"warp": False}, "refine": {"guide_gate": True}},
        {"scale": 2, "guides": {"dem": 1}, "align": {"enabled": False}},
        {"scale": 2, "guides": {}, "refine": {"consistency": "additive", "bicubic_skip": True}},
    ],
)
def test_margin_covers_the_true_receptive_field(options):
    """Perturbs one low-resolution cell and looks how far the change reaches."""
    net = disturbed(**{"fuse": {"blocks": 1}, **options}).eval()
    size = 2 * net.margin + 9
    low, guides = inputs(net, size, size, batch=1)
    statistics = net.image_statistics(low)
    before = net(low, guides, statistics).image
    middle = size // 2
    low[0, 0, middle, middle] += 10
    for guide in guides.values():
        guide[0, :, 2 * middle : 2 * middle + 2, 2 * middle : 2 * middle + 2] += 10
    changed = (net(low, guides, statistics).image - before).abs()[0, 0] > 0
    rows, columns = torch.where(changed)
    reach = max(
        middle - int(rows.min()) // 2,
        int(rows.max()) // 2 - middle,
        middle - int(columns.min()) // 2,
        int(columns.max()) // 2 - middle,
    )
    assert reach <= net.margin
    # The margin allows for the largest warp and offset, which this network does not use up.
    align = net.options["align"]
    bounds = align["max_offset"] + align["warp"] * align["max_shift"] if align["enabled"] else 0
    assert net.margin <= reach + 12 + bounds, "a margin too wide wastes every tile's halo"


def test_tiles_equal_the_whole_image():
    net = disturbed(scale=2, fuse={"blocks": 1}).eval()
    h, w, tile = 150, 141, 40
    low, guides = inputs(net, h, w, batch=1)
    statistics = net.image_statistics(low)
    assert statistics.warp.matrix.abs().max() > 0
    whole = net(low, guides, statistics).image
    halo = -(-net.margin // 4) * 4
    assert halo < 70, "the test needs tiles that do not see the whole image"
    for row in range(0, h, tile):
        for column in range(0, w, tile):
            top, left = max(row - halo, 0), max(column - halo, 0)
            bottom, right = min(row + tile + halo, h), min(column + tile + halo, w)
            part = net(
                low[:, :, top:bottom, left:right],
                {n: g[:, :, 2 * top : 2 * bottom, 2 * left : 2 * right] for n, g in guides.items()},
                statistics.for_tile(top, left),
            ).image
            rows = slice(2 * (row - top), 2 * (min(row + tile, h) - top))
            columns = slice(2 * (column - left), 2 * (min(column + tile, w) - left))
            expected = whole[:, :, 2 * row : 2 * min(row + tile, h)]
            expected = expected[..., 2 * column : 2 * min(column + tile, w)]
            torch.testing.assert_close(part[:, :, rows, columns], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["default", "gate and skip", "consistent", "no guide", "w/o DEM"])
def test_a_part_equals_the_crop_of_the_whole(name):
    net = disturbed(**VARIANTS[name])
    low, guides = inputs(net, h=21, w=18, batch=1)
    whole = net(low, guides).image
    for row, column, rows, columns in [(0, 0, 21, 18), (7, 5, 6, 8), (20, 17, 1, 1), (0, 9, 4, 9)]:
        part = net.native.forward_part(low, guides, (row, column, rows, columns))
        expected = whole[:, :, 8 * row : 8 * (row + rows), 8 * column : 8 * (column + columns)]
        torch.testing.assert_close(part, expected, rtol=1e-10, atol=1e-10)
    with pytest.raises(ValueError, match="lies outside"):
        net.native.forward_part(low, guides, (0, 0, 22, 1))


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"scale": 3}, "scale must be 2, 4 or 8, got 3"),
            ({"width": 7}, "width must be even and at least 2, got 7"),
            ({"guides": {"dem": 0}}, "guide 'dem' must have at least one band, got 0"),
            ({"guides": [{"name": "a"}, {"name": "a"}]}, "'a' is declared twice"),
            ({"guides": {"": 1}}, "name must be non-empty"),
            ({"without": ["dmm"]}, "did you mean 'dmo'"),
            ({"without": ["low_resolution", "dmo", "dem"]}, "at least one modality"),
            ({"widht": 8}, "did you mean 'width'"),
            ({"refine": {"guide_gat": True}}, "did you mean 'guide_gate'"),
            ({"scale": 2.5}, "option 'scale' cannot be 2.5"),
            ({"align": {"warp": 1}}, "option 'align.warp' must be true or false"),
            ({"guides": {}, "refine": {"guide_gate": True}}, "at least one guide"),
            ({"align": {"max_shift": -1.0}}, "max_shift must be positive"),
        ],
    )
    def test_options(self, options, message):
        with pytest.raises(ValueError, match=message.replace("'", ".")):
            deeplight.create_model("deeplight_sr", **{**SMALL, **options})

    def test_unknown_network(self):
        with pytest.raises(ValueError, match="did you mean 'deeplight_sr'"):
            deeplight.create_model("deeplightsr")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda g: g.pop("dem"), "guide 'dem' is missing"),
            (lambda g: g.update(dam=g["dem"]), "unknown guide 'dam'; did you mean 'dem'"),
            (lambda g: g.update(dem=g["dmo"]), "guide 'dem' has 3 bands, expected 1"),
            (
                lambda g: g.update(dem=g["dem"][..., :-1]),
                "guide 'dem' is 72x47, expected 72x48 = 8 x low resolution 9x6",
            ),
        ],
    )
    def test_guides(self, change, message):
        net = deeplight.create_model("deeplight_sr", **SMALL)
        low, guides = inputs(net, dtype=torch.float32)
        change(guides)
        with pytest.raises(ValueError, match=message):
            net(low, guides)

    def test_low_resolution(self):
        net = deeplight.create_model("deeplight_sr", **SMALL)
        with pytest.raises(ValueError, match=r"low resolution must be \[B, 1, h, w\]"):
            net(torch.zeros(1, 2, 8, 8), {})

    def test_an_absent_modality_may_be_left_out(self):
        net = deeplight.create_model("deeplight_sr", **SMALL, without=["dem"])
        low, guides = inputs(net, dtype=torch.float32)
        full = net(low, guides).image
        del guides["dem"]
        assert torch.equal(full, net(low, guides).image)
