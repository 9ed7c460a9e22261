"""Physical units, nodata and a guide in another coordinate system, from rasters to prediction."""

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import Affine

import deeplight
from deeplight.models import load_network
from deeplight.training import load_config, load_data, train
from deeplight.training.prediction import predict_region

CROP = Path(__file__).parents[2] / "data/burundi"
SHIPPED = Path(__file__).parents[3] / "configs/burundi_radiance_x8.toml"
SCALE, ROWS, COLUMNS = 8, 20, 12
CHANGES = {
    "data.root": str(CROP),
    "split.train": [{"rows": [8, 19]}],
    "split.validation": [{"rows": [0, 5]}],
    "split.test": [],
    "patches.patch": 8,
    "patches.batch": 2,
    "model.options.width": 8,
    "optimizer.lr": 3e-3,
    "optimizer.warmup": 2,
    "run.steps": 6,
    "run.ema": 0.5,
    "run.precision": "float32",
    "weights.dtype": "float32",
}


def predict(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "deeplight", "predict", *map(str, arguments)],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def block_means(values, valid):
    """Of valid pixels; NaN where there is none."""
    blocks = [a.reshape(ROWS, SCALE, COLUMNS, SCALE) for a in (np.where(valid, values, 0), valid)]
    light, count = (a.astype(np.float64).sum((1, 3)) for a in blocks)
    return np.where(count > 0, light / np.maximum(count, 1), np.nan)


@pytest.fixture(scope="module")
def config():
    return load_config(SHIPPED, CHANGES)


@pytest.fixture(scope="module")
def weights(config, tmp_path_factory):
    return train(config, tmp_path_factory.mktemp("burundi") / "run", threads=1)


@pytest.fixture(scope="module")
def low_resolution(tmp_path_factory):
    with rasterio.open(CROP / "ntl_radiance.tif") as raster:
        values, profile = raster.read(1), raster.profile
    means = block_means(values, values != 0)
    path = tmp_path_factory.mktemp("low") / "ntl.tif"
    profile = {
        key: profile[key] for key in ("driver", "dtype", "count", "crs")
    } | {"height": ROWS, "width": COLUMNS, "nodata": 0.0,
         "transform": profile["transform"] @ Affine.scale(SCALE)}  # fmt: skip
    with rasterio.open(path, "w", **profile) as out:
        out.write(np.nan_to_num(means, nan=0.0).astype(np.float32), 1)
    return path, means


def test_the_crop_is_small_and_says_whose_it_is():
    assert sum(file.stat().st_size for file in CROP.iterdir()) <= 200_000
    notice = (CROP / "NOTICE.txt").read_text()
    for words in ("Earth Observation Group / NOAA, public domain", "European Commission",
                  "CC BY 4.0", "rounded"):  # fmt: skip
        assert words in notice


def test_nodata_and_units_reach_the_card(config, weights):
    card = deeplight.weights.load_card(weights)
    described = card["preprocessing"]
    assert described["output"]["units"] == "nW cm-2 sr-1"
    assert [guide["name"] for guide in described["guides"]] == ["population"]
    with rasterio.open(CROP / "ntl_radiance.tif") as raster:
        values, light_crs = raster.read(1), raster.crs
    seen = values[8 * SCALE :]
    assert described["output"]["minimum"] == pytest.approx(float(seen[seen != 0].min()))
    data = load_data(config)
    assert 0 < (values == 0).sum() < values.size / 10
    assert np.array_equal(data.valid[0].numpy(), values != 0)
    with rasterio.open(CROP / "population_250m.tif") as people:
        assert people.crs != light_crs
    assert data.guides["population"].shape[1:] == (ROWS * SCALE, COLUMNS * SCALE)
    assert data.guides["population"].isfinite().all()


def test_trained_with_align_predicts_with_align(config, weights, low_resolution, tmp_path):
    path, means = low_resolution
    result = tmp_path / "sr.tif"
    guide = f"population={CROP / 'population_250m.tif'}"
    done = predict(path, "-w", weights, "-g", guide, "--align", "-o", result, "-q")
    assert done.returncode == 0, done.stderr
    with rasterio.open(result) as out, rasterio.open(CROP / "ntl_radiance.tif") as truth:
        assert out.shape == truth.shape == (ROWS * SCALE, COLUMNS * SCALE)
        assert out.crs == truth.crs
        assert out.transform.almost_equals(truth.transform, 1e-9)
        got = out.read(1, masked=True)
    seen = ~np.ma.getmaskarray(got) & np.isfinite(got.filled(np.nan))
    # Valid where the low resolution is, and there alone.
    assert np.array_equal(seen, np.kron(np.isfinite(means), np.ones((SCALE, SCALE))) == 1)
    # No light is lost or made.
    np.testing.assert_allclose(block_means(got.filled(0), seen), means, rtol=1e-4, atol=1e-4)
    # Training saw the same guide: its own prediction of the ground is the same.
    network, _ = load_network(weights)
    torch.set_num_threads(1)
    own = predict_region(network, load_data(config), (0, 0, ROWS, COLUMNS), nullcontext)
    np.testing.assert_allclose(got.filled(0)[seen], own[0, 0].numpy()[seen], atol=2e-3)
    assert float(got.max()) > 3  # Bujumbura


def test_without_align_both_refuse(config, weights, low_resolution, tmp_path):
    with pytest.raises(ValueError, match="population"):
        load_data(load_config(SHIPPED, {**CHANGES, "data.align": False}))
    guide = f"population={CROP / 'population_250m.tif'}"
    done = predict(low_resolution[0], "-w", weights, "-g", guide, "-o", tmp_path / "sr.tif")
    assert done.returncode == 1
    assert "guide 'population'" in done.stderr
    assert "is in Mollweide, expected EPSG:4326" in done.stderr
    assert not (tmp_path / "sr.tif").exists()
