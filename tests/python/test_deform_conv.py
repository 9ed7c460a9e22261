"""Deformable convolution against torchvision, ONNX Runtime, its reference, gradcheck, opcheck.

`scripts/soak_operators.py deform_conv2d` runs thousands of its random cases.
"""

from __future__ import annotations

import pytest
import torch
import torchvision
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deeplight import functional
from deform_conv_cases import case, check_case, deform_case


@pytest.fixture
def level(request):
    before = torch.ops.deeplight.simd_level()
    try:
        torch.ops.deeplight.set_simd_level(request.param)
    except RuntimeError:
        pytest.skip(f"this machine has no {request.param}")
    yield request.param
    torch.ops.deeplight.set_simd_level(before)


EVERY_LEVEL = pytest.mark.parametrize(
    "level", ["scalar", "baseline", "avx2", "avx512"], indirect=True
)
CASES = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10**6),
        "batch": st.integers(0, 3),
        "channels": st.sampled_from([6, 12, 18, 66]),
        "out": st.sampled_from([6, 18, 54]),
        "groups": st.sampled_from([1, 2, 3]),
        "offset_groups": st.sampled_from([1, 2, 3]),
        "h": st.sampled_from([1, 2, 5, 7, 13, 23]),
        "w": st.sampled_from([1, 3, 7, 11, 31]),
        "kernel": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "stride": st.integers(1, 3),
        "dilation": st.integers(1, 2),
        "masked": st.booleans(),
        # Not 0: on the pixels themselves the gradient of the offset has two one-sided values.
        "reach": st.sampled_from([0.5, 3.0, 100.0]),
    }
)
LAYOUTS = st.sampled_from(["contiguous", "channels_last", "sliced"])


@EVERY_LEVEL
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(shapes=CASES, layout=LAYOUTS)
def test_values_and_gradients_equal_torchvision_and_the_reference(level, shapes, layout):
    check_case(shapes, layout)


@EVERY_LEVEL
def test_float32_is_within_2e_6_of_the_sum_of_magnitudes(level):
    for seed, channels in enumerate((3, 16, 50, 64)):
        arguments, sizes = case(seed, channels=channels, out=20, h=37, w=41)
        single = {name: t.float() for name, t in arguments.items()}
        exact = functional.deform_conv2d(**{n: t.double() for n, t in single.items()}, **sizes)
        sizes_of = {n: t.double() if n == "offset" else t.double().abs() for n, t in single.items()}
        bound = 2e-6 * functional.deform_conv2d(**sizes_of, **sizes)
        error = (functional.deform_conv2d(**single, **sizes).double() - exact).abs()
        assert (error <= bound).all()


@EVERY_LEVEL
def test_random_cases(level):
    for seed in (*range(4), 416):  # the last: a bias's gradient that added up one by one
        deform_case(seed)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32_and_rounded_once(dtype):
    arguments, sizes = case(channels=16, out=8, h=11, w=13)
    half = {name: t.to(dtype).requires_grad_() for name, t in arguments.items()}
    single = {name: t.detach().float().requires_grad_() for name, t in half.items()}
    results = [functional.deform_conv2d(**leaves, **sizes) for leaves in (half, single)]
    assert results[0].dtype == dtype and torch.equal(results[0], results[1].to(dtype))
    results[0].sum().backward()
    results[1].sum().backward()
    for name in arguments:
        assert torch.equal(half[name].grad, single[name].grad.to(dtype))


