"""MoCoLSK-Net on rasters through `deeplight.predict`: tiles with the values of one window.

What channel attention and generated kernels saw is recorded once, over the tile in the raster's
middle with its halo, and given to every tile. The oracle is the network on the whole raster, given
the values that were recorded over that window, with no help of the engine.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import from_origin

import deeplight
from deeplight import weights

SCALE, ROWS, COLUMNS, TILE = 2, 96, 84, 16
MEAN, STD = 295.0, 8.0
GUIDES = {"reflectance": 2, "dem": 1}


def write(path, values, cell, units=""):
    with rasterio.open(
        path, "w", driver="GTiff", count=len(values), height=values.shape[1],
        width=values.shape[2], dtype="float32", crs="EPSG:32622",
        transform=from_origin(500000, 9000000, cell, cell),
    ) as raster:  # fmt: skip
        raster.write(values.astype(np.float32))
        raster.units = (units,) * len(values)


def smooth(generator, bands, rows, columns):
    """Noise of unit spread that knows its neighbours."""
    noise = torch.randn(1, bands, rows + 6, columns + 6, generator=generator)
    image = torch.nn.functional.avg_pool2d(noise, 7, 1)[0]
    return ((image - image.mean()) / image.std()).numpy()


@pytest.fixture(scope="module", params=["spatial", "channel"])
def scene(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mocolsk")
    torch.manual_seed(7)
    net = deeplight.create_model(
        "mocolsk_net", scale=SCALE, guides=GUIDES, width=4, stages=1, blocks=1, reduction=2,
        reconstruction_blocks=1, selection=[request.param],
    ).eval()  # fmt: skip
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    image = {"units": "K", "mean": MEAN, "std": STD, "minimum": 250.0, "maximum": 340.0}
    guides = [
        {"name": name, "bands": bands, "mean": [0.0] * bands, "std": [1.0] * bands}
        for name, bands in GUIDES.items()
    ]
    card = {
        "name": "narrow", "architecture": "mocolsk_net", "options": net.options, "scale": SCALE,
        "preprocessing": {"low_resolution": image, "output": image, "guides": guides},
    }  # fmt: skip
    weights.save(net, card, folder / "narrow.safetensors")
    generator = torch.Generator().manual_seed(8)
    low = MEAN + STD * smooth(generator, 1, ROWS, COLUMNS)
    write(folder / "low.tif", low, 120.0, "K")
    tensors = {}
    for name, bands in GUIDES.items():
        values = smooth(generator, bands, SCALE * ROWS, SCALE * COLUMNS)
        write(folder / f"{name}.tif", values, 60.0)
        tensors[name] = torch.from_numpy(values)[None]
    return folder, net, torch.from_numpy((low - MEAN) / STD)[None].float(), tensors


def predict(folder, out, **options):
    sr = deeplight.load(folder / "narrow.safetensors")
    guides = {name: folder / f"{name}.tif" for name in GUIDES}
    report = sr.predict(folder / "low.tif", guides, out, progress=False, **options)
    with rasterio.open(out) as raster:
        return raster.read(1), report.rasters[0].tiles


def whole_with_values_of(net, low, guides, window):
    """The network on the whole raster, in kelvin; image-wide values of rows and columns alone."""
    top, bottom, left, right = window
    seen = {
        name: guide[:, :, SCALE * top : SCALE * bottom, SCALE * left : SCALE * right]
        for name, guide in guides.items()
    }
    with torch.no_grad():
        statistics = net.representative_statistics(low[:, :, top:bottom, left:right], seen)
        return (net(low, guides, statistics).image[0, 0] * STD + MEAN).numpy()


def decibels(a, b):
    """PSNR, with the spread of the one as its range."""
    error = np.square(a.astype(np.float64) - b).mean()
    return math.inf if error == 0 else 10 * math.log10(float(np.ptp(a)) ** 2 / error)


@pytest.fixture(scope="module")
def predicted(scene):
    """In tiles, and in one."""
    folder = scene[0]
    tiled, tiles = predict(folder, folder / "tiled.tif", tile=TILE)
    whole, one = predict(folder, folder / "whole.tif", tile=128)
    assert (tiles, one) == (math.ceil(ROWS / TILE) * math.ceil(COLUMNS / TILE), 1)
    return tiled, whole


def test_tiles_equal_the_whole_raster_with_the_values_of_the_middle_tile(scene, predicted):
    _, net, low, guides = scene
    # The tile whose centre is nearest to the middle, or the first of two at the same distance.
    top, left = 32, 32
    assert net.margin < 32, "the window must not be the whole raster"
    window = (
        max(top - net.margin, 0), min(top + TILE + net.margin, ROWS),
        max(left - net.margin, 0), min(left + TILE + net.margin, COLUMNS),
    )  # fmt: skip
    expected = whole_with_values_of(net, low, guides, window)
    assert np.ptp(expected) > STD
    assert decibels(expected, predicted[0]) >= 100
    np.testing.assert_allclose(predicted[0], expected, rtol=0, atol=2e-3)


def test_one_tile_is_the_network_itself(scene, predicted):
    _, net, low, guides = scene
    with torch.no_grad():
        expected = (net(low, guides).image[0, 0] * STD + MEAN).numpy()
    np.testing.assert_allclose(predicted[1], expected, rtol=0, atol=2e-3)


def test_on_an_image_that_is_alike_everywhere_the_middle_speaks_for_the_whole(predicted):
    tiled, whole = predicted
    assert not np.array_equal(tiled, whole)
    assert decibels(whole, tiled) >= 60
