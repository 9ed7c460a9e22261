"""The large selective kernel against its reference in float64, gradcheck and opcheck."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from deeplight import functional
from large_kernel_cases import (
    LAYOUTS,
    check_selective,
    selective_arguments,
    selective_case,
    simd_level,
    simd_levels,
)


@pytest.mark.parametrize("level", simd_levels())
def test_random_cases_equal_the_reference_in_float64(level):
    with simd_level(level):
        for seed in (*range(6), 4447):  # the last: a bias's gradient that nearly cancels
            selective_case(seed)


@pytest.mark.parametrize("level", simd_levels())
@pytest.mark.parametrize("dynamic", [False, True])
def test_float32_of_several_tiles(level, dynamic):
    torch.manual_seed(0)
    with simd_level(level):
        check_selective(
            selective_arguments(
                16, 8, 16, (67, 150), 2, (5, 7, 3), dynamic, torch.float32, "channels_last"
            )
        )


def lsk_block(x: torch.Tensor, a: dict[str, torch.Tensor]) -> torch.Tensor:
    """LSKNet's block as its paper's code writes it."""
    c = x.shape[1]
    first = F.conv2d(x, a["first"], a["first_bias"], padding=2, groups=c)
    second = F.conv2d(first, a["second"], a["second_bias"], padding=9, groups=c, dilation=3)
    first = F.conv2d(first, a["first_squeeze"], a["first_squeeze_bias"])
    second = F.conv2d(second, a["second_squeeze"], a["second_squeeze_bias"])
    both = torch.cat([first, second], 1)
    maps = torch.cat([both.mean(1, keepdim=True), both.max(1, keepdim=True)[0]], 1)
    k = a["selection"].shape[-1]
    gates = F.conv2d(maps, a["selection"], a["selection_bias"], padding=k // 2).sigmoid()
    mixed = first * gates[:, 0, None] + second * gates[:, 1, None]
    return x * F.conv2d(mixed, a["expand"], a["expand_bias"])


@pytest.mark.parametrize("function", ["large_selective_kernel", "large_selective_kernel_reference"])
def test_it_is_the_block_of_lsknet(function):
    torch.manual_seed(0)
    arguments = selective_arguments(8, 4, 8, (21, 19), 2, (5, 7, 7))
    arguments["multiplier"] = arguments["input"]
    out = getattr(functional, function)(**arguments)
    torch.testing.assert_close(out, lsk_block(arguments["input"], arguments))


def test_one_tensor_as_input_and_multiplier_gets_both_gradients():
    torch.manual_seed(0)
    arguments = selective_arguments(4, 2, 4, (9, 8))
    x = arguments.pop("input").requires_grad_()
    arguments["multiplier"] = x
    functional.large_selective_kernel(x, **arguments).sum().backward()
    y = x.detach().requires_grad_()
    arguments["multiplier"] = y
    functional.large_selective_kernel_reference(y, **arguments).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)


def test_a_batch_equals_its_samples_bit_for_bit():
    torch.manual_seed(0)
    arguments = selective_arguments(5, 3, 4, (13, 17), 3, dynamic=True, dtype=torch.float32)
    per_sample = ("input", "multiplier", "selection")
    alone = [
        functional.large_selective_kernel(
            **{n: t[i : i + 1] if n in per_sample else t for n, t in arguments.items()}
        )
        for i in range(3)
    ]
    assert torch.equal(functional.large_selective_kernel(**arguments), torch.cat(alone))


@pytest.mark.parametrize("dynamic", [False, True])
def test_gradcheck(dynamic):
    torch.manual_seed(0)
    arguments = selective_arguments(3, 2, 2, (4, 3), dynamic=dynamic)
    names = list(arguments)

    def run(*values):
        return functional.large_selective_kernel(**dict(zip(names, values, strict=True)))

    leaves = [t.requires_grad_() for t in arguments.values()]
    assert torch.autograd.gradcheck(run, leaves, fast_mode=True)


def test_gradients_can_be_differentiated_again():
    torch.manual_seed(0)
    arguments = selective_arguments(2, 1, 2, (3, 3), batch=1, dynamic=True)
    names = list(arguments)
    image = arguments["input"].requires_grad_()
    kernel = arguments["selection"].requires_grad_()

    def run(x, k):
        changed = {**arguments, "input": x, "selection": k}
        return functional.large_selective_kernel(**{n: changed[n] for n in names})

    assert torch.autograd.gradgradcheck(run, (image, kernel), fast_mode=True)


def weight_list(arguments: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    order = ("first", "second", "first_squeeze", "second_squeeze", "selection", "expand")
    return [arguments[name] for stem in order for name in (stem, f"{stem}_bias")]


@pytest.mark.parametrize("dynamic", [False, True])
def test_opcheck(dynamic):
    arguments = selective_arguments(dynamic=dynamic, dtype=torch.float32)
    leaves = {n: t.requires_grad_() for n, t in arguments.items()}
    torch.library.opcheck(
        torch.ops.deeplight.large_selective_kernel.default,
        (leaves["input"], leaves["multiplier"], weight_list(leaves), [1, 1], [3, 3]),
    )


def test_biases_left_out_are_zero():
    torch.manual_seed(0)
    arguments = selective_arguments()
    for name, value in arguments.items():
        if name.endswith("_bias"):
            value.zero_()
    bare = {n: t for n, t in arguments.items() if not n.endswith("_bias")}
    expected = functional.large_selective_kernel(**arguments)
    assert torch.equal(functional.large_selective_kernel(**bare), expected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout):
    torch.manual_seed(0)
    check_selective(selective_arguments(8, 4, 8, (9, 11), layout=layout))


def test_empty_batch_and_single_pixel():
    arguments = selective_arguments(batch=0)
    leaves = {n: t.requires_grad_() for n, t in arguments.items()}
    out = functional.large_selective_kernel(**leaves)
    out.sum().backward()
    assert out.shape == (0, 4, 6, 7) and (leaves["first"].grad == 0).all()
    check_selective(selective_arguments(size=(1, 1), kernels=(5, 7, 7)))


def test_a_nan_reaches_what_reads_it_and_nothing_else():
    torch.manual_seed(0)
    arguments = selective_arguments(4, 2, 4, (70, 71), 1, (3, 3, 3), dtype=torch.float32)
    arguments["input"][0, 1, 30, 40] = float("nan")
    ours = torch.isnan(functional.large_selective_kernel(**arguments))
    reference = torch.isnan(functional.large_selective_kernel_reference(**arguments))
    assert torch.equal(ours, reference) and 0 < ours.sum() < ours.numel() / 4


def test_threads_do_not_change_a_bit():
    kept, results = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        arguments = selective_arguments(9, 4, 9, (70, 150), 2, (5, 7, 3), True, torch.float32)
        leaves = {n: t.requires_grad_() for n, t in arguments.items()}
        out = functional.large_selective_kernel(**leaves)
        out.backward(torch.randn_like(out))
        results.append([out, *(t.grad for t in leaves.values())])
    torch.set_num_threads(kept)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize(("dtype", "bound"), [(torch.bfloat16, 2**-8), (torch.float16, 2**-11)])
def test_half_precision_rounds_once(dtype, bound):
    torch.manual_seed(0)
    half = {n: t.to(dtype) for n, t in selective_arguments(dtype=torch.float32).items()}
    exact = functional.large_selective_kernel(**{n: t.float() for n, t in half.items()})
    out = functional.large_selective_kernel(**half)
    assert out.dtype == dtype
    assert ((out.float() - exact).abs() <= bound * exact.abs() + 1e-7).all()


def test_autocast_is_that_of_a_convolution():
    arguments = selective_arguments(dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert functional.large_selective_kernel(**arguments).dtype == torch.bfloat16


def test_only_arguments_are_kept_for_the_backward_pass():
    arguments = selective_arguments(8, 4, 8, (32, 32), dtype=torch.float32)
    leaves = {n: t.requires_grad_() for n, t in arguments.items()}
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        functional.large_selective_kernel(**leaves)
    own = {t.data_ptr() for t in leaves.values()}
    assert kept and all(t.data_ptr() in own for t in kept)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("input", (2, 4, 7), r"input must be \[B, C, H, W\], got \[2, 4, 7\]"),
        ("multiplier", (2, 4, 6, 8), r"multiplier is \[2, 4, 6, 8\], expected \[2, 4, 6, 7\]"),
        ("first", (4, 1, 2, 3), "first must have odd sides"),
        ("second", (3, 1, 3, 3), r"second is \[3, 1, 3, 3\], expected \[4, 1, k, k\]"),
        ("second_squeeze", (3, 4, 1, 1), r"expected \[2, 4, 1, 1\] as first_squeeze"),
        ("selection", (3, 2, 2, 3, 3), r"expected \[2, 2, k, k\] or \[2, 2, 2, k, k\]"),
        ("expand", (4, 3, 1, 1), r"expand is \[4, 3, 1, 1\], expected \[E, 2, 1, 1\]"),
        ("selection_bias", (3,), r"selection_bias is \[3\], expected \[2\]"),
    ],
)
@pytest.mark.parametrize("function", ["large_selective_kernel", "large_selective_kernel_reference"])
def test_bad_shapes(name, shape, message, function):
    arguments = selective_arguments()
    arguments[name] = torch.zeros(*shape, dtype=torch.float64)
    with pytest.raises(ValueError, match=message):
        getattr(functional, function)(**arguments)