@pytest.mark.parametrize(("groups", "offset_groups"), [(1, 1), (2, 1), (2, 2)])
def test_equals_onnx_runtime(groups, offset_groups):
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    arguments, sizes = case(channels=8, groups=groups, offset_groups=offset_groups, h=9, w=14)
    single = {name: t.float() for name, t in arguments.items()}
    order = ("input", "weight", "offset", "bias", "mask")
    kind = onnx.TensorProto.FLOAT
    node = onnx.helper.make_node(
        "DeformConv", order, ["out"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1],
        dilations=[1, 1], group=groups, offset_group=offset_groups,
    )  # fmt: skip
    inputs = [onnx.helper.make_tensor_value_info(n, kind, list(single[n].shape)) for n in order]
    outputs = [onnx.helper.make_tensor_value_info("out", kind, None)]
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "deform_conv", inputs, outputs),
        opset_imports=[onnx.helper.make_opsetid("", 19)],
    )
    model.ir_version = 9
    session = runtime.InferenceSession(model.SerializeToString())
    theirs = session.run(None, {n: single[n].numpy() for n in order})[0]
    ours = functional.deform_conv2d(**single, **sizes)
    torch.testing.assert_close(ours, torch.from_numpy(theirs), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("function", ["deform_conv2d", "deform_conv2d_reference"])
@pytest.mark.parametrize("masked", [False, True])
def test_gradcheck(function, masked):
    arguments, sizes = case(groups=2, offset_groups=2, h=4, w=4, batch=1, masked=masked)
    tensors = [None if t is None else t.requires_grad_() for t in arguments.values()]

    def run(*values):
        image, offset, weight, bias, mask = values
        return getattr(functional, function)(image, offset, weight, bias, mask=mask, **sizes)

    assert torch.autograd.gradcheck(run, tensors, eps=1e-6, atol=1e-6)


def test_gradients_equal_torchvision():
    arguments, sizes = case(groups=2, offset_groups=2)
    grads = []
    for function in (functional.deform_conv2d, torchvision.ops.deform_conv2d):
        leaves = {name: t.detach().clone().requires_grad_() for name, t in arguments.items()}
        function(**leaves, **sizes).pow(2).sum().backward()
        grads.append({name: t.grad for name, t in leaves.items()})
    for name in arguments:
        torch.testing.assert_close(grads[0][name], grads[1][name], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("function", ["deform_conv2d", "deform_conv2d_reference"])
def test_can_be_differentiated_twice(function):
    arguments, sizes = case(h=3, w=3, batch=1, channels=2, out=2)
    tensors = [t.requires_grad_() for t in arguments.values()]

    def run(image, offset, weight, bias, mask):
        return getattr(functional, function)(image, offset, weight, bias, mask=mask, **sizes)

    assert torch.autograd.gradgradcheck(run, tensors, atol=1e-5)


def test_zero_offset_is_a_convolution():
    arguments, sizes = case(masked=False)
    arguments["offset"].zero_()
    expected = torch.conv2d(arguments["input"], arguments["weight"], arguments["bias"], padding=1)
    torch.testing.assert_close(functional.deform_conv2d(**arguments, **sizes), expected)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e30, -1e30])
@pytest.mark.parametrize("function", ["deform_conv2d", "deform_conv2d_reference"])
def test_offsets_without_a_place_sample_zero(bad, function):
    arguments, sizes = case(masked=False)
    arguments["bias"].zero_()
    arguments["offset"][:, :, 2, 3] = bad
    leaves = {n: t if t is None else t.clone().requires_grad_() for n, t in arguments.items()}
    out = getattr(functional, function)(**leaves, **sizes)
    assert torch.isfinite(out).all() and (out[:, :, 2, 3] == 0).all()
    out.sum().backward()
    assert all(t is None or torch.isfinite(t.grad).all() for t in leaves.values())


def test_opcheck():
    arguments, sizes = case()
    operator = torch.ops.deeplight.deform_conv2d.default
    values = [arguments[n].requires_grad_() for n in ("input", "offset", "weight", "bias")]
    torch.library.opcheck(operator, (*values, [1, 1], [1, 1], [1, 1], arguments["mask"]))
    torch.library.opcheck(operator, (*values[:3], None, [1, 1], [1, 1], [1, 1], None))
    values[0] = values[0].detach().to(memory_format=torch.channels_last).requires_grad_()
    torch.library.opcheck(operator, (*values, [1, 1], [1, 1], [1, 1], arguments["mask"]))
    assert sizes["padding"] == 1


