"""MoCoLSK-Net: published counts, independent float64 oracles, both behaviours, tiles, bad input."""

from __future__ import annotations

import pytest
import torch

import deeplight
import reference_mocolsk_net as reference
from deeplight import nn

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


class TestParameterCounts:
    @pytest.mark.parametrize(
        ("scale", "expected"), [(2, 20_011_833), (4, 25_430_841), (8, 40_913_721)]
    )
    def test_network_is_the_published_one(self, scale, expected):
        assert count(deeplight.create_model("mocolsk_net", scale=scale)) == expected

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, 41_392),
            ({"selection": "channel"}, 44_800),
            ({"dynamic": False}, 4_230),
            ({"wiring": "exchanged"}, 41_392),
            ({"wiring": "unfused"}, 41_392),
            ({"kernels": [3, 3], "dilations": [1, 2]}, 39_600),
            ({"kernels": [3, 5], "dilations": [1, 2]}, 40_112),
            ({"kernels": [7, 9], "dilations": [1, 4]}, 43_184),
            ({"kernels": [9, 11], "dilations": [1, 5]}, 45_488),
            # One 23 x 23 kernel and one reduction instead of two of each.
            ({"kernels": [23], "dilations": [1]}, 37_360 + 32 * 530 + 528 + 544),
            ({"pooling": "avg"}, 41_392),
            # 50 outputs instead of 36: two linear layers and the normalisation.
            ({"dynamic_kernel": 5}, 41_392 + (100 - 36) * (33 + 33 + 2)),
        ],
    )
    def test_core(self, options, expected):
        assert count(nn.MoCoLSK(**options)) == expected

    @pytest.mark.parametrize(
        ("block", "expected"), [("lsk", 13_414), ("lsk_cs", 21_568), ("sk", 9_920)]
    )
    def test_comparisons(self, block, expected):
        assert count(nn.ConcatenatedSelection(block=block)) == expected

    def test_generator(self):
        assert count(nn.WeightGenerator()) == 37_360

    def test_lsk_block_alone(self):
        assert count(nn.LSKBlock()) == 4_230


def test_multiply_accumulates_of_the_core():
    """1.035 G at 32 channels of 512 x 512, counted by PyTorch over the plain twin."""
    from torch.utils.flop_counter import FlopCounterMode

    options = deeplight.create_model("mocolsk_net", width=2, stages=1).options | {"width": 32}
    with torch.device("meta"):
        core = reference.MoCoLSK(32, options, "spatial")
        x, g = torch.empty(1, 32, 512, 512), torch.empty(1, 32, 512, 512)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        core(x, g)
    assert round(counter.get_total_flops() / 2 / 1e9, 3) == 1.035


