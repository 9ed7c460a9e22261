"""The contract of adopted modules, over every registered network and every bound part."""

from __future__ import annotations

import copy
import io
import pickle
import threading
import time

import pytest
import torch

import deeplight
from deeplight import nn
from deeplight.cpp_module import CppModule

GUIDES = {"dmo": 3, "dem": 1}
SHAPE = {"scale": 4, "width": 8, "guides": GUIDES}


def features(*shape):
    return torch.randn(*shape, requires_grad=True)


PARTS = {
    "LearnableDownsampling": (
        {"bands": 2, "scale": 4, "width": 8},
        lambda: (features(2, 2, 16, 16),),
    ),
    "SpatialTransformer": ({}, lambda: (features(2, 1, 8, 8),)),
    "DefCAN": ({"width": 8, "modulated": True}, lambda: (features(2, 1, 8, 8),)),
    "GuideAlignment": ({"width": 8}, lambda: (features(2, 8, 8, 8), features(2, 8, 8, 8))),
    "ResidualBlock": ({"width": 8}, lambda: (features(2, 8, 8, 8),)),
    "CMFM": ({"width": 8, "blocks": 1}, lambda: (features(2, 8, 8, 8), features(2, 8, 8, 8))),
    "ChannelAttention": ({"width": 8, "reduction": 2}, lambda: (features(2, 8, 8, 8),)),
    "RCAB": ({"width": 8}, lambda: (features(2, 8, 8, 8),)),
    "ResidualGroup": ({"width": 8, "blocks": 2}, lambda: (features(2, 8, 8, 8),)),
    "ProjectionUnit": ({"in": 8, "out": 6, "scale": 4}, lambda: (features(2, 8, 5, 6),)),
    "DynamicMLP": (
        {"planes": 8, "guide_planes": 8, "version": "B"},
        lambda: (features(2, 5, 8), features(2, 5, 8)),
    ),
    "WeightGenerator": (
        {"width": 8, "outputs": 9},
        lambda: (features(2, 8, 9, 8), features(2, 8, 9, 8)),
    ),
    "DepthwiseCascade": ({"width": 8}, lambda: (features(2, 8, 8, 8),)),
    "SpatialSelection": (
        {"width": 8},
        lambda: ([features(2, 8, 8, 8), features(2, 8, 8, 8)],),
    ),
    "ChannelSelection": (
        {"width": 8, "hidden": 4},
        lambda: ([features(2, 8, 8, 8), features(2, 8, 8, 8)], features(2, 4)),
    ),
    "LSKBlock": ({"width": 8}, lambda: (features(2, 8, 8, 8),)),
    "SKBlock": ({"width": 8, "hidden": 4}, lambda: (features(2, 8, 8, 8),)),
    "ConcatenatedSelection": (
        {"width": 8},
        lambda: (features(2, 8, 8, 8), features(2, 8, 8, 8)),
    ),
    "MoCoLSK": ({"width": 8}, lambda: (features(2, 8, 9, 8), features(2, 8, 9, 8))),
    "MoCoLSKBridge": (
        {"in": 8, "out": 6, "scale": 4, "core": {"width": 8}},
        lambda: (features(2, 8, 4, 4), features(2, 8, 16, 16)),
    ),
    "CalibrationAwareAlignment": (
        SHAPE,
        lambda: (features(2, 1, 8, 8), [features(2, 8, 8, 8), features(2, 8, 8, 8)]),
    ),
    "AuxiliaryToMainFusion": (
        {**SHAPE, "blocks": 1},
        lambda: (features(2, 8, 8, 8), [features(2, 8, 8, 8), features(2, 8, 8, 8)]),
    ),
    "AuxiliaryEmbeddedRefinement": (
        SHAPE,
        lambda: (features(2, 8, 8, 8), features(2, 1, 8, 8)),
    ),
}


def make(name):
    """A small module and a function that makes inputs for it."""
    torch.manual_seed(3)
    if name in PARTS:
        options, inputs = PARTS[name]
        return getattr(nn, name)(**options), inputs
    net = deeplight.create_model(name, **SHAPE)
    return net, lambda: (
        features(2, 1, 8, 8),
        {"dmo": features(2, 3, 32, 32), "dem": features(2, 1, 32, 32)},
    )


def tensors_of(value):
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, (list, tuple)):
        return [tensor for each in value for tensor in tensors_of(each)]
    return []


