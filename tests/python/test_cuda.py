"""What must hold on a GPU; skipped where there is none."""

from __future__ import annotations

import copy

import pytest
import torch

import deeplight
from deeplight import functional

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def deform_case(dtype=torch.float64):
    torch.manual_seed(0)
    return {
        "input": torch.randn(2, 4, 9, 7, dtype=dtype),
        "offset": 2 * torch.randn(2, 36, 9, 7, dtype=dtype),
        "weight": torch.randn(6, 2, 3, 3, dtype=dtype),
        "bias": torch.randn(6, dtype=dtype),
        "mask": torch.rand(2, 18, 9, 7, dtype=dtype),
    }


def test_deform_conv_equals_the_cpu_forward_and_backward():
    results = []
    for device in ("cpu", "cuda"):
        leaves = {n: t.to(device).requires_grad_() for n, t in deform_case().items()}
        out = functional.deform_conv2d(**leaves, padding=1)
        out.pow(2).sum().backward()
        results.append([out.detach().cpu(), *(t.grad.cpu() for t in leaves.values())])
    for ours, expected in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)


def test_deform_conv_gradcheck():
    leaves = [t.cuda().requires_grad_() for t in deform_case().values()]

    def run(image, offset, weight, bias, mask):
        return functional.deform_conv2d(image, offset, weight, bias, padding=1, mask=mask)

    assert torch.autograd.gradcheck(run, leaves, nondet_tol=1e-10)


def test_deform_conv_on_the_current_stream_and_an_empty_batch():
    case = {n: t.cuda() for n, t in deform_case().items()}
    expected = functional.deform_conv2d(**case, padding=1)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        ours = functional.deform_conv2d(**case, padding=1)
    stream.synchronize()
    torch.testing.assert_close(ours, expected)
    empty = {n: t[:0] if n in ("input", "offset", "mask") else t for n, t in case.items()}
    assert functional.deform_conv2d(**empty, padding=1).shape == (0, 6, 9, 7)


@pytest.mark.parametrize(
    ("dtype", "bound"),
    [(torch.float32, 2e-6), (torch.bfloat16, 2**-7), (torch.float16, 2**-10)],
)
def test_fused_deform_conv_is_within_its_bound_of_float64(dtype, bound):
    torch.manual_seed(1)
    case = {
        "input": torch.randn(2, 48, 33, 29),
        "offset": 2 * torch.randn(2, 36, 33, 29),
        "weight": torch.randn(70, 24, 3, 3),
        "mask": torch.rand(2, 18, 33, 29),
    }
    case = {n: t.to(dtype) for n, t in case.items()}
    exact = {n: t.double() for n, t in case.items()}
    expected = functional.deform_conv2d(**exact, padding=1)
    magnitude = functional.deform_conv2d(
        exact["input"].abs(), exact["offset"], exact["weight"].abs(), mask=exact["mask"], padding=1
    )
    ours = functional.deform_conv2d(**{n: t.cuda() for n, t in case.items()}, padding=1)
    assert ((ours.double().cpu() - expected).abs() <= bound * magnitude + 1e-12).all()


def test_deform_conv_rounds_to_tf32_only_where_products_may():
    case = {n: t.float().cuda() for n, t in deform_case().items()}
    exact = functional.deform_conv2d(**case, padding=1)
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        rounded = functional.deform_conv2d(**case, padding=1)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    torch.testing.assert_close(rounded, exact, rtol=1e-2, atol=1e-2)


def large_deform_case(dtype, batch=2):
    torch.manual_seed(1)
    case = {
        "input": torch.randn(batch, 48, 33, 29),
        "offset": 2 * torch.randn(batch, 36, 33, 29),
        "weight": torch.randn(70, 24, 3, 3),
        "bias": torch.randn(70),
        "mask": torch.rand(batch, 18, 33, 29),
    }
    return {n: t.to(dtype) for n, t in case.items()}


