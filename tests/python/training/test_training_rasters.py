"""Rasters on other grids, aligned or refused; rasters that do not fit."""

import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import from_bounds
from rasterio.warp import transform, transform_bounds
from tiny_run import SAMPLES, spoiled

from deeplight.training import load_config, load_data


def grid():
    with rasterio.open(SAMPLES / "ntl_hr.tif") as raster:
        return raster.profile, raster.bounds


def write(path, values, **changes):
    """``[bands, rows, columns]`` on the target's grid, unless changes say otherwise."""
    bands, height, width = values.shape
    profile = {**grid()[0], "count": bands, "height": height, "width": width}
    profile.update(dtype=values.dtype, **changes)
    del profile["blockxsize"], profile["blockysize"]
    with rasterio.open(path, "w", **profile) as out:
        out.write(values)
    return str(path)


def in_mercator(path, side, values):
    """A raster in web Mercator around the target; ``values(x, y)`` of pixel centres."""
    west, south, east, north = transform_bounds("EPSG:4326", "EPSG:3857", *grid()[1])
    reach = 2e5
    placed = from_bounds(west - reach, south - reach, east + reach, north + reach, side, side)
    x, y = np.meshgrid(
        placed.c + placed.a * (np.arange(side) + 0.5), placed.f + placed.e * (np.arange(side) + 0.5)
    )
    return write(path, values(x, y)[None], crs="EPSG:3857", transform=placed)


def test_a_guide_on_another_grid_is_aligned(config_file, tmp_path):
    # Longitude is linear in Mercator's x, so that a bilinear warp must find it exactly.
    def longitude(x, y):
        return np.reshape(transform("EPSG:3857", "EPSG:4326", x.ravel(), y.ravel())[0], x.shape)

    path = in_mercator(tmp_path / "longitude.tif", 90, longitude)
    guides = [{"name": "longitude", "path": path}]
    config = load_config(config_file, {"data.guides": guides, "data.align": True})
    data = load_data(config)
    affine = grid()[0]["transform"]
    expected = affine.c + affine.a * (np.arange(192) + 0.5)
    guide = data.preprocessing["guides"][0]
    got = data.guides["longitude"][0] * guide["std"][0] + guide["mean"][0]
    np.testing.assert_allclose(got, np.broadcast_to(expected, (192, 192)), atol=2e-3)
    assert guide["mean"][0] == pytest.approx(expected[:120].mean(), abs=1e-3)


def test_auxiliary_and_valid_rasters_are_aligned_too(config_file, tmp_path):
    half = in_mercator(
        tmp_path / "half.tif", 400, lambda x, y: (x > -50 * 111319.49).astype(np.float32)
    )
    changes = {"data.auxiliary": half, "data.valid": half, "data.align": True}
    data = load_data(
        load_config(config_file, {**changes, "split.train": [{"columns": [13, 17]}],
                                  "split.validation": [{"columns": [20, 23]}]})
    )  # fmt: skip
    border = round((-50 + 67.5) / 0.17578125)  # column of 50 W
    for image in (data.auxiliary, data.valid):
        assert not image[:, :, : border - 1].any()
        assert (image[:, :, border + 1 :] == 1).all()
    assert torch.isnan(data.low_resolution_of((0, 0, 24, 12))).all()


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("data.guides", [{"name": "coarse", "path": "coarse.tif"}]),
        ("data.auxiliary", "coarse.tif"),
        ("data.valid", "coarse.tif"),
    ],
)
def test_without_align_another_grid_is_refused_with_a_hint(config_file, tmp_path, key, path):
    write(tmp_path / "coarse.tif", np.ones((1, 24, 24), np.uint8))
    text = str(tmp_path / "coarse.tif")
    value = text if isinstance(path, str) else [{**path[0], "path": text}]
    config = load_config(config_file, {key: value})
    with pytest.raises(ValueError, match=r"coarse.tif\) is 24x24 .*'data.align' = true warps it"):
        load_data(config)


def test_ground_that_no_raster_covers_cannot_be_aligned(config_file, tmp_path):
    values = np.random.default_rng(0).random((1, 50, 50)).astype(np.float32)
    path = write(tmp_path / "away.tif", values, transform=from_bounds(10, 10, 20, 20, 50, 50))
    config = load_config(
        config_file, {"data.guides": [{"name": "away", "path": path}], "data.align": True}
    )
    with pytest.raises(ValueError, match="away"):
        load_data(config)


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