def total(output):
    # Not zero at zero: an output that starts at zero must still give gradients.
    return sum((tensor.float() + 1).pow(2).sum() for tensor in tensors_of(output))


ALL = sorted({*PARTS, *deeplight.list_models()})


@pytest.fixture(params=ALL)
def module_and_inputs(request):
    return make(request.param)


def test_every_public_part_is_in_the_table():
    assert set(nn.__all__) == set(PARTS)


def test_gradients_reach_parameters_and_inputs(module_and_inputs):
    module, inputs = module_and_inputs
    arguments = inputs()
    total(module(*arguments)).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in module.parameters())
    assert tensors_of([arguments[0]])[0].grad is not None


def test_parameters_keep_their_identity(module_and_inputs):
    module, _ = module_and_inputs
    first, second = dict(module.named_parameters()), dict(module.named_parameters())
    assert first and all(first[name] is second[name] for name in first)
    assert all(isinstance(p, torch.nn.Parameter) and p.is_leaf for p in first.values())


def test_state_dict_round_trip(module_and_inputs):
    module, inputs = module_and_inputs
    arguments = inputs()
    before = tensors_of(module(*arguments))
    saved = copy.deepcopy(module.state_dict())
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1)
    changed = tensors_of(module(*arguments))
    assert any(not torch.equal(a, b) for a, b in zip(before, changed, strict=True))
    assert module.load_state_dict(saved).missing_keys == []
    after = tensors_of(module(*arguments))
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("optimiser", [torch.optim.SGD, torch.optim.AdamW])
def test_an_optimiser_step_changes_the_native_output(module_and_inputs, optimiser):
    module, inputs = module_and_inputs
    arguments = inputs()
    before = module(*arguments)
    step = optimiser(module.parameters(), lr=1e-2)
    total(before).backward()
    step.step()
    after = tensors_of(module(*arguments))
    assert any(not torch.equal(a, b) for a, b in zip(tensors_of(before), after, strict=True))


def test_conversion_to_double(module_and_inputs):
    module, inputs = module_and_inputs
    arguments = inputs()

    def to_double(value):
        if isinstance(value, torch.Tensor):
            return value.detach().double()
        if isinstance(value, dict):
            return {key: to_double(each) for key, each in value.items()}
        return [to_double(each) for each in value]

    single = tensors_of(module(*arguments))
    same = module.double()
    assert same is module and all(p.dtype == torch.float64 for p in module.parameters())
    double = tensors_of(module(*to_double(arguments)))
    assert all(each.dtype == torch.float64 for each in double)
    for a, b in zip(single, double, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-4)


def test_deepcopy_is_independent(module_and_inputs):
    module, inputs = module_and_inputs
    arguments = inputs()
    next(module.parameters()).requires_grad_(False)
    other = copy.deepcopy(module.eval())
    assert not other.training and not next(other.parameters()).requires_grad
    before = tensors_of(module(*arguments))
    assert all(
        torch.equal(a, b) for a, b in zip(before, tensors_of(other(*arguments)), strict=True)
    )
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert all(
        torch.equal(a, b) for a, b in zip(before, tensors_of(module(*arguments)), strict=True)
    )


def test_pickle_by_construction_and_state(module_and_inputs):
    module, inputs = module_and_inputs
    arguments = inputs()
    other = pickle.loads(pickle.dumps(module.eval()))
    assert type(other) is type(module) and not other.training
    first, second = tensors_of(module(*arguments)), tensors_of(other(*arguments))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    buffer.seek(0)
    assert module.load_state_dict(torch.load(buffer, weights_only=True)).unexpected_keys == []


def test_train_and_eval_reach_native_code(module_and_inputs):
    module, _ = module_and_inputs
    assert module.training
    module.eval()
    assert not any(each.training for each in module.modules())
    module.train()
    assert all(each.training for each in module.modules())


def test_hooks_on_the_root_run(module_and_inputs):
    module, inputs = module_and_inputs
    calls = []
    handle = module.register_forward_hook(lambda *_: calls.append("forward"))
    module(*inputs())
    handle.remove()
    module(*inputs())
    assert calls == ["forward"]


def test_repr_and_names_are_readable(module_and_inputs):
    module, _ = module_and_inputs
    text = repr(module)
    assert type(module).__name__ in text or module._get_name() in text
    assert "weight=[" in text and "Impl" not in text
    for name, _ in module.named_modules():
        assert module.get_submodule(name) is not None


