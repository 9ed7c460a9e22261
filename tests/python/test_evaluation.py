"""Comparisons over shared pixels, and pictures."""

import math

import numpy as np
import pytest
import torch

from deeplight import baselines, evaluation, metrics, pictures
from deeplight.evaluation import Image


def image(values, valid=None):
    values = torch.as_tensor(values, dtype=torch.float64)
    return Image(values, torch.ones_like(values, dtype=torch.bool) if valid is None else valid)


@pytest.fixture
def truth():
    rng = np.random.default_rng(0)
    return image(rng.gamma(0.7, 60, (48, 64)) * (rng.random((48, 64)) < 0.3))


def test_rows_are_the_metrics(truth):
    low = image(torch.nn.functional.avg_pool2d(truth.values[None], 4)[0])
    noisy = truth.values + 5
    got = evaluation.compare(truth, {"ours": image(noisy)}, data_range=255, low_resolution=low)
    assert list(got.rows) == ["ours", "bicubic", "bicubic + block mean"]
    lit = truth.values > 0
    ours = got.rows["ours"]
    assert ours["psnr"] == metrics.psnr(noisy, truth.values, data_range=255).item()
    assert ours["lit_ssim"] == metrics.ssim(noisy, truth.values, data_range=255, where=lit).item()
    assert ours["lit_rmse"] == pytest.approx(5)
    bicubic = baselines.bicubic(low.values, 4)
    expected = metrics.psnr(bicubic, truth.values, data_range=255, mask=lit).item()
    assert got.rows["bicubic"]["lit_psnr"] == expected
    assert got.rows["bicubic + block mean"]["light"] == pytest.approx(1, abs=1e-12)
    assert got.lit_share == pytest.approx(lit.double().mean().item())
    assert got.valid_share == 1


def test_every_row_is_scored_on_the_same_pixels(truth):
    holes = torch.ones(48, 64, dtype=torch.bool)
    holes[:, 40:] = False
    whole, partial = image(truth.values + 1), image(truth.values + 1, holes)
    partial.values[:, 40:] = 0
    truth.valid[:10] = False
    got = evaluation.compare(truth, {"whole": whole, "partial": partial}, data_range=400)
    assert got.rows["whole"] == got.rows["partial"]
    assert got.valid_share == pytest.approx(38 * 40 / (48 * 64))
    assert got.notes == [
        f"partial has no value at {38 * 24} of the truth's pixels; no row counts them"
    ]


def test_a_data_range_below_the_truth_is_said(truth):
    got = evaluation.compare(truth, {"ours": truth}, data_range=100)
    assert got.notes == [f"the truth reaches {truth.values.max():g}, above the data range of 100"]


def test_window_crops_after_the_baselines(truth):
    low = image(torch.nn.functional.avg_pool2d(truth.values[None], 4)[0])
    window = (16, 20, 24, 32)
    got = evaluation.compare(truth, {}, data_range=255, low_resolution=low, window=window)
    part = (slice(16, 40), slice(20, 52))
    expected = metrics.psnr(
        baselines.bicubic(low.values, 4)[part], truth.values[part], data_range=255
    )
    assert got.rows["bicubic"]["psnr"] == expected.item()
    assert got.low_resolution.values.shape == (6, 8)


def test_threshold_moves_the_lit_pixels(truth):
    candidate = {"ours": image(truth.values + torch.where(truth.values > 50, 7.0, 1.0))}
    got = evaluation.compare(truth, candidate, data_range=255, lit_threshold=50)
    assert got.rows["ours"]["lit_rmse"] == pytest.approx(7)


def test_tiny_and_identical_rasters_have_defined_scores():
    one = image([[3.0]])
    got = evaluation.compare(one, {"ours": one}, data_range=255)
    scores = got.rows["ours"]
    assert scores["psnr"] == math.inf and math.isnan(scores["ssim"]) and scores["cc"] == 0
    assert got.as_dict()["rows"] == [
        {
            "name": "ours",
            "psnr": "inf",
            "ssim": None,
            "rmse": 0.0,
            "cc": 0.0,
            "light": 1.0,
            "lit_psnr": "inf",
            "lit_ssim": None,
            "lit_rmse": 0.0,
            "lit_cc": 0.0,
        }
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"candidates": {"ours": image(torch.zeros(48, 60))}}, "ours is 48x60, the truth 48x64"),
        ({"low_resolution": image(torch.zeros(11, 16))}, "expected 44x64 = 4 x low resolution"),
        ({"window": (0, 0, 49, 64)}, "leaves the truth of 48x64"),
        ({"window": (-1, 0, 4, 4)}, "starts before"),
        ({"candidates": {"a": image(torch.zeros(48, 64), torch.zeros(48, 64) > 1)}}, "no pixel"),
    ],
)
def test_wrong_use_is_named(truth, arguments, message):
    with pytest.raises(ValueError, match=message):
        evaluation.compare(truth, **{"candidates": {}, "data_range": 255, **arguments})


def test_brightest_window_finds_the_city():
    dark = np.zeros((300, 400))
    dark[210:230, 330:350] = 50
    dark[10, 10] = 255
    dark[100, 100] = math.nan
    row, column, rows, columns = pictures.brightest_window(dark, 80)
    assert (rows, columns) == (80, 80)
    assert row <= 210 and row + 80 >= 230 and column <= 330 and column + 80 >= 350
    assert row + rows <= 300 and column + columns <= 400
    assert pictures.brightest_window(np.ones((3, 5)), 80) == (0, 0, 3, 5)


@pytest.mark.parametrize("shape", [(8, 8), (512, 320)])
@pytest.mark.parametrize("fill", ["lights", "dark", "invalid"])
def test_picture_is_a_png_of_any_content(tmp_path, shape, fill):
    fine = {
        "lights": np.random.default_rng(0).gamma(0.3, 40, shape),
        "dark": np.zeros(shape),
        "invalid": np.full(shape, math.nan),
    }[fill]
    low = fine[::8, ::8]
    path = tmp_path / "picture.png"
    pictures.comparison_picture(
        {"low": low, "truth": fine}, path, units="DN", geotransform=(10, 0.1, 0, 50, 0, -0.1)
    )
    from matplotlib.image import imread

    pixels = imread(path)
    assert pixels.ndim == 3 and pixels.std() > 0.05
    assert [p.name for p in tmp_path.iterdir()] == ["picture.png"]


def test_picture_leaves_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match=r"'.tiffy' is no picture format"):
        pictures.comparison_picture({"a": np.ones((4, 4))}, tmp_path / "a.tiffy")
    with pytest.raises(OSError):
        pictures.comparison_picture({"a": np.ones((4, 4))}, tmp_path / "missing" / "a.png")
    assert list(tmp_path.iterdir()) == []
