"""Weights that take kelvin, on rasters: units in and out, block means kept, wrong units refused."""

import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import from_origin

import deeplight
from deeplight import weights

SCALE, ROWS, COLUMNS = 4, 24, 20
IMAGE = {"units": "K", "mean": 296.6, "std": 1.4, "minimum": 240.0, "maximum": 330.0}


def write(path, values, cell=480.0, units="", nodata=None, **tags):
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=values.shape[0], width=values.shape[1],
        dtype=values.dtype, crs="EPSG:32622", nodata=nodata,
        transform=from_origin(500000, 9000000, cell, cell),
    ) as raster:  # fmt: skip
        raster.write(values, 1)
        if units:
            raster.units = (units,)
        if "scale" in tags:
            raster.scales, raster.offsets = (tags["scale"],), (tags["offset"],)
    return path


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Small random weights with a card in kelvin, temperatures and a guide."""
    folder = tmp_path_factory.mktemp("kelvin")
    torch.manual_seed(0)
    net = deeplight.create_model(
        "deeplight_sr", scale=SCALE, width=8, guides={"ndvi": 1}, refine={"bicubic_skip": True}
    )
    with torch.no_grad():
        for key, parameter in net.named_parameters():
            if parameter.dim() > 1:
                small = 0.1 if "transformer" in key or "offset" in key else 0.7
                parameter.normal_(0, small / parameter[0].numel() ** 0.5)
    card = {
        "name": "kelvin", "architecture": "deeplight_sr", "options": net.options, "scale": SCALE,
        "preprocessing": {
            "low_resolution": IMAGE, "output": IMAGE,
            "guides": [{"name": "ndvi", "bands": 1, "mean": [0.4], "std": [0.2]}],
        },
    }  # fmt: skip
    weights.save(net, card, folder / "kelvin.safetensors")
    random = np.random.default_rng(0)
    kelvin = random.uniform(293, 301, (ROWS, COLUMNS)).astype(np.float32)
    write(folder / "ndvi.tif", random.random((96, 80)).astype(np.float32), 120.0)
    write(folder / "kelvin.tif", kelvin, units="K")
    return folder


def predict(scene, low, out, **options):
    sr = deeplight.load(scene / "kelvin.safetensors")
    report = sr.predict(low, {"ndvi": scene / "ndvi.tif"}, out, progress=False, **options)
    with rasterio.open(out) as raster:
        return raster.read(1), raster.units[0], report


def block_mean(image):
    return image.astype(np.float64).reshape(ROWS, SCALE, COLUMNS, SCALE).mean((1, 3))


def low_resolution(scene):
    with rasterio.open(scene / "kelvin.tif") as raster:
        return raster.read(1)


def test_kelvin_in_kelvin_out_with_block_means_kept(scene, tmp_path):
    plain, units, _ = predict(scene, scene / "kelvin.tif", tmp_path / "a.tif")
    assert units == "K" and 280 < plain.mean() < 315
    kept, units, report = predict(
        scene, scene / "kelvin.tif", tmp_path / "b.tif", consistency="additive"
    )
    low = low_resolution(scene)
    assert units == "K"
    assert np.abs(block_mean(plain) - low).max() > 0.05
    np.testing.assert_allclose(block_mean(kept), low, atol=2e-4)
    assert report.rasters[0].mean_out == pytest.approx(float(low.mean()), abs=1e-3)


def test_celsius_and_scaled_integers_give_the_same_kelvin(scene, tmp_path):
    expected, _, _ = predict(scene, scene / "kelvin.tif", tmp_path / "k.tif")
    low = low_resolution(scene)
    celsius = write(tmp_path / "c.tif", (low - 273.15).astype(np.float32), units="degC")
    found, units, report = predict(scene, celsius, tmp_path / "c_out.tif")
    assert units == "K"
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert not [text for text in report.warnings if "degC" in text]
    stored = np.rint((low - 273.15) / 0.001).astype(np.int32)
    stored[3, 4] = -9999
    scaled = write(
        tmp_path / "s.tif", stored, units="Celsius", scale=0.001, offset=0.0, nodata=-9999
    )
    found, units, _ = predict(scene, scaled, tmp_path / "s_out.tif", nodata=float("nan"))
    assert units == "K"
    missing = np.isnan(found)
    assert missing[12:16, 16:20].all() and missing.sum() == 16
    far = np.s_[60:, :]  # far from the missing pixel, beyond the network's reach
    np.testing.assert_allclose(found[far], expected[far], atol=0.02)


@pytest.mark.parametrize(
    ("change", "units", "message"),
    [
        (lambda k: k - 273.15, "", r"wrong\.tif' holds \d\d\.\d* to \d\d\.\d* K after decoding"),
        (lambda k: k * 50, "K", r"wrong\.tif' holds 1\d{4}.* K after decoding"),
        (lambda k: k, "m", r"wrong\.tif' is in 'm', which is no temperature"),
    ],
)
def test_wrong_units_are_refused_by_name(scene, tmp_path, change, units, message):
    values = change(low_resolution(scene)).astype(np.float32)
    low = write(tmp_path / "wrong.tif", values, units=units)
    with pytest.raises(ValueError, match=message):
        predict(scene, low, tmp_path / "out.tif")
    assert not (tmp_path / "out.tif").exists()