def deform_gradients(case):
    leaves = {n: t.detach().clone().requires_grad_() for n, t in case.items()}
    functional.deform_conv2d(**leaves, padding=1).sum().backward()
    return {n: t.grad for n, t in leaves.items()}


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize(
    ("dtype", "bound"),
    [(torch.float32, 1e-5), (torch.bfloat16, 2**-6), (torch.float16, 2**-9)],
)
def test_deform_conv_gradients_are_near_those_of_float64_and_repeat(dtype, bound, deterministic):
    case = large_deform_case(dtype)
    expected = deform_gradients({n: t.double() for n, t in case.items()})
    torch.use_deterministic_algorithms(deterministic)
    try:
        ours, again = (deform_gradients({n: t.cuda() for n, t in case.items()}) for _ in range(2))
    finally:
        torch.use_deterministic_algorithms(False)
    for name, exact in expected.items():
        assert ours[name].dtype == dtype
        apart = (ours[name].double().cpu() - exact).norm() / exact.norm()
        assert apart <= bound, name
        if deterministic or name != "input":
            assert torch.equal(ours[name], again[name]), name


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_deform_conv_needs_a_hundredth_of_the_columns(dtype, deterministic):
    batch, channels, size = 16, 64, 128
    shapes = {
        "input": (batch, channels, size, size),
        "offset": (batch, 18, size, size),
        "weight": (channels, channels, 3, 3),
        "mask": (batch, 9, size, size),
    }
    leaves = {n: torch.randn(s).cuda().to(dtype).requires_grad_() for n, s in shapes.items()}
    columns = 9 * leaves["input"].nbytes

    def scratch(run):
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        results = run()
        taken = torch.cuda.max_memory_allocated() - before
        return results, taken - sum(t.nbytes for t in results)

    (out,), forward = scratch(lambda: [functional.deform_conv2d(**leaves, padding=1)])
    grad = torch.randn_like(out)
    torch.use_deterministic_algorithms(deterministic)
    try:
        _, backward = scratch(lambda: torch.autograd.grad(out, list(leaves.values()), grad))
    finally:
        torch.use_deterministic_algorithms(False)
    assert max(forward, backward) <= 0.01 * columns


