"""The benchmark of CUDA operators, as far as it goes without a device."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
bench = importlib.import_module("cuda_operators")


@pytest.mark.parametrize("case", bench.cases(small=True), ids=lambda case: case.item)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_contenders_of_a_small_case_agree_with_float64(case, dtype):
    tensors = case.tensors(dtype, "cpu")
    for arguments in (tensors, bench.last(tensors)):
        bench.check(case, case.own, arguments)
        bench.check(case, case.rival, arguments)


def test_a_wrong_contender_is_seen():
    case = bench.cases(small=True)[0]
    with pytest.raises(AssertionError, match="off, bound"):
        bench.check(case, lambda t: 1.01 * case.rival(t), case.tensors(torch.float32, "cpu"))


@pytest.mark.parametrize("case", bench.cases(), ids=lambda case: f"{case.item} {case.shape}")
def test_cases_of_full_size_have_one_shape(case):
    tensors = {n: torch.empty(s, device="meta") for n, s in case.shapes.items()}
    assert case.own(tensors).shape == case.rival(tensors).shape


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a device")
def test_without_a_device_one_line_says_so(capsys):
    assert bench.rows(15) == []
    assert capsys.readouterr().out == "cuda_operators: no CUDA device here, nothing measured\n"
