"""Rasters to tensors: statistics, bands, simulated and real low resolution, gain, degradation."""

import math

import numpy as np
import pytest
import rasterio
import torch
from scipy import ndimage
from tiny_run import CONFIG, SAMPLES

from deeplight.baselines import bicubic
from deeplight.training import load_config, load_data
from deeplight.training.loop import Trainer
from deeplight.training.validation import validate


def test_statistics_are_those_of_the_training_region(config_file):
    data = load_data(load_config(config_file))
    with rasterio.open(SAMPLES / "dmo.tif") as raster:
        values = raster.read().astype(np.float64)[:, :, :120]
    guide = data.preprocessing["guides"][0]
    np.testing.assert_allclose(guide["mean"], values.mean((1, 2)))
    np.testing.assert_allclose(guide["std"], values.std((1, 2), ddof=1))
    assert guide["band_names"][:3] == ["red_01", "green_01", "blue_01"]
    assert data.guides["dmo"].shape == (30, 192, 192)
    assert data.guides["dem"].shape == (1, 192, 192)
    assert data.cell_size == pytest.approx([1.40625, 1.40625])
    assert data.cell_size_units == "degree"


def test_simulated_low_resolution_equals_the_block_means_in_the_file(config_file):
    data = load_data(load_config(config_file))
    with rasterio.open(SAMPLES / "ntl_lr_x8.tif") as raster:
        expected = torch.from_numpy(raster.read())
    got = data.low_resolution_of((0, 0, 32, 32))
    torch.testing.assert_close(got[0], expected, rtol=1e-6, atol=1e-6)


def test_a_real_low_resolution_is_taken(config_file):
    text = CONFIG.replace("[data]", '[data]\nlow_resolution = "ntl_lr_x8.tif"')
    config_file.write_text(text.replace("[patches]", "[patches]\nrandom_phase = false"))
    config = load_config(config_file)
    batch = load_data(config).sampler(config, 0).sample(0)
    mean = torch.nn.functional.avg_pool2d(batch.target, 8)
    torch.testing.assert_close(batch.low_resolution, mean, rtol=1e-5, atol=1e-5)


def test_bands_are_chosen_and_ordered(config_file):
    guides = [{"name": "rgb", "path": "dmo.tif", "bands": [12, 10, 11]}]
    data = load_data(load_config(config_file, {"data.guides": guides}))
    with rasterio.open(SAMPLES / "dmo.tif") as raster:
        values = raster.read([12, 10, 11]).astype(np.float64)
        names = [raster.descriptions[band - 1] for band in (12, 10, 11)]
    guide = data.preprocessing["guides"][0]
    assert guide["band_names"] == names
    assert guide["bands"] == 3
    seen = values[:, :, :120]
    mean, std = seen.mean((1, 2)), seen.std((1, 2), ddof=1)
    np.testing.assert_allclose(guide["mean"], mean)
    expected = (values - mean[:, None, None]) / std[:, None, None]
    np.testing.assert_allclose(data.guides["rgb"], expected, atol=1e-5)


def another_sensor(path, factor, noise=0.0):
    """The sample's low resolution as a sensor of another gain would give it."""
    with rasterio.open(SAMPLES / "ntl_lr_x8.tif") as raster:
        profile, values = raster.profile, raster.read()
    shift = np.random.default_rng(0).normal(0, noise, values.shape)
    seen = (np.clip(values + shift, 0, None) / factor).astype(np.float32)
    with rasterio.open(path, "w", **profile) as out:
        out.write(seen)
    return values[0].astype(np.float64), seen[0].astype(np.float64)


@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_the_gain_of_another_sensor_enters_its_deviation(config_file, tmp_path, noise):
    y, x = another_sensor(tmp_path / "other.tif", 2.5, noise)
    config = load_config(
        config_file,
        {
            "data.low_resolution": str(tmp_path / "other.tif"),
            "data.gain": "least_squares",
            "patches.random_phase": False,
        },
    )
    data = load_data(config)
    (expected,), *_ = np.linalg.lstsq(x[:, :15].reshape(-1, 1), y[:, :15].ravel(), rcond=None)
    assert data.gain == pytest.approx(expected, rel=1e-6)
    assert noise or data.gain == pytest.approx(2.5, rel=1e-6)
    low, output = (data.preprocessing[key] for key in ("low_resolution", "output"))
    assert output["std"] == 32
    assert low["maximum"] == pytest.approx(x[:, :15].max())
    with rasterio.open(SAMPLES / "ntl_hr.tif") as raster:
        assert output["maximum"] == raster.read()[:, :, :120].max()
    # The network sees what it would see of the target's own sensor.
    normalised = data.preprocessor().low_resolution(data.low_resolution_of((0, 0, 24, 24)))
    np.testing.assert_allclose(normalised[0, 0], expected * x / 32, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data.light.transform": "asinh"}, "needs 'data.light' with transform 'linear' .*asinh"),
        ({"data.light.mean": 3.0}, "needs 'data.light' with .* mean 0, got 'linear' and 3"),
        ({"data.low_resolution": "dark.tif"}, "dark.tif' .*0 everywhere"),
        ({"data.low_resolution": "inverse.tif"}, "inverse.tif' .*must be above 0, fitted -1"),
        ({"data.low_resolution": "empty.tif"}, "low resolution '.*empty.tif' holds no valid pixel"),
    ],
)
def test_gains_that_cannot_be(config_file, tmp_path, change, message):
    with rasterio.open(SAMPLES / "ntl_lr_x8.tif") as raster:
        profile, values = raster.profile, raster.read()
    for name, image in (("dark", 0 * values), ("inverse", -values), ("empty", values * np.nan)):
        with rasterio.open(tmp_path / f"{name}.tif", "w", **profile) as out:
            out.write(image)
    another_sensor(tmp_path / "other.tif", 2.0)
    given = {"data.low_resolution": "other.tif", "data.gain": "least_squares", **change}
    given["data.low_resolution"] = str(tmp_path / given["data.low_resolution"])
    config = load_config(config_file, {**given, "patches.random_phase": False})
    with pytest.raises(ValueError, match=message):
        load_data(config)


