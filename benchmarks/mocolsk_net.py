"""MoCoLSK-Net and its core against the same modules in PyTorch, eager in the better layout.

The rival is the tests' plain twin, with the same parameters. The whole network is measured at x8 on
one 128 x 128 patch, the core at 32 channels of 128 x 128 and 512 x 512; forward and training step,
two threads. Prints the memory of a training step with and without checkpointing: what it keeps for
its backward pass, and the peak above what the process held before it.

DEEPLIGHT_BENCH_COMPILE=1 adds `torch.compile`, whose compilation takes minutes;
DEEPLIGHT_BENCH_LONG=1 adds one thread, and the peak of a checkpointed step at 512 x 512.
"""

from __future__ import annotations

import copy
import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from module_rows import LAST, rows_of, training_step
from protocol import Row

import deeplight
from deeplight import nn

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "python"))
import reference_mocolsk_net as reference

SCALE, PATCH, MEMORY_PATCH = 8, 128, 512
KINDS = ("own", "own, checkpointed", "twin")
LONG = os.environ.get("DEEPLIGHT_BENCH_LONG") == "1"


def _core(size: int, rounds: int) -> list[Row]:
    options = deeplight.create_model("mocolsk_net", width=2, stages=1).options | {"width": 32}
    core = nn.MoCoLSK()
    plain = reference.MoCoLSK(32, options, "spatial")
    plain.load_state_dict(core.state_dict())
    maps = torch.randn(2, 1, 32, size, size)
    small = (maps[0, :, :, :48, :40], maps[1, :, :, :48, :40])
    exact = copy.deepcopy(plain).double()(*(image.double() for image in small))
    for module in (core, plain):
        torch.testing.assert_close(module(*small).double(), exact, rtol=1e-4, atol=1e-5)
    arguments = (maps[0].requires_grad_(), maps[1].requires_grad_())
    last = tuple(a.detach().to(memory_format=LAST).requires_grad_() for a in arguments)
    shape = f"C32 {size}x{size}"
    return rows_of("MoCoLSK core", shape, core, plain, arguments, last, (rounds, rounds))


def _inputs(size: int, layout: torch.memory_format = torch.contiguous_format) -> tuple:
    low, guide = torch.randn(1, 1, size // SCALE, size // SCALE), torch.randn(1, 10, size, size)
    return low, {"guide": guide.to(memory_format=layout)}


def _whole(rounds: int) -> list[Row]:
    net = deeplight.create_model("mocolsk_net", scale=SCALE)
    plain = reference.twin(net)
    low, guides = _inputs(4 * SCALE)
    with torch.no_grad():
        exact = copy.deepcopy(plain).double()(low.double(), {"guide": guides["guide"].double()})
        for image in (net(low, guides).image, plain(low, guides)):
            torch.testing.assert_close(image.double(), exact, rtol=1e-3, atol=1e-4)
    arguments, last = _inputs(PATCH), _inputs(PATCH, LAST)
    shape = f"{PATCH}x{PATCH} x{SCALE}"
    return rows_of("MoCoLSK-Net", shape, net, plain, arguments, last, (rounds, rounds))


def _module(kind: str) -> torch.nn.Module:
    net = deeplight.create_model("mocolsk_net", scale=SCALE)
    if kind == "twin":
        return reference.twin(net)
    net.checkpoint_activations = "checkpointed" in kind
    return net


def kept_bytes(kind: str, size: int) -> int:
    """Bytes that one forward pass on a size x size patch keeps for its backward pass."""
    module = _module(kind)
    parameters = {p.untyped_storage().data_ptr() for p in module.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = module(*_inputs(size))
    del output
    return sum(kept.values())


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (value,) = (line.split()[1] for line in lines if line.startswith(field + ":"))
    return int(value) * 1024


def step_peak(kind: str, size: int) -> int:
    """Peak bytes of one training step above what this process holds before it."""
    module = _module(kind)
    step = training_step(module, *_inputs(size))
    training_step(module, *_inputs(2 * SCALE))()  # what is allocated once
    gc.collect()
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    step()
    return _resident("VmHWM") - before


def _in_a_process(function: Callable[[str, int], int], kind: str, size: int) -> int:
    code = f"import mocolsk_net\nprint(mocolsk_net.{function.__name__}({kind!r}, {size}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, check=True,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return int(done.stdout)


def print_memory() -> None:
    """Memory of a training step at x8, batch 1, in float32."""
    for kind in KINDS:
        small, large = kept_bytes(kind, PATCH // 2), kept_bytes(kind, PATCH)
        peak = _in_a_process(step_peak, kind, PATCH)
        # Everything but a few vectors grows with the pixels: two sizes give the line.
        pixels = (MEMORY_PATCH**2 - (PATCH // 2) ** 2) / (PATCH**2 - (PATCH // 2) ** 2)
        whole = small + (large - small) * pixels
        print(
            f"training step, {kind}: at {PATCH} x {PATCH} it keeps {large / 2**20:.0f} MiB, peak "
            f"{peak / 2**20:.0f} MiB; at {MEMORY_PATCH} x {MEMORY_PATCH} it keeps "
            f"{whole / 2**30:.2f} GiB (extrapolated)"
        )
    if LONG:
        peak = _in_a_process(step_peak, "own, checkpointed", MEMORY_PATCH)
        print(
            f"training step, own, checkpointed: at {MEMORY_PATCH} x {MEMORY_PATCH} peak "
            f"{peak / 2**30:.2f} GiB"
        )


def rows(rounds: int) -> list[Row]:
    """Forward and training step of the core and of the whole network."""
    result = []
    for threads in (1, 2) if LONG else (2,):
        torch.set_num_threads(threads)
        result += _core(PATCH, rounds) + _core(MEMORY_PATCH, rounds) + _whole(rounds)
    print_memory()
    return result