def on_both(run, leaves):
    """Result and gradients of `run` on the CPU in float64 and on the device, twice."""
    torch.manual_seed(2)
    weights = None
    rounds = []
    for device in ("cpu", "cuda", "cuda"):
        own = [t.detach().to(device).requires_grad_() for t in leaves]
        out = run(*own)
        weights = torch.randn(out.shape, dtype=out.dtype) if weights is None else weights
        (out * weights.to(device)).sum().backward()
        rounds.append([out.detach().cpu(), *(t.grad.cpu() for t in own)])
    expected, ours, again = rounds
    for a, b in zip(ours, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    assert all(torch.equal(a, b) for a, b in zip(ours, again, strict=True))


@pytest.mark.parametrize(
    ("kernel", "padding", "dilation"), [(7, 9, 3), (23, 11, 1), (5, 2, 1), (3, 4, 8), (6, 0, 1)]
)
def test_depthwise_conv_equals_the_cpu_and_repeats(kernel, padding, dilation):
    leaves = [torch.randn(2, 3, 61, 70), torch.randn(3, 1, kernel, kernel), torch.randn(3)]
    on_both(
        lambda x, w, b: functional.depthwise_conv2d(x, w, b, padding=padding, dilation=dilation),
        [t.double() for t in leaves],
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_depthwise_conv_of_narrow_types(dtype):
    image, weight = torch.randn(1, 4, 40, 50), torch.randn(4, 1, 7, 7) / 7
    image, weight = image.to(dtype), weight.to(dtype)
    options = {"padding": 9, "dilation": 3}
    expected = functional.depthwise_conv2d(image.double(), weight.double(), **options)
    magnitude = functional.depthwise_conv2d(image.double().abs(), weight.double().abs(), **options)
    ours = functional.depthwise_conv2d(image.cuda(), weight.cuda(), **options)
    assert ours.dtype == dtype
    bound = 2e-6 * magnitude + torch.finfo(dtype).eps * expected.abs()
    assert ((ours.double().cpu() - expected).abs() <= bound).all()


@pytest.mark.parametrize(("inputs", "outputs", "kernel"), [(2, 2, 7), (3, 5, 3), (16, 16, 3)])
def test_dynamic_conv_equals_the_cpu_and_repeats(inputs, outputs, kernel):
    leaves = [torch.randn(2, inputs, 30, 66), torch.randn(2, outputs, inputs, kernel, kernel)]
    on_both(
        lambda x, k: functional.dynamic_conv2d(x, k, padding=kernel // 2),
        [t.double() for t in leaves],
    )


@pytest.mark.parametrize("per_sample", [False, True])
def test_large_selective_kernel_equals_the_cpu(per_sample):
    torch.manual_seed(3)
    shapes = {
        "first": (6, 1, 5, 5),
        "second": (6, 1, 7, 7),
        "first_squeeze": (3, 6, 1, 1),
        "second_squeeze": (3, 6, 1, 1),
        "selection": (2, 2, 2, 7, 7) if per_sample else (2, 2, 7, 7),
        "expand": (6, 3, 1, 1),
    }
    leaves = {n: torch.randn(s, dtype=torch.float64) for n, s in shapes.items()}
    leaves["input"], leaves["multiplier"] = torch.randn(2, 2, 6, 40, 70, dtype=torch.float64)
    rounds = []
    for device in ("cpu", "cuda"):
        own = {n: t.detach().to(device).requires_grad_() for n, t in leaves.items()}
        out = functional.large_selective_kernel(**own)
        out.pow(2).mean().backward()
        rounds.append([out.detach().cpu(), *(t.grad.cpu() for t in own.values())])
    for ours, expected in zip(rounds[1], rounds[0], strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_affine_warp_equals_the_cpu_and_repeats(padding, align_corners, layout):
    image = torch.randn(2, 11, 17, 23, dtype=torch.float64).to(memory_format=layout)
    theta = torch.tensor([[[1.1, 0.3, 0.2], [-0.2, 0.9, -0.4]]], dtype=torch.float64)
    on_both(
        lambda i, t: functional.affine_warp(
            i, t, padding_mode=padding, align_corners=align_corners
        ),
        [image, theta.repeat(2, 1, 1) + 0.05 * torch.randn(2, 2, 3, dtype=torch.float64)],
    )


@pytest.mark.parametrize("name", deeplight.list_models())
def test_networks_equal_the_cpu(name):
    net = deeplight.create_model(name, guides={"dem": 1}, width=16).double()
    low = torch.randn(2, 1, 16, 12, dtype=torch.float64)
    guides = {"dem": torch.randn(2, 1, 16 * net.scale, 12 * net.scale, dtype=torch.float64)}
    expected = net(low, guides).image
    moved = copy.deepcopy(net).cuda()
    assert all(p.is_cuda for p in moved.parameters())
    ours = moved(low.cuda(), {n: g.cuda() for n, g in guides.items()}).image
    torch.testing.assert_close(ours.cpu(), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", deeplight.list_models())
def test_bf16_autocast_trains(name):
    net = deeplight.create_model(name, guides={"dem": 1}, width=16).cuda()
    low, guide = torch.randn(2, 1, 16, 16).cuda(), torch.randn(2, 1, 128, 128).cuda()
    with torch.autocast("cuda", dtype=torch.bfloat16):
        loss = net(low, {"dem": guide}).image.float().pow(2).mean()
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("inputs", "outputs", "scale"), [(5, 3, 2), (70, 20, 3), (16, 64, 2)])
def test_pixel_shuffle_conv_equals_the_cpu_and_repeats(inputs, outputs, scale, layout):
    area = scale * scale
    leaves = [
        torch.randn(2, inputs, 11, 13).to(memory_format=layout),
        torch.randn(outputs * area, inputs, 1, 1),
        torch.randn(outputs * area),
        torch.rand(outputs),
        torch.randn(2, outputs, 11 * scale, 13 * scale),
    ]
    with torch.backends.cudnn.flags(enabled=True, deterministic=True):
        on_both(
            lambda x, w, b, s, r: functional.pixel_shuffle_conv1x1(
                x, w, b, scale, slope=s, residual=r, alpha=-0.5
            ),
            [t.double() for t in leaves],
        )


@pytest.mark.parametrize(
    ("dtype", "bound"), [(torch.float32, 2e-6), (torch.bfloat16, 2**-8), (torch.float16, 2**-11)]
)
def test_pixel_shuffle_conv_of_narrow_types(dtype, bound):
    torch.manual_seed(4)
    image, weight = torch.randn(2, 70, 9, 17).to(dtype), torch.randn(80, 70, 1, 1).to(dtype)
    expected = functional.pixel_shuffle_conv1x1(image.double(), weight.double(), None, 2)
    magnitude = functional.pixel_shuffle_conv1x1(
        image.double().abs(), weight.double().abs(), None, 2
    )
    ours = functional.pixel_shuffle_conv1x1(image.cuda(), weight.cuda(), None, 2)
    assert ours.dtype == dtype
    apart = (ours.double().cpu() - expected).abs()
    assert (apart <= 2e-6 * magnitude + 1.01 * bound * expected.abs()).all()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("transposed", [False, True])
def test_projections_equal_the_cpu(transposed, layout):
    torch.manual_seed(5)
    size, out = (6, 7), (48, 56)
    if not transposed:
        size, out = out, size
    leaves = [
        torch.randn(2, 5, *size).to(memory_format=layout),
        torch.randn(5, 5, 12, 12),
        torch.randn(5),
        torch.rand(5),
        torch.randn(2, 5, *out),
    ]
    leaves = [t.double() for t in leaves]
    run = functional.projection_conv_transpose2d if transposed else functional.projection_conv2d
    with torch.backends.cudnn.flags(enabled=True, deterministic=True):
        on_both(lambda x, w, b, s, r: run(x, w, b, 8, 2, slope=s, residual=r, alpha=2), leaves)