def test_make_fx_traces_the_native_forward(module_and_inputs):
    from torch.fx.experimental.proxy_tensor import make_fx

    module, inputs = module_and_inputs
    arguments = inputs()

    def flat(*values):
        return tensors_of(module(*values))

    with torch.no_grad():
        graph = make_fx(flat, pre_dispatch=True)(*arguments)
        again = inputs()
        expected = tensors_of(module(*again))
        traced = graph(*again)
    assert len(list(graph.graph.nodes)) > 3
    for a, b in zip(expected, traced, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


def test_bf16_autocast_runs_and_is_near(module_and_inputs):
    module, inputs = module_and_inputs
    arguments = inputs()
    expected = tensors_of(module(*arguments))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        near = tensors_of(module(*arguments))
    for a, b in zip(expected, near, strict=True):
        assert (a - b.float()).abs().max() <= 0.05 * a.abs().max() + 1e-3


def test_channels_last_gives_the_same(module_and_inputs):
    module, inputs = module_and_inputs
    arguments = inputs()
    expected = tensors_of(module(*arguments))
    module.to(memory_format=torch.channels_last)
    for a, b in zip(expected, tensors_of(module(*arguments)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


class TestWhatCannotWorkRaises:
    """Silently computing something else is the one outcome that must not happen."""

    @pytest.fixture
    def net(self):
        return make("deeplight_sr")

    def test_functional_call(self, net):
        module, inputs = net
        state = {name: torch.zeros_like(p) for name, p in module.named_parameters()}
        with pytest.raises(RuntimeError, match="no longer the native tensor"):
            torch.func.functional_call(module, state, inputs())

    def test_data_parallel(self, net):
        with pytest.raises(RuntimeError, match="DistributedDataParallel"):
            net[0]._replicate_for_data_parallel()

    def test_hooks_on_submodules(self, net):
        with pytest.raises(RuntimeError, match="hooks on the network itself work"):
            net[0].fuse.register_forward_hook(lambda *_: None)

    def test_calling_a_submodule(self, net):
        with pytest.raises(RuntimeError, match=r"deeplight\.nn"):
            net[0].fuse(torch.zeros(1))

    def test_replacing_a_submodule(self, net):
        with pytest.raises(RuntimeError, match="cannot be replaced"):
            net[0].fuse = torch.nn.Identity()
        net[0]._modules["fuse"] = torch.nn.Identity()
        with pytest.raises(RuntimeError, match="was replaced"):
            net[0](*net[1]())

    def test_replacing_a_parameter(self, net):
        module = net[0].get_submodule("align.local")
        with pytest.raises(RuntimeError, match="cannot be replaced"):
            module.weight = torch.nn.Parameter(torch.zeros(1))

    def test_parametrizing(self, net):
        convolution = net[0].get_submodule("refine.head0")
        with pytest.raises(RuntimeError, match="native"):
            torch.nn.utils.parametrizations.weight_norm(convolution)
            net[0](*net[1]())

    def test_assigning_state(self, net):
        with pytest.raises(RuntimeError, match="assign=True"):
            net[0].load_state_dict(net[0].state_dict(), assign=True)

    def test_moving_to_meta(self, net):
        with pytest.raises(RuntimeError, match="cannot become"):
            net[0].to("meta")


def test_the_interpreter_is_free_during_forward_and_backward():
    net = deeplight.create_model("deeplight_sr", guides={"dem": 1}, width=32)
    low, guide = torch.randn(1, 1, 32, 32), {"dem": torch.randn(1, 1, 256, 256)}
    ticks, done = [], threading.Event()

    def tick():
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.perf_counter()
    loss = net(low, guide).image.sum()
    middle = time.perf_counter()
    loss.backward()
    end = time.perf_counter()
    done.set()
    thread.join()
    assert sum(start < t < middle for t in ticks) >= 3
    assert sum(middle < t < end for t in ticks) >= 3


def test_adopted_types():
    net, _ = make("deeplight_sr")
    assert isinstance(net, CppModule) and isinstance(net, torch.nn.Module)
    assert net.get_submodule("fuse.main")._get_name() == "CMFM"
    assert net.get_submodule("refine.head0")._get_name() == "Conv2d"
