"""The parts of MoCoLSK-Net: the core in NumPy, pooling and projections, gradients, bad input."""

from __future__ import annotations

import pytest
import torch

import reference_mocolsk_net as reference
from deeplight import nn
from reference_mocolsk_core import core_numpy


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
            expected = core_numpy(core.state_dict(), main[i].numpy(), guide[i].numpy())
            torch.testing.assert_close(result[i].numpy(), expected, rtol=1e-10, atol=1e-10)

    @pytest.mark.parametrize("axis", [0, 1], ids=["swapped masks", "maximum first"])
    def test_it_notices_swapped_masks_and_maps(self, core, axis):
        core, main, guide = core
        state = core.state_dict()
        right = core_numpy(state, main[0].numpy(), guide[0].numpy())
        for name in ("generator.out", "generator.raw"):
            for part in (".weight", ".bias"):
                value = state[name + part]
                kernel = value.reshape(2, 2, 3, 3, -1)
                state[name + part] = kernel.flip(axis).reshape(value.shape)
        for part in (".weight", ".bias"):
            value = state["generator.norm" + part].reshape(2, 2, 3, 3)
            state["generator.norm" + part] = value.flip(axis).reshape(-1)
        wrong = core_numpy(state, main[0].numpy(), guide[0].numpy())
        assert abs(right - wrong).max() > 1e-3

    def test_it_notices_a_guide_in_the_wrong_branch(self, core):
        core, main, guide = core
        right = core(main, guide)[0].detach().numpy()
        wrong = core_numpy(core.state_dict(), guide[0].numpy(), main[0].numpy())
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


def test_bad_input_of_parts():
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
