"""Operators on a CUDA device against torchvision and PyTorch, forward and backward.

Times are those of CUDA events on the current stream. Every contender is first checked against the
rival's definition in float64 on the same tensors, and a rival counts in its faster memory layout;
DEEPLIGHT_BENCH_COMPILE=1 adds `torch.compile` to the rivals. float32 is measured with TF32 as
PyTorch's products allow it and without. Rows of deformable convolution note the peak of memory
beside arguments and results, own and rival, as shares of the columns that a full im2col would
store. Without a device there are no rows, and one line says so.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from protocol import Row, compare, fastest

from deeplight import functional

Tensors = dict[str, torch.Tensor]
Run = Callable[[Tensors], torch.Tensor]
NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16"}


@dataclass
class Case:
    """One comparison, of tensors of these shapes."""

    item: str
    shape: str
    own: Run
    rival: Run
    rival_name: str
    shapes: dict[str, tuple[int, ...]]
    columns: int = 0  # elements of a full im2col, where scratch memory is noted
    types: tuple[torch.dtype, ...] = (torch.float32, torch.bfloat16)

    def tensors(self, dtype: torch.dtype, device: str) -> Tensors:
        """Random numbers; weights are scaled so that results are about one."""
        generator = torch.Generator().manual_seed(0)
        made = {}
        for name, shape in self.shapes.items():
            values = torch.randn(*shape, generator=generator)
            if name in ("weight", "first", "second", "expand", "kernel", "selection"):
                values /= torch.Size(shape[-3:]).numel() ** 0.5
            if name == "theta":
                values = torch.eye(2, 3) + 0.02 * values
            made[name] = values.to(device, dtype)
        return made


def _vision(t: Tensors) -> torch.Tensor:
    from torchvision.ops import deform_conv2d

    return deform_conv2d(**t, padding=1)


def _deform(batch: int, channels: int, size: int) -> Case:
    shapes = {
        "input": (batch, channels, size, size),
        "offset": (batch, 18, size, size),
        "weight": (channels, channels, 3, 3),
        "bias": (channels,),
        "mask": (batch, 9, size, size),
    }
    return Case(
        "deform_conv2d", f"B{batch} C{channels} {size}x{size}",
        lambda t: functional.deform_conv2d(**t, padding=1), _vision, "torchvision", shapes,
        columns=9 * batch * channels * size * size,
    )  # fmt: skip


def _depthwise(batch: int, channels: int, size: int, kernel: int, dilation: int) -> Case:
    padding = dilation * (kernel - 1) // 2
    return Case(
        f"depthwise {kernel}x{kernel}/{dilation}", f"B{batch} C{channels} {size}x{size}",
        lambda t: functional.depthwise_conv2d(
            t["input"], t["weight"], padding=padding, dilation=dilation
        ),
        lambda t: F.conv2d(t["input"], t["weight"], None, 1, padding, dilation, channels),
        "PyTorch",
        {"input": (batch, channels, size, size), "weight": (channels, 1, kernel, kernel)},
    )  # fmt: skip


def _selective_eager(t: Tensors) -> torch.Tensor:
    channels = t["input"].shape[1]
    near = F.conv2d(t["input"], t["first"], None, 1, 2, 1, channels)
    far = F.conv2d(near, t["second"], None, 1, 9, 3, channels)
    near, far = F.conv2d(near, t["first_squeeze"]), F.conv2d(far, t["second_squeeze"])
    both = torch.cat([near, far], 1)
    maps = torch.cat([both.mean(1, keepdim=True), both.max(1, keepdim=True)[0]], 1)
    gates = F.conv2d(maps, t["selection"], None, 1, 1).sigmoid()
    mixed = near * gates[:, :1] + far * gates[:, 1:]
    return t["multiplier"] * F.conv2d(mixed, t["expand"])


def _selective(batch: int, channels: int, size: int) -> Case:
    half = channels // 2
    return Case(
        "large_selective_kernel", f"B{batch} C{channels} {size}x{size}",
        lambda t: functional.large_selective_kernel(**t), _selective_eager, "PyTorch",
        {
            "input": (batch, channels, size, size),
            "multiplier": (batch, channels, size, size),
            "first": (channels, 1, 5, 5),
            "second": (channels, 1, 7, 7),
            "first_squeeze": (half, channels, 1, 1),
            "second_squeeze": (half, channels, 1, 1),
            "selection": (2, 2, 3, 3),
            "expand": (channels, half, 1, 1),
        },
        # In bfloat16 the maximum of two channels changes hands, and gradients with it.
        types=(torch.float32,),
    )  # fmt: skip


def _grouped(t: Tensors) -> torch.Tensor:
    x, k = t["input"], t["kernel"]
    out = F.conv2d(x.flatten(0, 1)[None], k.flatten(0, 1), None, 1, 1, groups=len(x))
    return out.view(len(x), k.shape[1], *x.shape[2:])


def _dynamic(batch: int, channels: int, size: int) -> Case:
    return Case(
        "dynamic_conv2d", f"B{batch} {channels}->{channels} {size}x{size}",
        lambda t: functional.dynamic_conv2d(t["input"], t["kernel"], 1), _grouped, "PyTorch",
        {
            "input": (batch, channels, size, size),
            "kernel": (batch, channels, channels, 3, 3),
        },
    )  # fmt: skip


def _warp_grid(t: Tensors) -> torch.Tensor:
    grid = F.affine_grid(t["theta"], list(t["input"].shape), align_corners=False)
    return F.grid_sample(t["input"], grid, align_corners=False)


def _warp(batch: int, channels: int, size: int) -> Case:
    return Case(
        "affine warp", f"B{batch} C{channels} {size}x{size}",
        lambda t: functional.affine_warp(t["input"], t["theta"]), _warp_grid, "PyTorch",
        {"input": (batch, channels, size, size), "theta": (batch, 2, 3)},
        # A grid in bfloat16 is off by pixels: there is no rival.
        types=(torch.float32,),
    )  # fmt: skip


def _shuffle(batch: int, channels: int, size: int) -> Case:
    return Case(
        "1x1 + PixelShuffle 2 + PReLU", f"B{batch} C{channels} {size}x{size}",
        lambda t: functional.pixel_shuffle_conv1x1(
            t["input"], t["weight"], t["bias"], 2, slope=t["slope"]
        ),
        lambda t: F.prelu(
            F.pixel_shuffle(F.conv2d(t["input"], t["weight"], t["bias"]), 2), t["slope"]
        ),
        "PyTorch",
        {
            "input": (batch, channels, size, size),
            "weight": (4 * channels, channels, 1, 1),
            "bias": (4 * channels,),
            "slope": (channels,),
        },
    )  # fmt: skip


def _projection(batch: int, channels: int, size: int) -> Case:
    return Case(
        "transposed k12 s8 + PReLU", f"B{batch} C{channels} {size}x{size}",
        lambda t: functional.projection_conv_transpose2d(
            t["input"], t["weight"], t["bias"], 8, 2, slope=t["slope"]
        ),
        lambda t: F.prelu(F.conv_transpose2d(t["input"], t["weight"], t["bias"], 8, 2), t["slope"]),
        "PyTorch",
        {
            "input": (batch, channels, size, size),
            "weight": (channels, channels, 12, 12),
            "bias": (channels,),
            "slope": (channels,),
        },
    )  # fmt: skip


def cases(small: bool = False) -> list[Case]:
    """Every comparison; `small` for a check on any device."""
    if small:
        return [
            _deform(2, 4, 9), _depthwise(1, 3, 20, 7, 3), _selective(1, 4, 12), _dynamic(2, 2, 9),
            _warp(2, 3, 8), _shuffle(1, 4, 6), _projection(1, 3, 4),
        ]  # fmt: skip
    return [
        *(_deform(16, channels, size) for channels in (32, 64) for size in (128, 256)),
        *(_depthwise(16, 32, 512, *kernel) for kernel in ((5, 1), (7, 3), (23, 1))),
        _selective(16, 32, 512), _dynamic(16, 2, 512), _warp(16, 1, 512), _warp(16, 32, 256),
        _shuffle(16, 64, 128), _projection(16, 32, 64),
    ]  # fmt: skip


def last(tensors: Tensors) -> Tensors:
    """The same with images and weights channels-last."""
    return {
        n: t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t
        for n, t in tensors.items()
    }


def step(run: Run, tensors: Tensors) -> Callable[[], list[torch.Tensor]]:
    """The gradients of one forward pass that stands already."""
    leaves = {n: t.detach().clone(memory_format=torch.preserve_format) for n, t in tensors.items()}
    for leaf in leaves.values():
        leaf.requires_grad_()
    with torch.enable_grad():
        out = run(leaves)
    grad = torch.ones_like(out)

    def gradients() -> list[torch.Tensor]:
        return list(torch.autograd.grad(out, list(leaves.values()), grad, retain_graph=True))

    return gradients


def check(case: Case, run: Run, tensors: Tensors, tf32: bool = False) -> None:
    """Raises where a result or gradient is further from float64 than the type explains."""
    dtype = tensors["input"].dtype
    # Rounded operands; the rivals of float32 also add position and offset, or make a grid.
    bound = {torch.float64: 1e-9, torch.float32: 5e-3 if tf32 else 1e-3}.get(dtype, 5e-2)
    exact = {n: t.double() for n, t in tensors.items()}
    pairs = [(run(tensors), case.rival(exact))]
    pairs += zip(step(run, tensors)(), step(case.rival, exact)(), strict=True)
    for ours, expected in pairs:
        scale = float(expected.norm()) or 1.0
        apart = float((ours.double() - expected).norm()) / scale
        if not apart <= bound:
            raise AssertionError(f"{case.item} {case.shape}: {apart:.1e} off, bound {bound:.0e}")


def _seconds(run: Callable[[], object]) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    run()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) * 1e-3


def _scratch(run: Callable[[], torch.Tensor | list[torch.Tensor]]) -> int:
    """Bytes at the peak beside what stood before and the results."""
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    results = run()
    peak = torch.cuda.max_memory_allocated() - before
    kept = [results] if isinstance(results, torch.Tensor) else results
    return peak - sum(t.nbytes for t in kept)


def _rivals(case: Case, tensors: Tensors) -> dict[str, tuple[Run, Tensors]]:
    runs = {case.rival_name: case.rival}
    if os.environ.get("DEEPLIGHT_BENCH_COMPILE") and case.rival_name == "PyTorch":
        runs["torch.compile"] = torch.compile(case.rival)
    layouts = {"": tensors, ", channels-last": last(tensors)}
    return {n + s: (run, layouts[s]) for n, run in runs.items() for s in layouts}


def _measure(case: Case, dtype: torch.dtype, tf32: bool, rounds: int) -> list[Row]:
    tensors = case.tensors(dtype, "cuda")
    rivals, given = {}, dtype
    try:
        case.rival(tensors)
    except RuntimeError:  # torchvision without this type: in float32, as autocast has it
        given = torch.float32
    own_named = {"": tensors, " channels-last": last(tensors)}
    for contender in own_named.values():
        check(case, case.own, contender, tf32)
    for name, (run, arguments) in _rivals(case, case.tensors(given, "cuda")).items():
        check(case, run, arguments, tf32 or given == torch.float32)
        rivals[name if given == dtype else f"{name} (fp32)"] = (run, arguments)
    type_name = "TF32" if tf32 else NAMES[dtype]
    found = []
    for way in ("forward", "backward"):

        def made(
            run: Run, t: Tensors, way: str = way
        ) -> Callable[[], torch.Tensor | list[torch.Tensor]]:
            return step(run, t) if way == "backward" else lambda: run(t)

        own = {n: made(case.own, t) for n, t in own_named.items()}
        others = {n: made(run, t) for n, (run, t) in rivals.items()}
        rival, layout = fastest(others, _seconds), fastest(own, _seconds)
        measured = compare(own[layout], others[rival], rounds, _seconds)
        row = Row(f"{case.item} {way}{layout}", f"{case.shape} {type_name}", 0, rival, *measured)
        if case.columns:
            shares = [
                _scratch(run) / (case.columns * torch.finfo(t).bits / 8)
                for run, t in ((own[layout], dtype), (others[rival], given))
            ]
            row.note = f"scratch {shares[0]:.2%} of im2col, rival {shares[1]:.0%}"
        found.append(row)
    return found


def rows(rounds: int) -> list[Row]:
    """Forward and backward of every case in every type; none without a device."""
    if not torch.cuda.is_available():
        print("cuda_operators: no CUDA device here, nothing measured")
        return []
    found = []
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    try:
        for case in cases():
            for dtype in case.types:
                for tf32 in (False, True) if dtype == torch.float32 else (False,):
                    torch.backends.cuda.matmul.allow_tf32 = tf32
                    torch.backends.cudnn.allow_tf32 = tf32
                    with torch.no_grad():
                        found += _measure(case, dtype, tf32, rounds)
                    torch.cuda.empty_cache()
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
    return found
