"""Checkpointed activations: the same image, the same gradients, less memory."""

import copy
import pickle

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

import deeplight

GUIDES = {"dmo": 3, "dem": 1, "slope": 1}
OPTION_SETS = {
    "defaults": {},
    "as shipped": {
        "align": {"warp": False},
        "refine": {
            "guide_gate": True, "bicubic_skip": True, "consistency": "multiplicative",
        },
    },
    "additive, modulated": {
        "align": {"modulated": True}, "refine": {"consistency": "additive", "guide_gate": True},
    },
    "one scale": {"refine": {"multi_scale": False, "auxiliary_head": False}},
    "no cross branch": {"fuse": {"cross_branch": False, "blocks": 1}},
    "plain alignment": {"align": {"enabled": False}},
    "without light": {"without": ["low_resolution"]},
    "without a guide": {"without": ["dem"]},
    "no guides": {"guides": {}},
}  # fmt: skip


def network(dtype=torch.float32, **options):
    torch.manual_seed(3)
    given = {"scale": 4, "guides": GUIDES, "width": 8, **options}
    net = deeplight.create_model("deeplight_sr", **given).to(dtype)
    with torch.no_grad():  # gates, offsets and warp begin at zero, where gradients hide mistakes
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return net


def inputs(dtype=torch.float32, requires_grad=False):
    generator = torch.Generator().manual_seed(5)

    def image(bands, side):
        made = torch.rand(2, bands, side, side, dtype=dtype, generator=generator)
        return made.requires_grad_(requires_grad)

    return image(1, 9), {name: image(bands, 36) for name, bands in GUIDES.items()}


def objective(output):
    parts = [(level * (i + 1)).square().mean() for i, level in enumerate(output.pyramid)]
    if output.auxiliary_logits is not None:
        parts.append(output.auxiliary_logits.sigmoid().mean())
    return sum(parts)


def gradients(net, low, guides, on, context=None):
    net.checkpoint_activations = on
    net.zero_grad(set_to_none=True)
    for tensor in (low, *guides.values()):
        tensor.grad = None
    if context is None:
        loss = objective(net(low, guides))
    else:
        with context():
            loss = objective(net(low, guides))
    loss.backward()
    found = {name: p.grad for name, p in net.named_parameters()}
    found.update({"low resolution": low.grad}, **{f"guide {n}": g.grad for n, g in guides.items()})
    return loss.detach(), found


def of_options(options, low, guides):
    return low, {name: guides[name] for name in options.get("guides", GUIDES)}


@pytest.mark.parametrize("options", OPTION_SETS.values(), ids=OPTION_SETS)
def test_float64_gradients_are_those_of_the_plain_pass(options):
    net = network(torch.float64, **options)
    low, guides = of_options(options, *inputs(torch.float64, requires_grad=True))
    loss, plain = gradients(net, low, guides, False)
    again, found = gradients(net, low, guides, True)
    assert loss == again
    for name, expected in plain.items():
        assert (expected is None) == (found[name] is None), name
        if expected is not None:
            torch.testing.assert_close(found[name], expected, rtol=1e-12, atol=1e-12, msg=name)


@pytest.mark.parametrize("options", OPTION_SETS.values(), ids=OPTION_SETS)
def test_float32_gradients_have_the_same_bits(options):
    net = network(**options)
    low, guides = of_options(options, *inputs())
    loss, plain = gradients(net, low, guides, False)
    again, found = gradients(net, low, guides, True)
    assert torch.equal(loss, again)
    for name, expected in plain.items():
        if expected is not None:
            assert torch.equal(found[name], expected), name


def test_under_autocast_too():
    net = network(refine={"guide_gate": True})
    low, guides = inputs()

    def context():
        return torch.autocast("cpu", torch.bfloat16)

    exact = gradients(net, low, guides, False)[1]
    loss, plain = gradients(net, low, guides, False, context)
    again, found = gradients(net, low, guides, True, context)
    assert torch.equal(loss, again)
    assert any(not torch.equal(exact[n], g) for n, g in plain.items() if g is not None)
    for name, expected in plain.items():
        if expected is not None:
            assert torch.equal(found[name], expected), name


