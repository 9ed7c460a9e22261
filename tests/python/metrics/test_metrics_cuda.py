"""Scores on a GPU are those of the CPU; skipped where there is none."""

import pytest
import torch
from test_degenerate import EVERY, PAIRS, call, pair

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_cuda_equals_the_cpu(name, dtype):
    p, t = (x.to(dtype) for x in pair(shape=(2, 1, 40, 44)))
    mask = torch.rand(2, 1, 40, 44, generator=torch.Generator().manual_seed(0)) > 0.01
    got = call(name, p.cuda(), t.cuda(), mask=mask.cuda(), reduction="none")
    assert got.device.type == "cuda" and got.dtype == torch.float64
    expected = call(name, p, t, mask=mask, reduction="none")
    torch.testing.assert_close(got.cpu(), expected, rtol=1e-10, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("name", PAIRS)
def test_gradients_on_cuda_are_those_of_the_cpu(name):
    gradients = []
    for device in ("cpu", "cuda"):
        p, t = (x.to(device) for x in pair())
        p.requires_grad_()
        value = call(name, p, t)
        if not value.requires_grad:
            pytest.skip("not differentiable")
        gradients.append(torch.autograd.grad(value, p)[0].cpu())
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-8, atol=1e-12)
