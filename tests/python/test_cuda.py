"""What must hold on a GPU; skipped where there is none."""

from __future__ import annotations

import copy

import pytest
import torch

import deeplight
from deeplight import functional

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def deform_case(dtype=torch.float64):
    torch.manual_seed(0)
    return {
        "input": torch.randn(2, 4, 9, 7, dtype=dtype),
        "offset": 2 * torch.randn(2, 36, 9, 7, dtype=dtype),
        "weight": torch.randn(6, 2, 3, 3, dtype=dtype),
        "bias": torch.randn(6, dtype=dtype),
        "mask": torch.rand(2, 18, 9, 7, dtype=dtype),
    }


def test_deform_conv_equals_the_cpu_forward_and_backward():
    results = []
    for device in ("cpu", "cuda"):
        leaves = {n: t.to(device).requires_grad_() for n, t in deform_case().items()}
        out = functional.deform_conv2d(**leaves, padding=1)
        out.pow(2).sum().backward()
        results.append([out.detach().cpu(), *(t.grad.cpu() for t in leaves.values())])
    for ours, expected in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)


def test_deform_conv_gradcheck():
    leaves = [t.cuda().requires_grad_() for t in deform_case().values()]

    def run(image, offset, weight, bias, mask):
        return functional.deform_conv2d(image, offset, weight, bias, padding=1, mask=mask)

    assert torch.autograd.gradcheck(run, leaves, nondet_tol=1e-10)


def test_deform_conv_on_the_current_stream_and_an_empty_batch():
    case = {n: t.cuda() for n, t in deform_case().items()}
    expected = functional.deform_conv2d(**case, padding=1)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        ours = functional.deform_conv2d(**case, padding=1)
    stream.synchronize()
    torch.testing.assert_close(ours, expected)
    empty = {n: t[:0] if n in ("input", "offset", "mask") else t for n, t in case.items()}
    assert functional.deform_conv2d(**empty, padding=1).shape == (0, 6, 9, 7)


@pytest.mark.parametrize("name", deeplight.list_models())
def test_networks_equal_the_cpu(name):
    net = deeplight.create_model(name, guides={"dem": 1}, width=16).double()
    low = torch.randn(2, 1, 16, 12, dtype=torch.float64)
    guides = {"dem": torch.randn(2, 1, 16 * net.scale, 12 * net.scale, dtype=torch.float64)}
    expected = net(low, guides).image
    moved = copy.deepcopy(net).cuda()
    assert all(p.is_cuda for p in moved.parameters())
    ours = moved(low.cuda(), {n: g.cuda() for n, g in guides.items()}).image
    torch.testing.assert_close(ours.cpu(), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", deeplight.list_models())
def test_bf16_autocast_trains(name):
    net = deeplight.create_model(name, guides={"dem": 1}, width=16).cuda()
    low, guide = torch.randn(2, 1, 16, 16).cuda(), torch.randn(2, 1, 128, 128).cuda()
    with torch.autocast("cuda", dtype=torch.bfloat16):
        loss = net(low, {"dem": guide}).image.float().pow(2).mean()
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)
