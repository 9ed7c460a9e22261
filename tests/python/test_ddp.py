"""Two processes on gloo train one network: gradients are averaged through the adopted module."""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

import deeplight


def _inputs(rank):
    generator = torch.Generator().manual_seed(100 + rank)
    low = torch.randn(1, 1, 8, 8, generator=generator)
    return low, {"dem": torch.randn(1, 1, 16, 16, generator=generator)}


def _network():
    torch.manual_seed(0)
    return deeplight.create_model("deeplight_sr", scale=2, width=8, guides={"dem": 1})


def _loss(output):
    return sum(p.pow(2).mean() for p in output.pyramid) + output.auxiliary_logits.mean()


def _worker(rank, store, results):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    net = torch.nn.parallel.DistributedDataParallel(_network())
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    low, guides = _inputs(rank)
    _loss(net(low, guides)).backward()
    optimiser.step()
    results[rank] = [p.detach().numpy().copy() for p in net.parameters()]
    dist.destroy_process_group()


def test_two_processes_equal_one_averaged_step(tmp_path):
    with mp.Manager() as manager:
        results = manager.dict()
        mp.spawn(_worker, args=(str(tmp_path / "store"), results), nprocs=2)
        first, second = results[0], results[1]
    net = _network()
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    losses = [_loss(net(*_inputs(rank))) for rank in (0, 1)]
    (sum(losses) / 2).backward()
    optimiser.step()
    for a, b, expected in zip(first, second, net.parameters(), strict=True):
        assert (a == b).all()
        torch.testing.assert_close(torch.from_numpy(a), expected.detach(), rtol=1e-4, atol=1e-6)