VARIANTS = {
    "default": {},
    "x4": {"scale": 4},
    "x8": {"scale": 8, "stages": 1},
    "one guide": {"guides": {"dem": 2}},
    "baseline": {"fusion": "concatenation"},
    "LSK-M": {"fusion": "lsk"},
    "LSK-CS-M": {"fusion": "lsk_cs"},
    "SK-M": {"fusion": "sk"},
    "CS": {"selection": ["channel"]},
    "C and S by turns": {"selection": ["channel", "spatial"]},
    "CS without DConv": {"selection": ["channel"], "dynamic": False},
    "Ex": {"wiring": "exchanged"},
    "w/o MF": {"wiring": "unfused"},
    "w/o DConv": {"dynamic": False},
    "w/o LKD": {"kernels": [23], "dilations": [1]},
    "CS w/o LKD": {"kernels": [23], "dilations": [1], "selection": ["channel"]},
    "kernels 3-1, 3-2": {"kernels": [3, 3], "dilations": [1, 2]},
    "kernels 9-1, 11-5": {"kernels": [9, 11], "dilations": [1, 5]},
    "three branches by channel": {
        "kernels": [3, 5, 3], "dilations": [1, 1, 2], "selection": ["channel"],
    },
    "avg": {"pooling": "avg"},
    "max": {"pooling": "max"},
    "avg and max": {"pooling": "avg_max"},
    "dynamic kernel 5": {"dynamic_kernel": 5},
    "MLP A, 2 layers": {"mlp_layers": 2, "mlp_hidden": 5},
    "MLP B": {"mlp": "B", "mlp_layers": 3, "mlp_hidden": 5},
    "MLP C": {"mlp": "C", "mlp_layers": 2, "mlp_hidden": 5},
    "as released": {"behaviour": "as_released"},
    "consistent": {"consistency": "additive"},
    "normalised inside": {"input_mean": 282.51, "input_std": 14.59},
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_equals_the_plain_twin_in_float64(name):
    net = disturbed(**VARIANTS[name])
    low, guides = inputs(net, h=7, w=6)
    # Batch norm of SK-M sees the same batch statistics in both.
    image, pyramid, logits = net(low, guides)
    expected = reference.twin(net)(low, guides)
    torch.testing.assert_close(image, expected, rtol=1e-9, atol=1e-9)
    assert len(pyramid) == 1 and torch.equal(pyramid[0], image) and logits is None


def test_gradients_equal_those_of_the_plain_twin():
    net = disturbed()
    low, guides = inputs(net)
    plain = reference.twin(net)
    target = torch.randn_like(net(low, guides).image)
    for each in (net, plain):
        output = each(low, guides)
        (getattr(output, "image", output) - target).square().sum().backward()
    theirs = dict(plain.named_parameters())
    for name, parameter in net.named_parameters():
        scale = theirs[name].grad.abs().max()
        torch.testing.assert_close(parameter.grad, theirs[name].grad, rtol=1e-7, atol=1e-9 * scale)


class TestCoreAgainstNumPy:
    @pytest.fixture
    def core(self):
        torch.manual_seed(4)
        core = nn.MoCoLSK(width=6).double()
        return core, torch.randn(2, 6, 13, 17).double(), torch.randn(2, 6, 13, 17).double()

    def test_equal(self, core):
        core, main, guide = core
        result = core(main, guide).detach()
        for i in range(2):
            expected = reference.core_numpy(core.state_dict(), main[i].numpy(), guide[i].numpy())
            torch.testing.assert_close(result[i].numpy(), expected, rtol=1e-10, atol=1e-10)

    @pytest.mark.parametrize("axis", [0, 1], ids=["swapped masks", "maximum first"])
    def test_it_notices_swapped_masks_and_maps(self, core, axis):
        core, main, guide = core
        state = core.state_dict()
        right = reference.core_numpy(state, main[0].numpy(), guide[0].numpy())
        for name in ("generator.out", "generator.raw"):
            for part in (".weight", ".bias"):
                value = state[name + part]
                kernel = value.reshape(2, 2, 3, 3, -1)
                state[name + part] = kernel.flip(axis).reshape(value.shape)
        for part in (".weight", ".bias"):
            value = state["generator.norm" + part].reshape(2, 2, 3, 3)
            state["generator.norm" + part] = value.flip(axis).reshape(-1)
        wrong = reference.core_numpy(state, main[0].numpy(), guide[0].numpy())
        assert abs(right - wrong).max() > 1e-3

    def test_it_notices_a_guide_in_the_wrong_branch(self, core):
        core, main, guide = core
        right = core(main, guide)[0].detach().numpy()
        wrong = reference.core_numpy(core.state_dict(), guide[0].numpy(), main[0].numpy())
        assert abs(right - wrong).max() > 1e-2


def test_pyramid_pooling_equals_adaptive_pooling():
    from deeplight import _native

    for shape in ((1, 3, 1, 1), (2, 3, 4, 5), (1, 2, 12, 6), (1, 2, 85, 7)):
        x = torch.randn(shape, dtype=torch.float64)
        for pooling in ("pyramid", "avg", "max", "avg_max"):
            ours = _native.nn.pool_tokens(x, pooling)
            torch.testing.assert_close(ours, reference.tokens_of(x, pooling))
            last = x.to(memory_format=torch.channels_last)
            torch.testing.assert_close(_native.nn.pool_tokens(last, pooling), ours)


@pytest.mark.parametrize("scale", [2, 4, 8, 16])
@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize(("a", "b"), [(3, 5), (97, 98)], ids=["few channels", "many channels"])
def test_projection_units_equal_the_plain_ones(scale, up, a, b):
    torch.manual_seed(6)
    unit = nn.ProjectionUnit(
        **{"in": a, "out": b, "scale": scale, "direction": "up" if up else "down"}
    ).double()
    plain = reference.ProjectionUnit(a, b, scale, up).double()
    plain.load_state_dict(unit.state_dict())
    shape = (2, a, 3, 2) if up else (2, a, 3 * scale, 2 * scale)
    x = torch.randn(shape, dtype=torch.float64)
    result = unit(x)
    assert result.shape == ((2, b, 3 * scale, 2 * scale) if up else (2, b, 3, 2))
    torch.testing.assert_close(result, plain(x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("part", "options", "shapes"),
    [
        ("RCAB", {"width": 4, "reduction": 2}, [(1, 4, 4, 5)]),
        ("ProjectionUnit", {"in": 2, "out": 3, "scale": 2}, [(1, 2, 3, 2)]),
        ("ProjectionUnit", {"in": 2, "out": 2, "scale": 4, "direction": "down"}, [(1, 2, 8, 4)]),
        ("DynamicMLP", {"planes": 3, "guide_planes": 2, "version": "C"}, [(2, 3, 3), (2, 3, 2)]),
        ("WeightGenerator", {"width": 3, "outputs": 4}, [(1, 3, 4, 5), (1, 3, 4, 5)]),
        ("LSKBlock", {"width": 4, "kernels": [3, 3]}, [(1, 4, 4, 4)]),
        ("LSKBlock", {"width": 4, "selection": "channel"}, [(1, 4, 3, 4)]),
        ("SKBlock", {"width": 2, "hidden": 3}, [(2, 2, 4, 3)]),
        ("MoCoLSK", {"width": 4, "kernels": [3, 3]}, [(2, 4, 5, 4), (2, 4, 5, 4)]),
        ("MoCoLSK", {"width": 4, "selection": "channel"}, [(2, 4, 4, 4), (2, 4, 4, 4)]),
    ],
)
def test_gradcheck_of_parts(part, options, shapes):
    torch.manual_seed(5)
    module = getattr(nn, part)(**options).double()
    arguments = tuple(torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes)
    assert torch.autograd.gradcheck(lambda *a: module(*a), arguments, atol=1e-6, rtol=1e-4)


class TestBehaviours:
    @staticmethod
    def generated_parameters(net):
        return {n: p for n, p in net.named_parameters() if ".generator." in n}

    @pytest.mark.parametrize("selection", ["spatial", "channel"])
    def test_as_described_a_batch_equals_its_samples(self, selection):
        net = disturbed(selection=[selection])
        low, guides = inputs(net, batch=3)
        together = net(low, guides).image
        for i in range(3):
            alone = net(low[i : i + 1], {n: g[i : i + 1] for n, g in guides.items()}).image
            torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-10, atol=1e-10)

    @pytest.mark.parametrize("selection", ["spatial", "channel"])
    def test_as_described_every_generator_parameter_is_trained(self, selection):
        net = disturbed(selection=[selection])
        low, guides = inputs(net)
        net(low, guides).image.square().sum().backward()
        generators = self.generated_parameters(net)
        assert len(generators) == 2 * 12
        for name, parameter in generators.items():
            assert parameter.grad.abs().max() > 0, name

    @pytest.mark.parametrize("selection", ["spatial", "channel"])
    def test_as_released_a_sample_depends_on_its_batch_mates(self, selection):
        net = disturbed(selection=[selection], behaviour="as_released")
        low, guides = inputs(net, batch=3)
        together = net(low, guides).image
        alone = net(low[:1], {n: g[:1] for n, g in guides.items()}).image
        assert (together[:1] - alone).abs().max() > 1e-4
        same = net(low[:1].expand(3, -1, -1, -1), {n: g[:1].expand(3, -1, -1, -1)
                                                   for n, g in guides.items()}).image  # fmt: skip
        torch.testing.assert_close(same[1:2], alone, rtol=1e-10, atol=1e-10)

    def test_as_released_no_generator_parameter_is_trained(self):
        net = disturbed(behaviour="as_released")
        low, guides = inputs(net)
        net(low, guides).image.square().sum().backward()
        generators = self.generated_parameters(net)
        assert generators and all(p.grad is None for p in generators.values())
        others = set(dict(net.named_parameters())) - set(generators)
        assert all(net.get_parameter(name).grad is not None for name in others)


@pytest.mark.parametrize(("h", "w"), [(1, 1), (1, 7), (3, 2), (13, 11)])
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_any_size(scale, h, w):
    net = deeplight.create_model("mocolsk_net", **{**SMALL, "scale": scale, "stages": 1})
    low, guides = inputs(net, h, w, dtype=torch.float32)
    assert net(low, guides).image.shape == (2, 1, scale * h, scale * w)


def test_checkpointing_gives_the_same_gradients():
    gradients = []
    for on in (False, True):
        net = disturbed()
        net.checkpoint_activations = on
        low, guides = inputs(net)
        net(low, guides).image.square().sum().backward()
        gradients.append({n: p.grad for n, p in net.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-12, atol=1e-12)


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
        statistics = net.representative_statistics(low, guides)
        assert all(value.shape[0] == 1 for value in statistics.pooled.values())
        torch.testing.assert_close(
            net(low, guides, statistics).image, net(low, guides).image, rtol=0, atol=0
        )

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


def test_guides_are_fed_in_their_declared_order():
    net = disturbed(guides={"b": 1, "a": 2})
    low, guides = inputs(net)
    plain = reference.twin(net)
    torch.testing.assert_close(net(low, guides).image, plain(low, guides), rtol=1e-9, atol=1e-9)
    joined = disturbed(guides={"both": 3})
    joined.load_state_dict(net.state_dict())
    together = {"both": torch.cat([guides["b"], guides["a"]], 1)}
    torch.testing.assert_close(joined(low, together).image, net(low, guides).image)


def test_eight_patches_are_learned_to_a_tenth_of_a_kelvin():
    """The network, not the recipe: a narrow one fits what bicubic misses by far."""
    torch.manual_seed(0)
    options = {**SMALL, "guides": {"guide": 2}, "stages": 1}
    net = deeplight.create_model("mocolsk_net", **options)
    guide = torch.randn(8, 2, 8, 8)
    smooth = torch.nn.functional.avg_pool2d(guide, 3, 1, 1)
    kelvin = 290 + 8 * smooth[:, :1] - 5 * (smooth[:, 1:] * guide[:, :1])
    std, mean = kelvin.std(), kelvin.mean()
    low = torch.nn.functional.avg_pool2d((kelvin - mean) / std, 2)
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 200)
    errors = []
    for _ in range(200):
        difference = net(low, {"guide": guide}).image * std + mean - kelvin
        errors.append(difference.detach().square().mean().sqrt().item())
        optimiser.zero_grad()
        difference.abs().mean().backward()
        optimiser.step()
        schedule.step()
    assert errors[0] > 1.5 and errors[-1] < 0.1


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"scale": 16}, "scale must be 2, 4 or 8, got 16"),
            ({"width": 7}, "width must be even and at least 2, got 7"),
            ({"guides": {}}, "mocolsk_net needs at least one guide"),
            ({"stages": 0}, "stages must be at least 1, got 0"),
            ({"selection": ["channel"] * 3}, "one for each of 2 stages, got 3"),
            ({"selection": ["spectral"]}, "'spectral' is not one of"),
            ({"behaviour": "as_release"}, "'as_release' is not one of"),
            ({"mlp": "D"}, "'D' is not one of"),
            ({"mlp_layers": 0}, "mlp_layers must be at least 1, got 0"),
            ({"dynamic_kernel": 4}, "dynamic_kernel must be odd, got 4"),
            ({"kernels": [5, 6]}, "kernels must be odd, got 6"),
            ({"kernels": [5]}, "1 kernels and 2 dilations"),
            ({"kernels": [3, 3, 3], "dilations": [1, 1, 1]}, "one or two branches, got 3"),
            ({"dilations": [1, 0]}, "dilations must be at least 1, got 0"),
            ({"blocks": 0}, "blocks must be at least 1, got 0"),
            ({"reduction": 0}, "reduction must be at least 1, got 0"),
            ({"input_std": 0.0}, "input_std must be positive, got 0"),
            ({"behavior": "as_released"}, "did you mean 'behaviour'"),
        ],
    )
    def test_options(self, options, message):
        with pytest.raises(ValueError, match=message.replace("'", ".")):
            deeplight.create_model("mocolsk_net", **{**SMALL, **options})

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda g: g.pop("dem"), "guide 'dem' is missing"),
            (lambda g: g.update(dam=g["dem"]), "unknown guide 'dam'; did you mean 'dem'"),
            (
                lambda g: g.update(dem=g["dem"][..., :-1]),
                "guide 'dem' is 18x11, expected 18x12 = 2 x low resolution 9x6",
            ),
        ],
    )
    def test_guides(self, change, message):
        net = deeplight.create_model("mocolsk_net", **SMALL)
        low, guides = inputs(net, dtype=torch.float32)
        change(guides)
        with pytest.raises(ValueError, match=message):
            net(low, guides)

    def test_parts(self):
        x = torch.zeros(1, 8, 6, 6)
        with pytest.raises(ValueError, match="differ"):
            nn.MoCoLSK(width=8)(x, x[..., :5])
        with pytest.raises(ValueError, match="is not 4 x"):
            nn.MoCoLSKBridge(**{"in": 8, "scale": 4, "core": {"width": 8}})(x, x)
        with pytest.raises(ValueError, match="multiples of 4"):
            nn.ProjectionUnit(**{"in": 8, "scale": 4, "direction": "down"})(x)
        with pytest.raises(ValueError, match="2, 4, 8 or 16, got 3"):
            nn.ProjectionUnit(scale=3)
        with pytest.raises(ValueError, match="takes none"):
            nn.SpatialSelection(width=8)([x, x], torch.zeros(1, 2, 2, 3, 3))
        with pytest.raises(ValueError, match="needs a kernel"):
            nn.SpatialSelection(width=8, static_kernel=0)([x, x])
        with pytest.raises(ValueError, match="2 branches got 1"):
            nn.SpatialSelection(width=8)([x])
