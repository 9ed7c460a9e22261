"""MoCoLSK-Net and its core against the same modules in PyTorch, eager in the better layout.

The rival is the tests' plain twin, with the same parameters. The whole network is measured at x8 on
one 128 x 128 patch, forward and training step; the core at 32 channels of 512 x 512. A row takes a
fifth of the rounds where one run takes seconds. DEEPLIGHT_BENCH_COMPILE=1 adds `torch.compile`,
whose compilation takes minutes. Prints what a training step keeps for its backward pass.
"""

from __future__ import annotations

import copy
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from protocol import Row, compare

import deeplight
from deeplight import nn

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "python"))
import reference_mocolsk_net as reference

THREADS = 2
LAST = torch.channels_last
Run = Callable[[], object]


def _faster(candidates: dict[str, Run]) -> tuple[str, Run]:
    """The rival's best memory layout, by the shorter of two runs each."""

    def seconds(run: Run) -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    best = {name: min(seconds(run) for _ in range(2)) for name, run in candidates.items()}
    name = min(best, key=best.__getitem__)
    return name, candidates[name]


def _training_step(module: torch.nn.Module, *inputs: object) -> Run:
    parameters = list(module.parameters())

    def run() -> None:
        output = module(*inputs)
        image = getattr(output, "image", output)
        torch.autograd.grad(image.abs().mean(), parameters)

    return run


def _forward(module: torch.nn.Module, *inputs: object) -> Run:
    def run() -> object:
        with torch.no_grad():
            return module(*inputs)

    return run


def _compare(item: str, shape: str, own: Run, rivals: dict[str, Run], rounds: int) -> Row:
    name, rival = _faster(rivals)
    return Row(item, shape, THREADS, name, *compare(own, rival, rounds))


def _rivals(
    plain: torch.nn.Module, make: Callable[..., Run], arguments: tuple, last: tuple
) -> dict[str, Run]:
    return {
        "PyTorch eager, contiguous": make(plain, *arguments),
        "PyTorch eager, channels last": make(copy.deepcopy(plain).to(memory_format=LAST), *last),
    }


def _compiled(plain: torch.nn.Module, make: Callable[..., Run], arguments: tuple) -> dict[str, Run]:
    if os.environ.get("DEEPLIGHT_BENCH_COMPILE") != "1":
        return {}
    return {"torch.compile": make(torch.compile(copy.deepcopy(plain)), *arguments)}


def _rows_of(
    item: str, shape: str, own: torch.nn.Module, plain: torch.nn.Module, arguments: tuple,
    last: tuple, rounds: tuple[int, int],
) -> list[Row]:  # fmt: skip
    rows = []
    kinds = zip(("forward", "training step"), (_forward, _training_step), rounds, strict=True)
    for kind, make, count in kinds:
        run = make(own, *arguments)
        rows.append(
            _compare(f"{item} {kind}", shape, run, _rivals(plain, make, arguments, last), count)
        )
        for name, rival in _compiled(plain, make, arguments).items():
            rows.append(_compare(f"{item} {kind}", shape, run, {name: rival}, max(count // 3, 3)))
    return rows


def _core(rounds: int) -> list[Row]:
    options = deeplight.create_model("mocolsk_net", width=2, stages=1).options | {"width": 32}
    core = nn.MoCoLSK()
    plain = reference.MoCoLSK(32, options, "spatial")
    plain.load_state_dict(core.state_dict())
    maps = torch.randn(2, 1, 32, 512, 512)
    small = (maps[0, :, :, :48, :40].double(), maps[1, :, :, :48, :40].double())
    torch.testing.assert_close(copy.deepcopy(core).double()(*small), plain.double()(*small))
    plain.float()
    arguments = (maps[0].requires_grad_(), maps[1].requires_grad_())
    last = tuple(a.detach().to(memory_format=LAST).requires_grad_() for a in arguments)
    counts = (rounds, max(rounds // 2, 3))
    return _rows_of("MoCoLSK core", "C32 512x512", core, plain, arguments, last, counts)


def _whole(rounds: int) -> list[Row]:
    net = deeplight.create_model("mocolsk_net")
    plain = reference.twin(net)
    low, guide = torch.randn(1, 1, 16, 16), torch.randn(1, 10, 128, 128)
    with torch.no_grad():
        expected = plain(low, {"guide": guide})
        torch.testing.assert_close(net(low, {"guide": guide}).image, expected, rtol=1e-3, atol=1e-4)
    arguments = (low, {"guide": guide})
    last = (low, {"guide": guide.to(memory_format=LAST)})
    counts = (max(rounds // 5, 3), max(rounds // 5, 3))
    return _rows_of("MoCoLSK-Net", "128x128 x8", net, plain, arguments, last, counts)


def kept_bytes(net: torch.nn.Module, size: int) -> int:
    """Bytes that one forward pass on a size x size patch keeps for its backward pass."""
    parameters = {p.untyped_storage().data_ptr() for p in net.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    low, guide = torch.randn(1, 1, size // 8, size // 8), torch.randn(1, 10, size, size)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = net(low, {"guide": guide})
    del output
    return sum(kept.values())


def print_memory() -> None:
    """Activation memory of a training step at x8, batch 1, in float32."""
    net = deeplight.create_model("mocolsk_net")
    for name, module in (("own", net), ("own, checkpointed", net), ("twin", reference.twin(net))):
        net.checkpoint_activations = "checkpointed" in name
        small, large = kept_bytes(module, 64), kept_bytes(module, 128)
        # Everything but a few vectors grows with the pixels: 64 x 64 and 128 x 128 give the line.
        whole = small + (large - small) * (512**2 - 64**2) / (128**2 - 64**2)
        print(
            f"activations kept by a training step, {name}: {large / 2**20:.0f} MiB at 128 x 128, "
            f"{whole / 2**30:.2f} GiB at 512 x 512 (extrapolated)"
        )


def rows(rounds: int) -> list[Row]:
    """Forward and training step of the core and of the whole network; two threads."""
    torch.set_num_threads(THREADS)
    print_memory()
    return _core(rounds) + _whole(rounds)
