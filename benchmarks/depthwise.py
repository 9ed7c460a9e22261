"""Depthwise convolution on the CPU against PyTorch in both layouts and ONNX Runtime.

C32 512 x 512: 5 x 5, 7 x 7 with dilation 3, 23 x 23; own in both layouts, each against the best
rival whatever its layout. Every contender is first checked against float64. The share of the peak
counts multiply-adds against a loop of multiply-adds alone on as many threads.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from protocol import Row, compare

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


def _best(contenders: dict[str, Run]) -> str:
    """The fastest of a few runs: the rival that the rounds are spent on."""
    names = list(contenders)
    best = names[0]
    for name in names[1:]:
        if compare(contenders[best], contenders[name], 2)[2] < 1:
            best = name
    return best


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
    best, result = _best(rivals), []
    macs = float(CHANNELS * SIZE * SIZE * kernel * kernel)
    for layout, run in own.items():
        measured = compare(run, rivals[best], min(rounds, 9) if kernel > 7 else rounds)
        name = f"depthwise {kernel}x{kernel} d{dilation}, {layout}"
        row = Row(name, f"C{CHANNELS} {SIZE}x{SIZE}", threads, best, *measured)
        row.peak = macs / (row.own_ms * 1e-3) / torch.ops.deeplight.fma_peak(threads)
        result.append(row)
    return result


def rows(rounds: int) -> list[Row]:
    """Forward at one and two threads."""
    result = []
    with torch.no_grad():
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for kernel, dilation in KERNELS:
                result += _forward(kernel, dilation, threads, rounds)
    return result