def test_an_evaluation_inside_autocast_leaves_later_gradients_whole():
    # A cast of a weight, cached without gradients, must not serve a pass that needs them.
    net = network()
    low, guides = inputs()
    plain = gradients(net, low, guides, False, lambda: torch.autocast("cpu", torch.bfloat16))[1]
    net.zero_grad(set_to_none=True)
    net.checkpoint_activations = True
    with torch.autocast("cpu", torch.bfloat16):
        net(low, guides)
        net.checkpoint_activations = False
        loss = objective(net(low, guides))
    loss.backward()
    for name, parameter in net.named_parameters():
        assert torch.equal(parameter.grad, plain[name]), name


def test_frozen_parts_stay_without_gradient():
    net = network()
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name.startswith("refine.head"))
    low, guides = inputs()
    plain = gradients(net, low, guides, False)[1]
    found = gradients(net, low, guides, True)[1]
    assert {n for n, g in found.items() if g is not None} == {
        n for n, _ in net.named_parameters() if n.startswith("refine.head")
    }
    for name, expected in plain.items():
        assert expected is None or torch.equal(found[name], expected), name


def test_gradients_add_up_and_a_graph_is_used_twice():
    net = network()
    low, guides = inputs()
    plain = gradients(net, low, guides, False)[1]
    net.zero_grad(set_to_none=True)
    net.checkpoint_activations = True
    loss = objective(net(low, guides))
    loss.backward(retain_graph=True)
    loss.backward()
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(parameter.grad, 2 * plain[name], msg=name)
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def test_a_second_derivative_is_refused():
    net = network()
    net.checkpoint_activations = True
    low, guides = inputs(requires_grad=True)
    image = net(low, guides).image
    with pytest.raises((RuntimeError, ValueError), match="no second derivative"):
        torch.autograd.grad(image.sum(), low, create_graph=True)


def test_weights_changed_between_forward_and_backward_are_refused():
    net = network()
    net.checkpoint_activations = True
    loss = objective(net(*inputs()))
    with torch.no_grad():
        next(net.parameters()).mul_(2)
    with pytest.raises((RuntimeError, ValueError), match="changed between forward and backward"):
        loss.backward()


def test_hooks_on_parameters_are_called_once():
    net = network()
    net.checkpoint_activations = True
    calls = []
    name, parameter = next(iter(net.named_parameters()))
    parameter.register_hook(lambda gradient: calls.append(name))
    objective(net(*inputs())).backward()
    assert calls == [name]


def test_the_network_may_be_gone_before_the_backward_pass():
    net = network()
    low, guides = inputs(requires_grad=True)
    net.checkpoint_activations = True
    loss = objective(net(low, guides))
    del net
    loss.backward()
    assert low.grad.abs().sum() > 0


def test_it_is_off_at_first_and_copies_keep_it():
    net = network()
    assert net.checkpoint_activations is False
    net.checkpoint_activations = True
    assert copy.deepcopy(net).checkpoint_activations is True
    assert pickle.loads(pickle.dumps(net)).checkpoint_activations is True
    assert "checkpoint_activations" not in net.options


def test_traces_and_inference_see_the_plain_network():
    net = network().eval()
    low, guides = inputs()

    def image(low, guides):
        return net(low, guides).image

    def operators(on):
        net.checkpoint_activations = on
        graph = make_fx(image, pre_dispatch=True)(low, guides)
        assert torch.equal(graph(low, guides), net(low, guides).image)
        return [str(node.target) for node in graph.graph.nodes]

    assert operators(True) == operators(False)
    net.checkpoint_activations = True
    with torch.inference_mode():
        assert torch.equal(net(low, guides).image, image(low, guides))


def test_less_is_kept_between_forward_and_backward():
    net = network(width=16, scale=8, refine={"guide_gate": True})
    generator = torch.Generator().manual_seed(5)
    low = torch.rand(1, 1, 16, 16, generator=generator)
    guides = {n: torch.rand(1, b, 128, 128, generator=generator) for n, b in GUIDES.items()}

    def kept(on):
        net.checkpoint_activations = on
        storages = {}

        def pack(tensor):
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            output = net(low, guides)
        size = sum(storages.values())
        objective(output).backward()
        return size

    assert kept(True) < 0.45 * kept(False)
