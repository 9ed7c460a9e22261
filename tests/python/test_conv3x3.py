"""3x3 convolution of inference against PyTorch in float64: values, layouts, threads, gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from conv3x3_cases import LAST, conv3x3_arguments, conv3x3_case, conv3x3_exact
from deeplight import create_model
from large_kernel_cases import simd_level, simd_levels

conv3x3 = torch.ops.deeplight.conv3x3


@pytest.mark.parametrize("level", simd_levels())
def test_random_cases_equal_pytorch_in_float64(level):
    with simd_level(level):
        for seed in range(16):
            conv3x3_case(seed)


def test_the_error_is_about_that_of_plain_sums():
    torch.manual_seed(0)
    image = torch.randn(1, 160, 24, 32).to(memory_format=LAST)
    weight, bias = torch.randn(160, 160, 3, 3) / 38, torch.zeros(160)
    wanted = conv3x3_exact(image, weight, bias, 1.0)
    error = float((conv3x3(image, weight, bias, 1.0) - wanted).square().mean().sqrt())
    # In order: each tap's channels, then the taps.
    plain = sum(
        F.pad(image, (1, 1, 1, 1))[:, c, i : i + 24, j : j + 32] * weight[:8, c, i, j, None, None]
        for c in range(160) for i in range(3) for j in range(3)
    )  # fmt: skip
    in_order = float((plain - wanted[:, :8]).square().mean().sqrt())
    # 1.7 times; with the points 0, 1, -1, 2, -2 it is 3.3 times.
    assert in_order > 0.5e-6 and error < 2 * in_order


@pytest.mark.parametrize("outputs", [1, 32])
@pytest.mark.parametrize("size", [(1, 128), (127, 1), (21, 9), (22, 23), (24, 20), (3, 47)])
def test_borders_of_every_phase(size, outputs):
    image = torch.randn(2, 16, *size).to(memory_format=LAST)
    weight, bias = torch.randn(outputs, 16, 3, 3), torch.randn(outputs)
    result = conv3x3(image, weight, bias, 0.2).double()
    torch.testing.assert_close(
        result, conv3x3_exact(image, weight, bias, 0.2), rtol=1e-4, atol=1e-4
    )


def test_every_tap_and_channel_stands_where_it_belongs():
    # One tap of one pair of channels: the image moved, and nothing else.
    image = torch.randn(1, 32, 24, 28).to(memory_format=LAST)
    for tap, (source, target) in enumerate([(0, 47), (31, 0), (17, 16), (5, 30)] * 2 + [(9, 9)]):
        weight = torch.zeros(48, 32, 3, 3)
        weight[target, source, tap // 3, tap % 3] = 1
        wanted = torch.zeros(1, 48, 24, 28)
        padded = F.pad(image[:, source], (1, 1, 1, 1))
        wanted[:, target] = padded[:, tap // 3 : tap // 3 + 24, tap % 3 : tap % 3 + 28]
        result = conv3x3(image, weight, torch.zeros(48), 1.0)
        torch.testing.assert_close(result, wanted, rtol=0, atol=2e-5, check_stride=False)


@pytest.mark.parametrize("outputs", [1, 3, 80])
def test_threads_do_not_change_a_bit(outputs):
    kept, results = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        image = torch.randn(2, 48, 61, 70).to(memory_format=LAST)
        results.append(conv3x3(image, torch.randn(outputs, 48, 3, 3), torch.randn(outputs), 0.2))
    torch.set_num_threads(kept)
    assert torch.equal(*results)


@pytest.mark.parametrize("seed", [3, 23])
def test_a_sample_does_not_see_its_batch(seed):
    image, weight, bias, slope = conv3x3_arguments(seed)
    image = image[:1].expand(3, -1, -1, -1) + torch.randn(3, 1, 1, 1)
    image = image.contiguous(memory_format=LAST).repeat(1, 1, 4, 4).contiguous(memory_format=LAST)
    together = conv3x3(image, weight, bias, slope)
    for i in range(3):
        assert torch.equal(together[i : i + 1], conv3x3(image[i : i + 1], weight, bias, slope))


@pytest.mark.parametrize("slope", [1.0, 0.2, 0.0])
def test_a_nan_stays_and_stays_within_its_tile(slope):
    image = torch.randn(2, 16, 24, 24).to(memory_format=LAST)
    image[1, 3, 9, 14] = float("nan")
    found = torch.isnan(conv3x3(image, torch.randn(16, 16, 3, 3), torch.zeros(16), slope))
    assert found[1, :, 8:11, 13:16].all() and not found[0].any()
    assert not found[1, :, :4].any() and not found[1, :, :, :8].any()


def test_to_few_channels_a_nan_reaches_its_neighbours_and_no_further():
    image = torch.randn(2, 24, 40, 20).to(memory_format=LAST)
    image[1, 3, 16, 5] = float("nan")
    found = torch.isnan(conv3x3(image, torch.randn(2, 24, 3, 3), torch.zeros(2), 0.0))
    wanted = torch.zeros(2, 2, 40, 20, dtype=torch.bool)
    wanted[1, :, 15:18, 4:7] = True
    assert torch.equal(found, wanted)


class TestGradients:
    def test_are_those_of_pytorch(self):
        image, weight, bias, _ = conv3x3_arguments(8)
        image = image.to(memory_format=LAST)
        found = []
        for run in (
            lambda *a: conv3x3(*a, 0.2),
            lambda *a: F.leaky_relu(F.conv2d(*a, padding=1), 0.2),
        ):
            arguments = [t.clone().requires_grad_() for t in (image, weight, bias)]
            output = run(*arguments)
            found.append([output, *torch.autograd.grad(output.square().sum(), arguments)])
        for ours, theirs in zip(*found, strict=True):
            torch.testing.assert_close(ours, theirs)

    def test_a_second_time(self):
        torch.manual_seed(0)
        image = torch.randn(1, 16, 3, 4).double().requires_grad_()
        weight = torch.randn(1, 16, 3, 3).double().requires_grad_()

        def run(image, weight):
            return conv3x3(image, weight, torch.ones(1).double(), 0.2)

        assert torch.autograd.gradcheck(run, (image, weight), fast_mode=True)
        assert torch.autograd.gradgradcheck(run, (image, weight), fast_mode=True)

    def test_forward_ones_are_not_lost(self):
        image, weight, bias, _ = conv3x3_arguments(8)
        image = image.to(memory_format=LAST)
        with torch.no_grad():
            _, tangent = torch.func.jvp(
                lambda x: conv3x3(x, weight, bias, 1.0), (image,), (torch.ones_like(image),)
            )
        wanted = torch.conv2d(torch.ones_like(image), weight, None, padding=1)
        torch.testing.assert_close(tangent, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layout", [torch.contiguous_format, LAST])
def test_opcheck(layout):
    image = torch.randn(1, 16, 24, 24).to(memory_format=layout)
    arguments = (image, torch.randn(16, 16, 3, 3), torch.randn(16), 0.2)
    torch.library.opcheck(conv3x3.default, arguments)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_types_are_pytorchs(dtype):
    image, weight, bias = (t.to(dtype) for t in conv3x3_arguments(5)[:3])
    result = conv3x3(image, weight, bias, 1.0)
    torch.testing.assert_close(result, F.conv2d(image, weight, bias, padding=1))


def test_autocast_is_that_of_a_convolution():
    image = torch.randn(1, 16, 24, 24).to(memory_format=LAST)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = conv3x3(image, torch.randn(16, 16, 3, 3), torch.randn(16), 0.2)
    assert result.dtype == torch.bfloat16


def test_empty():
    weight, bias = torch.randn(16, 16, 3, 3), torch.randn(16)
    assert conv3x3(torch.zeros(0, 16, 9, 9), weight, bias, 0.2).shape == (0, 16, 9, 9)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("image", (4, 7, 9), r"input must be \[B, C, H, W\], got \[4, 7, 9\]"),
        ("weight", (16, 16, 5, 5), r"expected \[O, 16, 3, 3\]"),
        ("weight", (16, 32, 3, 3), r"weight is \[16, 32, 3, 3\], expected \[O, 16, 3, 3\]"),
        ("bias", (4,), r"bias is \[4\], expected \[16\]"),
    ],
)
def test_bad_shapes(name, shape, message):
    arguments = {"image": (1, 16, 9, 9), "weight": (16, 16, 3, 3), "bias": (16,)} | {name: shape}
    with pytest.raises(Exception, match=message):
        conv3x3(*(torch.zeros(s) for s in arguments.values()), 0.2)


def test_a_network_without_gradients_is_the_one_with():
    torch.manual_seed(0)
    net = create_model("mocolsk_net", scale=4, guides={"dem": 1}, width=16, stages=1, reduction=4)
    low, guides = torch.randn(1, 1, 12, 10), {"dem": torch.randn(1, 1, 48, 40)}
    trained = net(low, guides).image
    with torch.no_grad():
        torch.testing.assert_close(net(low, guides).image, trained, rtol=1e-4, atol=1e-4)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with torch.inference_mode():
        net(low, guides)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