def test_channels_last_stays_channels_last():
    arguments, sizes = case()
    arguments["input"] = arguments["input"].to(memory_format=torch.channels_last).requires_grad_()
    out = functional.deform_conv2d(**arguments, **sizes)
    assert out.is_contiguous(memory_format=torch.channels_last)
    out.sum().backward()
    assert arguments["input"].grad.is_contiguous(memory_format=torch.channels_last)


def test_empty_batch():
    arguments, sizes = case()
    empty = {n: t[:0] if n in ("input", "offset", "mask") else t for n, t in arguments.items()}
    assert functional.deform_conv2d(**empty, **sizes).shape == (0, 6, 7, 5)


@pytest.mark.parametrize("reach", [1.0, 60.0])
def test_threads_do_not_change_a_bit(reach):
    arguments, sizes = case(batch=2, channels=20, h=61, w=53, reach=reach)
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        leaves = {n: t.float().requires_grad_() for n, t in arguments.items()}
        out = functional.deform_conv2d(**leaves, **sizes)
        out.pow(2).sum().backward()
        results.append([out, *(t.grad for t in leaves.values())])
    torch.set_num_threads(2)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_an_unknown_instruction_set_is_an_error():
    with pytest.raises(
        (ValueError, RuntimeError), match="expected scalar, baseline, avx2 or avx512"
    ):
        torch.ops.deeplight.set_simd_level("avx1024")


def test_autocast_samples_in_float32():
    arguments, sizes = case()
    single = {n: t.float() for n, t in arguments.items()}
    expected = functional.deform_conv2d(**single, **sizes)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = functional.deform_conv2d(**single, **sizes)
    assert out.dtype == torch.float32 and torch.equal(out, expected)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("input", (2, 4, 7), r"input must be \[B, C, H, W\], got \[2, 4, 7\]"),
        ("offset", (2, 17, 7, 5), "offset has 17 channels, expected a multiple of 18"),
        ("offset", (2, 18, 7, 4), r"offset is \[2, 18, 7, 4\], expected \[2, 18, 7, 5\]"),
        ("weight", (6, 3, 3, 3), "does not divide the 4 channels"),
        ("mask", (2, 8, 7, 5), r"mask is \[2, 8, 7, 5\], expected \[2, 9, 7, 5\]"),
        ("bias", (5,), r"bias is \[5\], expected \[6\]"),
    ],
)
@pytest.mark.parametrize("function", ["deform_conv2d", "deform_conv2d_reference"])
def test_bad_shapes(name, shape, message, function):
    arguments, sizes = case()
    arguments[name] = torch.zeros(*shape, dtype=torch.float64)
    with pytest.raises(ValueError, match=message):
        getattr(functional, function)(**arguments, **sizes)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_an_exported_model_runs_in_onnx_runtime(tmp_path, biased, masked):
    runtime = pytest.importorskip("onnxruntime")
    from deeplight.onnx import register_translations

    register_translations()
    arguments, sizes = case(channels=8, groups=2, offset_groups=2, h=9, w=14, masked=masked)
    if not biased:
        arguments["bias"] = None
    single = {name: None if t is None else t.float() for name, t in arguments.items()}

    class Model(torch.nn.Module):
        def forward(self, image, offset, *mask):
            return functional.deform_conv2d(
                image, offset, single["weight"], single["bias"], mask=mask[0] if mask else None,
                **sizes,
            )  # fmt: skip

    inputs = tuple(single[n] for n in ("input", "offset", "mask") if single[n] is not None)
    names = ["image", "offset", "mask"][: len(inputs)]
    path = tmp_path / "model.onnx"
    torch.onnx.export(Model(), inputs, str(path), input_names=names, dynamo=False, opset_version=19)
    session = runtime.InferenceSession(str(path))
    feed = {name: t.numpy() for name, t in zip(names, inputs, strict=True)}
    theirs = torch.from_numpy(session.run(None, feed)[0])
    torch.testing.assert_close(Model()(*inputs), theirs, rtol=1e-4, atol=1e-4)


def test_an_opset_without_the_operator_is_an_error():
    from deeplight.onnx import register_translations

    with pytest.raises(ValueError, match="from opset 19 on, got opset 18"):
        register_translations(18)
