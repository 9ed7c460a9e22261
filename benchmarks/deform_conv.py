"""Deformable convolution on the CPU against torchvision and ONNX Runtime, forward and backward.

Every contender is first checked against float64. The roofline counts multiply-adds of the product
and of the interpolation. Its note adds what that leaves out: each output position gathers four
neighbours of every tap and channel from the cache, and a block is sampled before it is multiplied;
the share is that of both, one after the other, the gathering at the speed of a loop that only reads
as much from L2. ONNX Runtime wakes its own threads; its session is made with as many as torch uses.
"""

from __future__ import annotations

from collections.abc import Callable

import onnxruntime
import torch
import torchvision
from onnx import TensorProto, helper
from protocol import Row, compare

from deeplight import functional

ORDER = ("input", "weight", "offset", "bias", "mask")


def _inputs(
    channels: int, size: int, dtype: torch.dtype = torch.float32
) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "input": (1, channels, size, size),
        "offset": (1, 18, size, size),
        "weight": (channels, channels, 3, 3),
        "bias": (channels,),
        "mask": (1, 9, size, size),
    }
    return {name: torch.randn(*s, generator=generator).to(dtype) for name, s in shapes.items()}


def _onnx_session(case: dict[str, torch.Tensor], threads: int) -> Callable[[], torch.Tensor]:
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, list(case[name].shape))
        for name in ORDER
    ]
    node = helper.make_node(
        "DeformConv", ORDER, ["out"], kernel_shape=[3, 3], pads=[1] * 4, strides=[1, 1]
    )
    output = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "deform_conv", inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)])
    model.ir_version = 9
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Its threads must not spin while another contender is timed.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed = {name: case[name].numpy() for name in ORDER}
    return lambda: torch.from_numpy(session.run(None, feed)[0])


def _macs(channels: int, size: int) -> float:
    columns = 9.0 * channels * size * size
    return columns * channels + 4 * columns


def _note(row: Row, channels: int, size: int) -> str:
    gathered = 9 * 4 * 4.0 * channels
    seconds = _macs(channels, size) / torch.ops.deeplight.fma_peak(row.threads)
    seconds += gathered * size * size / torch.ops.deeplight.cache_peak(row.threads, 2**19)
    per_mac = gathered / (9 * channels * channels)
    share = seconds / (row.own_ms * 1e-3)
    return f"with {per_mac:.2f} bytes gathered a multiply-add: {share:.0%}"


def _forward(channels: int, size: int, threads: int, rounds: int) -> list[Row]:
    case = _inputs(channels, size)
    last = dict(case, input=case["input"].to(memory_format=torch.channels_last))

    def own() -> torch.Tensor:
        return functional.deform_conv2d(**case, padding=1)

    def vision() -> torch.Tensor:
        return torchvision.ops.deform_conv2d(**case, padding=1)

    runtime = _onnx_session(case, threads)
    exact = torchvision.ops.deform_conv2d(**{n: t.double() for n, t in case.items()}, padding=1)
    # The rivals add position and offset in float32, which rounds the fraction.
    for run, tolerance in ((own, 1e-5), (vision, 1e-3), (runtime, 1e-3)):
        scale = float(exact.abs().max())
        assert float((run().double() - exact).abs().max()) <= tolerance * scale

    def own_last() -> torch.Tensor:
        return functional.deform_conv2d(**last, padding=1)

    rows = []
    for name, ours, rival, count in (
        ("torchvision", own, vision, 5),
        ("ONNX Runtime", own, runtime, rounds),
        ("ONNX Runtime", own_last, runtime, rounds),
    ):
        layout = ", channels-last" if ours is own_last else ""
        measured = compare(ours, rival, min(rounds, count))
        row = Row(
            f"deform_conv2d forward{layout}", f"C{channels} {size}x{size}", threads, name, *measured
        ).against_roofline(_macs(channels, size))
        row.note = _note(row, channels, size)
        rows.append(row)
    return rows


def _backward(channels: int, size: int, threads: int, rounds: int) -> Row:
    case = {name: t.requires_grad_() for name, t in _inputs(channels, size).items()}
    contenders = []
    for function in (functional.deform_conv2d, torchvision.ops.deform_conv2d):
        out = function(**case, padding=1)
        grad = torch.ones_like(out)

        def run(out: torch.Tensor = out, grad: torch.Tensor = grad) -> list[torch.Tensor]:
            with torch.enable_grad():
                return torch.autograd.grad(out, list(case.values()), grad, retain_graph=True)

        contenders.append(run)
    for ours, theirs in zip(*(run() for run in contenders), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-2 * float(theirs.abs().max()))
    measured = compare(*contenders, rounds=min(rounds, 5))
    row = Row(
        "deform_conv2d backward", f"C{channels} {size}x{size}", threads, "torchvision", *measured
    )
    # Two products, the interpolation, the scattering and four dot products.
    columns = 9.0 * channels * size * size
    return row.against_roofline(2 * columns * channels + 12 * columns)


def rows(rounds: int) -> list[Row]:
    """Forward and backward with a mask, 3 x 3, at one and two threads."""
    result = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        with torch.no_grad():
            for channels, size in ((32, 128), (64, 128), (32, 256), (64, 256), (32, 512)):
                result += _forward(channels, size, threads, rounds)
        for channels, size in ((32, 128), (64, 128)):
            result.append(_backward(channels, size, threads, rounds))
    return result