RANDOM = np.random.default_rng(0).random((2, 192, 192)).astype(np.float32)
HALF = np.where(np.arange(192) < 120, np.nan, RANDOM[:1]).astype(np.float32)
KERNEL = np.ones((1, 5, 5), np.float32)


def guides(path, **more):
    return {"data.guides": [{"name": "g", "path": path, **more}]}


def measured(path):
    return {"data.degradation.psf": "measured", "data.degradation.kernel": path}


@pytest.mark.parametrize(
    ("values", "change", "message"),
    [
        (RANDOM, lambda p: guides(p, bands=[2, 3]),
         r"guide 'g' \('.*it.tif'\) has 2 bands; 'bands' asks for band 3"),
        (RANDOM, lambda p: {"data.target": p}, r"it.tif' has 2 bands, expected 1"),
        (RANDOM, lambda p: {"data.auxiliary": p}, r"it.tif' has 2 bands, expected 1"),
        (RANDOM, lambda p: {"data.valid": p}, r"it.tif' has 2 bands, expected 1"),
        (np.full((1, 192, 192), 7, np.uint8), guides,
         r"band 1 of guide 'g' \('.*it.tif'\) is constant over the training region \(7\)"),
        (np.concatenate([RANDOM[:1], HALF]), guides,
         r"band 2 of guide 'g' \('.*it.tif'\) holds no valid pixel in the training region"),
        (np.concatenate([RANDOM[:1], HALF]), lambda p: guides(p, bands=[2]),
         r"band 2 of guide 'g' .* holds no valid pixel"),
        (HALF, lambda p: {"data.target": p},
         "train part of the split holds no valid pixel .*it.tif"),
        (np.flip(HALF, 2) * 1.0, lambda p: {"data.target": p, "split.train": [{"columns": [0, 5]}]},
         "validation part of the split holds no valid pixel of target '.*it.tif'"),
        (np.zeros((1, 192, 192), np.uint8), lambda p: {"data.valid": p},
         "train part of the split holds no valid pixel"),
        (np.full((1, 192, 192), 7, np.uint8),
         lambda p: {"data.target": p, "data.light.std": 0.0},
         r"target '.*it.tif' is constant over the training region \(7\).*data.light.std"),
        (np.ones((1, 5, 5), np.uint8), lambda p: {"data.target": p},
         "5x5 pixels, smaller than one"),
        (KERNEL[:, :4], measured, "'data.degradation.kernel' '.*it.tif': .*odd"),
        (KERNEL * -1, measured, "'data.degradation.kernel' '.*it.tif': .*negative"),
        (KERNEL * 0, measured, "'data.degradation.kernel' '.*it.tif': .*sum"),
        (KERNEL * np.nan, measured, "'data.degradation.kernel' '.*it.tif': .*finite"),
        (RANDOM, measured, "'data.degradation.kernel' '.*it.tif' has 2 bands, expected 1"),
    ],
)  # fmt: skip
def test_rasters_that_do_not_fit(config_file, tmp_path, values, change, message):
    path = write(tmp_path / "it.tif", values)
    config = load_config(config_file, change(path))
    with pytest.raises(ValueError, match=message):
        load_data(config)


@pytest.mark.parametrize(
    ("changes", "role"),
    [
        ({"data.valid": "gone.tif"}, "valid"),
        ({"data.auxiliary": "gone.tif"}, "auxiliary"),
        ({"data.low_resolution": "gone.tif", "patches.random_phase": False}, "low resolution"),
        (measured("gone.tif"), "'data.degradation.kernel'"),
    ],
)
def test_missing_rasters_are_named(config_file, changes, role):
    config = load_config(config_file, changes)
    with pytest.raises(FileNotFoundError, match=f"{role} '.*gone.tif' does not exist .*--data"):
        load_data(config)


def test_a_contrast_window_wider_than_the_buffer_leaks(config_file):
    config = load_config(config_file, {"data.contrast_windows": [49]})
    with pytest.raises(ValueError, match="2 low-resolution cells apart, but 3 are read"):
        load_data(config)
    config = load_config(config_file, {"data.contrast_windows": [49], "split.force": True})
    with pytest.warns(UserWarning, match="accepted by 'split.force'"):
        assert load_data(config).margin == 3
