"""Depthwise convolution on the CPU against PyTorch in both layouts and ONNX Runtime.

C32 512 x 512: 5 x 5, 7 x 7 with dilation 3, 23 x 23; own in both layouts, each against the best
rival whatever its layout. Every contender is first checked against float64.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from protocol import Row, compare, fastest

from deeplight import functional

CHANNELS, SIZE = 32, 512
KERNELS = ((5, 1), (7, 3), (23, 1))
Run = Callable[[], torch.Tensor]


def _onnx(x: torch.Tensor, w: torch.Tensor, pad: int, dilation: int, threads: int) -> Run | None:
    try:
        import onnxruntime
        from onnx import TensorProto, helper
    except ImportError:
        return None
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, list(tensor.shape))
        for name, tensor in (("x", x), ("w", w))
    ]
    node = helper.make_node(
        "Conv", ["x", "w"], ["out"], group=CHANNELS, pads=[pad] * 4, dilations=[dilation] * 2
    )
    output = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "depthwise", inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)])
    model.ir_version = 9
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Its threads must not spin while another contender is timed.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed = {"x": x.numpy(), "w": w.numpy()}
    return lambda: torch.from_numpy(session.run(None, feed)[0])


def _forward(kernel: int, dilation: int, threads: int, rounds: int) -> list[Row]:
    torch.manual_seed(0)
    pad = dilation * (kernel - 1) // 2
    plain, w = torch.randn(1, CHANNELS, SIZE, SIZE), torch.randn(CHANNELS, 1, kernel, kernel)
    last = plain.to(memory_format=torch.channels_last)
    own = {
        "planes": lambda: functional.depthwise_conv2d(plain, w, None, pad, dilation),
        "channels-last": lambda: functional.depthwise_conv2d(last, w, None, pad, dilation),
    }
    rivals: dict[str, Run] = {
        "PyTorch": lambda: F.conv2d(plain, w, None, 1, pad, dilation, CHANNELS),
        "PyTorch channels-last": lambda: F.conv2d(last, w, None, 1, pad, dilation, CHANNELS),
    }
    runtime = _onnx(plain, w, pad, dilation, threads)
    if runtime is not None:
        rivals["ONNX Runtime"] = runtime
    exact = functional.depthwise_conv2d(plain.double(), w.double(), None, pad, dilation)
    for run in (*own.values(), *rivals.values()):
        assert float((run().double() - exact).abs().max()) < 1e-5 * float(exact.abs().max())
    best, result = fastest(rivals), []
    macs = float(CHANNELS * SIZE * SIZE * kernel * kernel)
    for layout, run in own.items():
        measured = compare(run, rivals[best], min(rounds, 9) if kernel > 7 else rounds)
        name = f"depthwise {kernel}x{kernel} d{dilation}, {layout}"
        row = Row(name, f"C{CHANNELS} {SIZE}x{SIZE}", threads, best, *measured)
        result.append(row.against_roofline(macs, 2.0 * plain.nbytes))
    return result


def _backward(kernel: int, dilation: int, threads: int, rounds: int) -> list[Row]:
    """Gradients of image and weight, from which PyTorch's graph is left out on both sides."""
    torch.manual_seed(0)
    pad = dilation * (kernel - 1) // 2
    plain, w = torch.randn(1, CHANNELS, SIZE, SIZE), torch.randn(CHANNELS, 1, kernel, kernel)
    grad = torch.randn_like(plain)
    images = {"planes": (plain, grad)}
    images["channels-last"] = tuple(t.to(memory_format=torch.channels_last) for t in (plain, grad))

    def own(x: torch.Tensor, g: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.ops.deeplight.depthwise_conv2d_backward(g, x, w, [pad] * 2, [dilation] * 2)

    def theirs(x: torch.Tensor, g: torch.Tensor, w: torch.Tensor = w) -> tuple[torch.Tensor, ...]:
        return torch.ops.aten.convolution_backward(
            g, x, w, [CHANNELS], [1, 1], [pad] * 2, [dilation] * 2, False, [0, 0], CHANNELS,
            [True, True, True],
        )  # fmt: skip

    rivals: dict[str, Run] = {
        "PyTorch": partial(theirs, *images["planes"]),
        "PyTorch channels-last": partial(theirs, *images["channels-last"]),
    }
    small = [t[:, :, :64, :64].contiguous() for t in images["planes"]]
    for exact, ours in zip(
        theirs(*(t.double() for t in small), w.double()), own(*small), strict=True
    ):
        assert float((ours.double() - exact).abs().max()) < 1e-5 * float(exact.abs().max())
    best, result = fastest(rivals), []
    for layout, tensors in images.items():
        measured = compare(partial(own, *tensors), rivals[best], min(rounds, 9))
        name = f"depthwise {kernel}x{kernel} d{dilation} backward, {layout}"
        row = Row(name, f"C{CHANNELS} {SIZE}x{SIZE}", threads, best, *measured)
        macs = 2.0 * CHANNELS * SIZE * SIZE * kernel * kernel
        result.append(row.against_roofline(macs, 3.0 * plain.nbytes))
    return result


def rows(rounds: int) -> list[Row]:
    """Forward of every kernel and backward of the smaller ones, at one and two threads."""
    result = []
    with torch.no_grad():
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for kernel, dilation in KERNELS:
                result += _forward(kernel, dilation, threads, rounds)
            for kernel, dilation in KERNELS[:2]:
                result += _backward(kernel, dilation, threads, rounds)
    return result
