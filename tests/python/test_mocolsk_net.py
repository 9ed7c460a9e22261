"""MoCoLSK-Net whole: published counts, the plain twin in float64, both behaviours, bad input."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import deeplight
import reference_mocolsk_net as reference
from deeplight import nn
from mocolsk_cases import SMALL, disturbed
from network_inputs import count, inputs


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


def test_guides_are_fed_in_their_declared_order():
    net = disturbed(guides={"b": 1, "a": 2})
    low, guides = inputs(net)
    plain = reference.twin(net)
    torch.testing.assert_close(net(low, guides).image, plain(low, guides), rtol=1e-9, atol=1e-9)
    joined = disturbed(guides={"both": 3})
    joined.load_state_dict(net.state_dict())
    together = {"both": torch.cat([guides["b"], guides["a"]], 1)}
    torch.testing.assert_close(joined(low, together).image, net(low, guides).image)


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


class Layouts(TorchDispatchMode):
    """Memory formats in which the maps of a network enter its convolutions."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        if function in (torch.ops.aten.convolution.default, torch.ops.deeplight.conv3x3.default):
            image = arguments[0]
            # Maps of one channel or one pixel have both formats.
            if image.shape[1] > 1 and image.shape[2] > 1:
                self.found.append(image.is_contiguous(memory_format=torch.channels_last))
        return function(*arguments, **(keywords or {}))


@pytest.mark.parametrize("fusion", ["mocolsk", "sk", "concatenation"])
def test_convolutions_see_one_layout_from_end_to_end(fusion):
    """A part that returned the other one would slow down all that follow."""
    net = deeplight.create_model("mocolsk_net", **SMALL, fusion=fusion).eval()
    low, guides = inputs(net, dtype=torch.float32)
    guides = {name: guide.contiguous() for name, guide in guides.items()}
    for gradients in (False, True):
        with torch.set_grad_enabled(gradients), Layouts() as layouts:
            net(low, guides)
        stem, *others = layouts.found
        assert len(others) > 20 and not stem
        assert set(others) == {not gradients}


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
