"""Guards against operators that became slow: ratios within one process, never seconds.

Each ratio is the least time of own and rival over interleaved rounds, in processor time of one
thread, so that other programs hardly matter. The bars are about half of what a quiet machine
shows; figures to quote come from `./dev bench`.
"""

from __future__ import annotations

import time

import pytest
import torch
import torch.nn.functional as F
import torchvision

from deeplight import functional
from large_kernel_cases import simd_levels

pytestmark = pytest.mark.skipif(
    not {"avx2", "avx512"} & set(simd_levels()), reason="the bars are those of wide vectors"
)
LAST = torch.channels_last


def seconds(run):
    start = time.thread_time()
    run()
    return time.thread_time() - start


def ratio(own, rivals, bar):
    """Times that `own` is as fast as the fastest rival; stops early once the bar is reached."""
    for run in (own, *rivals):
        run()
    best, least = float("inf"), [float("inf")] * len(rivals)
    for _ in range(8):
        best = min(best, seconds(own))
        least = [min(a, seconds(run)) for a, run in zip(least, rivals, strict=True)]
        if min(least) > 1.3 * bar * best:
            break
    return min(least) / best


@pytest.fixture(autouse=True)
def one_thread():
    kept = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with torch.no_grad():
        yield
    torch.set_num_threads(kept)


def deform_conv():
    case = {
        "input": torch.randn(1, 32, 96, 96), "offset": torch.randn(1, 18, 96, 96),
        "weight": torch.randn(32, 32, 3, 3), "bias": torch.randn(32),
        "mask": torch.rand(1, 9, 96, 96),
    }  # fmt: skip
    rival = torchvision.ops.deform_conv2d
    return (
        lambda: functional.deform_conv2d(**case, padding=1), [lambda: rival(**case, padding=1)]
    )  # fmt: skip


def conv3x3(outputs=96):
    image = torch.randn(1, 96, 96, 96).to(memory_format=LAST)
    layer = torch.nn.Conv2d(96, outputs, 3, padding=1)
    last = torch.nn.Conv2d(96, outputs, 3, padding=1).to(memory_format=LAST)
    own = torch.ops.deeplight.conv3x3
    return (
        lambda: own(image, layer.weight, layer.bias, 0.2),
        [lambda: F.leaky_relu_(layer(image), 0.2), lambda: F.leaky_relu_(last(image), 0.2)],
    )


def depthwise(kernel, dilation):
    pad = dilation * (kernel - 1) // 2
    image, weight = torch.randn(1, 32, 192, 192), torch.randn(32, 1, kernel, kernel)

    def conv(x):
        return F.conv2d(x, weight, None, 1, pad, dilation, 32)

    return (
        lambda: functional.depthwise_conv2d(image, weight, None, pad, dilation),
        [lambda: conv(image), lambda: conv(image.contiguous(memory_format=LAST)).contiguous()],
    )


def dynamic():
    image, kernel = torch.randn(4, 2, 192, 192), torch.randn(4, 2, 2, 3, 3)

    def grouped():
        return F.conv2d(image.flatten(0, 1)[None], kernel.flatten(0, 1), None, 1, 1, groups=4)

    return lambda: functional.dynamic_conv2d(image, kernel, 1), [grouped]


def pixel_shuffle():
    image, weight = torch.randn(1, 64, 96, 96), torch.randn(256, 64, 1, 1)
    bias, zeros = torch.randn(256), torch.zeros(64)
    layouts = (image, image.to(memory_format=LAST))
    return (
        lambda: functional.pixel_shuffle_conv1x1(image, weight, bias, 2, slope=zeros),
        [lambda x=x: F.relu(F.pixel_shuffle(F.conv2d(x, weight, bias), 2)) for x in layouts],
    )


def warp():
    image, theta = torch.randn(1, 4, 256, 256), torch.tensor([[[1.01, 0.02, 0.0], [0.01, 1, 0.1]]])

    def grid():
        grid = F.affine_grid(theta, list(image.shape), align_corners=False)
        return F.grid_sample(image, grid, align_corners=False)

    return lambda: functional.affine_warp(image, theta), [grid]


def projection():
    image, weight = torch.randn(1, 32, 32, 32), torch.randn(32, 32, 12, 12)
    layouts = (image, image.to(memory_format=LAST))
    return (
        lambda: functional.projection_conv_transpose2d(image, weight, None, 8, 2),
        [lambda x=x: F.conv_transpose2d(x, weight, None, 8, 2) for x in layouts],
    )


@pytest.mark.parametrize(
    "bar, make",
    [
        (1.5, conv3x3),
        (1.5, lambda: conv3x3(1)),
        (5.0, deform_conv),
        (0.9, lambda: depthwise(5, 1)),
        (2.5, lambda: depthwise(7, 3)),
        (2.5, dynamic),
        (1.1, pixel_shuffle),
        (1.3, warp),
        (0.7, projection),
    ],
    ids=[
        "conv3x3",
        "conv3x3_head",
        "deform",
        "depthwise5",
        "depthwise7",
        "dynamic",
        "pixel_shuffle",
        "warp",
        "projection",
    ],
)
def test_is_not_slower_than_it_was(bar, make):
    own, rivals = make()
    # A second look, since a neighbour can spoil the caches of all rounds.
    assert max(ratio(own, rivals, bar) for _ in range(2)) >= bar
