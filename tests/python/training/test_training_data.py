"""Rasters to tensors: statistics, simulated and real low resolution, bad rasters."""

import math

import numpy as np
import pytest
import rasterio
import torch
from tiny_run import CONFIG, SAMPLES, spoiled

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


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ('path = "dem.tif"', 'path = "den.tif"', FileNotFoundError, "guide 'dem' .*den.tif"),
        ('path = "dem.tif"', 'path = "NOTICE.txt"', ValueError, "NOTICE.txt"),
        ('path = "dem.tif"', 'path = "ntl_lr_x8.tif"', ValueError, "dem"),
        ("columns = [17, 23]", "columns = [15, 23]", ValueError, "closer than the buffer"),
        ("columns = [17, 23]", "columns = [17, 24]", ValueError, "leaves the low-resolution grid"),
        ("columns = [17, 23]", "columns = [23, 17]", ValueError, r"split.validation\[0\].columns"),
        ("patch = 8", "patch = 24", ValueError, "no region holds a patch"),
        ('auxiliary = "settlement_proxy.tif"', 'auxiliary = "dem.tif"', ValueError, r"in \[0, 1\]"),
    ],
)
def test_data_that_do_not_fit(config_file, old, new, error, message):
    config = load_config(spoiled(config_file, old, new))
    with pytest.raises(error, match=message):
        load_data(config).sampler(config, 0)


def test_constant_band_is_refused(config_file, tmp_path):
    with rasterio.open(SAMPLES / "dem.tif") as raster:
        profile = raster.profile
    with rasterio.open(tmp_path / "flat.tif", "w", **profile) as out:
        out.write(np.full((1, 192, 192), 7, np.uint8))
    config = load_config(spoiled(config_file, '"dem.tif"', f'"{tmp_path}/flat.tif"'))
    with pytest.raises(ValueError, match="band 1 of guide 'dem' .*flat.tif.* is constant .*(7)"):
        load_data(config)


def test_validation_of_a_zero_headed_network_is_bicubic(config_file, tmp_path):
    trainer = Trainer(load_config(config_file), tmp_path / "run")
    scores = validate(trainer.average.network, trainer.data, "validation", 0.0, trainer.autocast)
    target = trainer.data.target[:, :, 17 * 8 :][None]
    smooth = bicubic(trainer.data.low_resolution_of((0, 17, 24, 7)), 8)
    lit = target > 0
    expected = 10 * math.log10(255**2 / float((smooth - target)[lit].square().mean()))
    assert scores["bicubic_lit_psnr"] == pytest.approx(expected, abs=1e-4)
    assert abs(scores["gain"]) < 0.01  # ours is not clamped