def test_degraded_low_resolution_against_scipy(config_file):
    changes = {
        "data.degradation.psf": "gaussian",
        "data.degradation.sigma": 3.0,
        "data.degradation.saturation": 60.0,
    }
    data = load_data(load_config(config_file, changes))
    with rasterio.open(SAMPLES / "ntl_hr.tif") as raster:
        target = raster.read(1).astype(np.float64)
    spread = [ndimage.gaussian_filter(x, 3.0, mode="constant") for x in (target, 0 * target + 1)]
    means = (spread[0] / spread[1]).reshape(24, 8, 24, 8).mean((1, 3))
    assert means.max() > 60
    got = data.low_resolution_of((2, 3, 20, 19))
    np.testing.assert_allclose(got[0, 0], means.clip(max=60)[2:22, 3:22], rtol=1e-5, atol=1e-5)
    assert data.margin == 2  # 12 pixels of the Gaussian, 8 of the contrast window
    assert torch.equal(data.target[0], torch.from_numpy(target).float())


def test_patches_are_degraded_as_the_raster_is(config_file, tmp_path):
    kernel = np.random.default_rng(0).random((1, 5, 7)).astype(np.float32)
    with rasterio.open(
        tmp_path / "psf.tif", "w", driver="GTiff", count=1, height=5, width=7, dtype="float32"
    ) as out:
        out.write(kernel)
    changes = {
        "data.degradation.psf": "measured",
        "data.degradation.kernel": str(tmp_path / "psf.tif"),
        "data.degradation.saturation": 90.0,
        "patches.random_phase": False,
        "patches.flips": False,
        "patches.gain_jitter": 0.0,
    }
    config = load_config(config_file, changes)
    data = load_data(config)
    np.testing.assert_allclose(data.kernel, kernel[0].astype(float) / kernel.sum(dtype=float))
    batch = data.sampler(config, 0).sample(3)
    for item, (row, column, height, width) in enumerate(batch.windows):
        expected = data.low_resolution_of((row // 8, column // 8, height // 8, width // 8))
        torch.testing.assert_close(batch.low_resolution[item], expected[0], rtol=1e-5, atol=1e-5)
    share = data.sampler(config, 0, first_item=1, items=1).sample(3)
    assert share.windows == batch.windows[1:]


def test_zeros_of_the_valid_raster_are_left_out(config_file, tmp_path):
    mask = np.ones((1, 192, 192), np.uint8)
    mask[:, 40:96, :50] = 0
    with rasterio.open(SAMPLES / "ntl_hr.tif") as raster:
        target = raster.read()
        with rasterio.open(tmp_path / "mask.tif", "w", **raster.profile) as out:
            out.write(mask)
    changes = {"data.valid": str(tmp_path / "mask.tif"), "data.light.std": 0.0}
    data = load_data(load_config(config_file, changes))
    np.testing.assert_array_equal(data.valid, mask)
    seen = target[:, :, :120][mask[:, :, :120] > 0].astype(np.float64)
    assert data.preprocessing["output"]["std"] == pytest.approx(seen.std(ddof=1))
    assert data.preprocessing["output"]["maximum"] == seen.max()
    low = data.low_resolution_of((0, 0, 24, 24))[0, 0]
    assert low[5:12, :6].isnan().all() and int(low.isnan().sum()) == 42


def test_validation_of_a_zero_headed_network_is_bicubic(config_file, tmp_path):
    trainer = Trainer(load_config(config_file), tmp_path / "run")
    scores = validate(trainer.average.network, trainer.data, "validation", 0.0, trainer.autocast)
    target = trainer.data.target[:, :, 17 * 8 :][None]
    smooth = bicubic(trainer.data.low_resolution_of((0, 17, 24, 7)), 8)
    lit = target > 0
    expected = 10 * math.log10(255**2 / float((smooth - target)[lit].square().mean()))
    assert scores["bicubic_lit_psnr"] == pytest.approx(expected, abs=1e-4)
    assert abs(scores["gain"]) < 0.01  # ours is not clamped
