"""Accumulating scores of windows, blocks and single images equal the functions."""

import copy
import math
import pickle
import subprocess
import sys

import pytest
import torch
from torchmetrics import MetricCollection
from two_processes import in_two_processes

from deeplight import metrics
from deeplight.metrics import classes

SMALL = {"weights": (0.4, 0.6), "window_size": 5, "sigma": 1.0}


def images(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    t = torch.rand(shape, dtype=torch.double, generator=generator) * 200
    t = t * (torch.rand(shape, dtype=torch.double, generator=generator) < 0.4)
    return t + torch.randn(shape, dtype=torch.double, generator=generator) * 6, t


def model():
    good = images(4, 1, 64, 64, seed=5)[1]
    return metrics.fit_niqe(good, data_range=255, block_size=16, sharpness=0)


MODEL = model()

#: class, its arguments, the function of (prediction, target, ...), whether `where` is known
SCORES = [
    (classes.Ssim, {"data_range": 255}, lambda p, t, **k: metrics.ssim(p, t, data_range=255, **k)),
    (
        classes.MsSsim,
        {"data_range": 255, **SMALL},
        lambda p, t, **k: metrics.ms_ssim(p, t, data_range=255, **SMALL, **k),
    ),
    (
        classes.Uiqi,
        {"degenerate": "skip"},
        lambda p, t, **k: metrics.uiqi(p, t, degenerate="skip", **k),
    ),
    (
        classes.GradientError,
        {"filter": "sobel"},
        lambda p, t, **k: metrics.gradient_error(p, t, filter="sobel", **k),
    ),
    (
        classes.SpectralError,
        {"window_size": 16},
        lambda p, t, **k: metrics.spectral_error(p, t, window_size=16, **k),
    ),
    (classes.Piqe, {}, lambda p, t, **k: metrics.piqe(p, **k)),
    (
        classes.Niqe,
        {"model": MODEL},
        lambda p, t, **k: metrics.niqe(p, model=MODEL, **k),
    ),
    (
        classes.Entropy,
        {"data_range": 255},
        lambda p, t, **k: metrics.entropy(p, data_range=255, **k),
    ),
    (classes.AverageGradient, {}, lambda p, t, **k: metrics.average_gradient(p, **k)),
    (classes.LaplacianVariance, {}, lambda p, t, **k: metrics.laplacian_variance(p, **k)),
    (classes.Sam, {"vectors": "image"}, lambda p, t, **k: metrics.sam(p, t, vectors="image", **k)),
    (
        classes.SaturatedCoreError,
        {"saturation": 150},
        lambda p, t, **k: metrics.saturated_core_error(p, t, saturation=150, **k),
    ),
    (classes.Ergas, {"ratio": 0.25}, lambda p, t, **k: metrics.ergas(p, t, ratio=0.25, **k)),
]
IDS = [cls.__name__ for cls, _, _ in SCORES]


@pytest.mark.parametrize("reduction", ["pooled", "mean", "none"])
@pytest.mark.parametrize(("cls", "arguments", "function"), SCORES, ids=IDS)
def test_updates_and_merges_are_the_function(cls, arguments, function, reduction):
    p, t = images(5, 1, 48, 48)
    mask = torch.rand(5, 1, 48, 48, generator=torch.Generator().manual_seed(1)) > 0.0005
    score, other = (cls(reduction=reduction, **arguments) for _ in range(2))
    score.update(p[:2], t[:2], mask[:2])
    other.update(p[2:4], t[2:4], mask[2:4])
    other.update(p[4], t[4], mask[4])
    score = pickle.loads(pickle.dumps(score))
    score.merge(copy.deepcopy(other))
    expected = function(p, t, mask=mask, reduction=reduction)
    torch.testing.assert_close(
        torch.as_tensor(score.compute()), expected, rtol=1e-9, atol=1e-12, equal_nan=True
    )
    score.reset()
    empty = score.compute()
    assert empty.numel() == 0 if reduction == "none" else math.isnan(empty)


@pytest.mark.parametrize(("cls", "arguments", "function"), SCORES, ids=IDS)
def test_lit_scores(cls, arguments, function):
    p, t = images(2, 1, 48, 48)
    score = cls(lit_threshold=150, **arguments)
    score.update(p, t)
    alone = issubclass(cls, classes._NoReference)
    lit = (p if alone else t) > 150
    key = "where" if score._windows else "mask"
    expected = function(p, t, reduction="pooled", **{key: lit})
    torch.testing.assert_close(score.compute(), expected, rtol=1e-9, atol=1e-12)


def test_images_without_a_valid_pixel_have_no_vote_but_nan_shows():
    p, t = images(3, 1, 16, 16)
    mask = torch.ones(3, 1, 16, 16, dtype=torch.bool)
    mask[1] = False
    score = classes.Ssim(255, reduction="mean")
    score.update(p, t, mask)
    expected = metrics.ssim(p, t, data_range=255, mask=mask)
    torch.testing.assert_close(score.compute(), expected)
    p[0, 0, 8, 8] = math.nan
    score.update(p, t, mask)
    assert score.compute().isnan()


def test_wrong_use_is_named():
    with pytest.raises(ValueError, match="reduction must be"):
        classes.Ssim(255, reduction="map")
    with pytest.raises(ValueError, match="windw"):
        classes.Ssim(255, windw="gaussian")
    with pytest.raises(TypeError, match="windw"):
        classes.Rmse(windw=3)
    with pytest.raises(ValueError, match="target is needed"):
        classes.Ssim(255).update(torch.zeros(16, 16))
    with pytest.raises(ValueError, match="has no windows"):
        classes.Rmse().update(torch.zeros(4, 4), torch.zeros(4, 4), where=torch.ones(4, 4).bool())
    with pytest.raises(ValueError, match="data_range"):
        classes.Ssim(0)


def collection():
    return MetricCollection(
        [
            classes.Ssim(255, reduction="mean"),
            classes.Uiqi(),
            classes.Piqe(),
            classes.Psnr(255, reduction="none"),
            classes.GradientError(),
        ]
    )


def wanted(p, t):
    return {
        "Ssim": metrics.ssim(p, t, data_range=255),
        "Uiqi": metrics.uiqi(p, t, reduction="pooled"),
        "Piqe": metrics.piqe(p, reduction="pooled"),
        "Psnr": metrics.psnr(p, t, data_range=255, reduction="none"),
        "GradientError": metrics.gradient_error(p, t, reduction="pooled"),
    }


def scores_of_part(rank):
    p, t = images(4, 1, 32, 32)
    scores = collection()
    half = slice(2 * rank, 2 * rank + 2)
    scores.update(p[half], t[half])
    return {name: value.tolist() for name, value in scores.compute().items()}


def test_two_processes_give_the_value_of_the_whole(tmp_path):
    both = in_two_processes(scores_of_part, tmp_path)
    for got in both:
        for name, value in wanted(*images(4, 1, 32, 32)).items():
            assert got[name] == pytest.approx(value.tolist(), rel=1e-12)


def test_collection_shares_nothing_by_chance():
    p, t = images(3, 1, 32, 32)
    scores = collection()
    scores.update(t[:1], t[:1])
    scores.update(p, t)
    for name, value in wanted(torch.cat([t[:1], p]), torch.cat([t[:1], t])).items():
        torch.testing.assert_close(scores.compute()[name], value, rtol=1e-12, atol=1e-12)


WITHOUT = """
import sys
sys.modules["torchmetrics"] = None
import torch
from deeplight import metrics
from deeplight.metrics import accumulating, classes
assert not accumulating.HAS_TORCHMETRICS
p, t = torch.rand(4, 1, 24, 24) * 255, torch.rand(4, 1, 24, 24) * 255
for reduction in ("pooled", "mean", "none"):
    first, second = (classes.Ssim(255, reduction=reduction) for _ in range(2))
    value = first(p[:2], t[:2])
    want = metrics.ssim(p[:2], t[:2], data_range=255, reduction=reduction)
    assert torch.allclose(value, want)
    second.update(p[2:], t[2:])
    first.merge(second.to("cpu"))
    want = metrics.ssim(p, t, data_range=255, reduction=reduction)
    assert torch.allclose(first.compute(), want, rtol=1e-12)
    first.reset()
    assert first.compute().numel() == 0 or first.compute().isnan()
try:
    classes.Ssim(255, dist_sync_on_step=True)
except ValueError as error:
    assert "torchmetrics is not installed" in str(error)
else:
    raise AssertionError
import os
import torch.distributed as dist
dist.init_process_group("gloo", init_method="file://" + sys.argv[1], rank=0, world_size=1)
score = classes.Rmse()
score.update(p, t)
assert torch.allclose(score.compute(), metrics.rmse(p, t, reduction="pooled"))
dist.destroy_process_group()
print("fine")
"""


def test_without_torchmetrics(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(tmp_path / "store")], capture_output=True, text=True
    )
    assert done.stdout.strip() == "fine", done.stderr


FALLBACK_WORKER = """
import sys
sys.modules["torchmetrics"] = None
import torch, torch.distributed as dist
from deeplight import metrics
from deeplight.metrics import classes
rank = int(sys.argv[2])
dist.init_process_group("gloo", init_method="file://" + sys.argv[1], rank=rank, world_size=2)
p = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(0))
t = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(1))
for reduction in ("pooled", "mean", "none"):
    score = classes.Ssim(1, reduction=reduction)
    score.update(p[2 * rank:2 * rank + 2], t[2 * rank:2 * rank + 2])
    want = metrics.ssim(p, t, data_range=1, reduction=reduction)
    for _ in range(2):
        assert torch.allclose(score.compute(), want, rtol=1e-12), reduction
dist.destroy_process_group()
"""


def test_two_processes_without_torchmetrics(tmp_path):
    command = [sys.executable, "-c", FALLBACK_WORKER, str(tmp_path / "store")]
    runs = [
        subprocess.Popen([*command, str(rank)], stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    for run in runs:
        _, error = run.communicate(timeout=60)
        assert run.returncode == 0, error
