"""Scenes in USGS's layout: real crops, level-2 files made here, and what is refused."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from deeplight.cli import main
from deeplight.landsat import LandsatScene, block_mean, write_layers

DATA = Path(__file__).parents[1] / "data"
PRODUCT = "LC09_L2SP_195025_20220707_20220708_02_T1"
CLEAR, CLOUD, WATER = 21824, 22280, 21952
MTL = """GROUP = LANDSAT_METADATA_FILE
  GROUP = PRODUCT_CONTENTS
    COLLECTION_NUMBER = 02
  END_GROUP = PRODUCT_CONTENTS
  GROUP = IMAGE_ATTRIBUTES
    SPACECRAFT_ID = "LANDSAT_9"
    SUN_ELEVATION = 30.0
  END_GROUP = IMAGE_ATTRIBUTES
  GROUP = LEVEL1_RADIOMETRIC_RESCALING
    RADIANCE_MULT_BAND_10 = 3.8000E-04
    RADIANCE_ADD_BAND_10 = 0.10000
    REFLECTANCE_MULT_BAND_4 = 2.0000E-05
    REFLECTANCE_ADD_BAND_4 = -0.100000
  END_GROUP = LEVEL1_RADIOMETRIC_RESCALING
  GROUP = LEVEL1_THERMAL_CONSTANTS
    K1_CONSTANT_BAND_10 = 799.0284
    K2_CONSTANT_BAND_10 = 1329.2405
  END_GROUP = LEVEL1_THERMAL_CONSTANTS
END_GROUP = LANDSAT_METADATA_FILE
END
"""


def write(path, values, left=600000.0, **tags):
    profile = {
        "driver": "GTiff", "height": values.shape[0], "width": values.shape[1], "count": 1,
        "dtype": values.dtype, "crs": "EPSG:32632", "transform": from_origin(left, 5e6, 30, 30),
        "nodata": 0,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile | tags) as raster:
        raster.write(values, 1)
    return path


def numbers(seed, low=8000, high=20000):
    return np.random.default_rng(seed).integers(low, high, (8, 12)).astype(np.uint16)


@pytest.fixture
def level2(tmp_path):
    """A scene of 8 x 12 with one pixel of fill, one cloud, one saturated."""
    folder = tmp_path / "scene"
    folder.mkdir()
    for band in (3, 4, 5):
        write(folder / f"{PRODUCT}_SR_B{band}.TIF", numbers(band))
    thermal = numbers(10, 40000, 50000)
    thermal[0, 0] = 0
    write(folder / f"{PRODUCT}_ST_B10.TIF", thermal)
    quality = np.full((8, 12), CLEAR, np.uint16)
    quality[2, 3], quality[4, 4] = CLOUD, WATER
    write(folder / f"{PRODUCT}_QA_PIXEL.TIF", quality, nodata=1)
    saturation = np.zeros((8, 12), np.uint16)
    saturation[7, 11] = 8
    write(folder / f"{PRODUCT}_QA_RADSAT.TIF", saturation, nodata=None)
    return folder


def hidden(*places):
    mask = np.zeros((8, 12), bool)
    for place in places:
        mask[place] = True
    return mask


def test_level2(level2):
    scene = LandsatScene.open(level2)
    assert (scene.satellite, scene.level, scene.year) == (9, 2, 2022)
    assert scene.names == ["temperature", "green", "red", "nir", "ndvi", "ndwi", "ndmvi"]
    kelvin = scene.temperature()
    missing = hidden((0, 0), (2, 3), (7, 11))
    np.testing.assert_array_equal(np.isnan(kelvin), missing)
    expected = numbers(10, 40000, 50000) * 0.00341802 + 149.0
    np.testing.assert_allclose(kelvin[~missing], expected[~missing], rtol=1e-12)
    red, nir = (numbers(band) * 2.75e-5 - 0.2 for band in (4, 5))
    found = scene.layers(["red", "ndvi"])
    seen = ~hidden((2, 3), (7, 11))
    np.testing.assert_allclose(found[0][seen], red[seen], rtol=1e-12)
    np.testing.assert_allclose(found[1][seen], ((nir - red) / (nir + red))[seen], rtol=1e-9)
    cloudy = LandsatScene.open(level2, clear=False).temperature()
    np.testing.assert_array_equal(np.isnan(cloudy), hidden((0, 0)))


def test_a_file_that_states_its_scale_is_not_scaled_twice(level2):
    plain = LandsatScene.open(level2).temperature()
    with rasterio.open(level2 / f"{PRODUCT}_ST_B10.TIF", "r+") as raster:
        raster.scales, raster.offsets = (0.00341802,), (149.0,)
    np.testing.assert_array_equal(LandsatScene.open(level2).temperature(), plain)


def test_written_with_units_and_nodata(level2, tmp_path):
    out = tmp_path / "lst.tif"
    values = write_layers(LandsatScene.open(level2), ["temperature"], out)
    with rasterio.open(out) as raster:
        assert raster.units == ("K",) and raster.descriptions == ("temperature",)
        assert math.isnan(raster.nodata) and raster.crs.to_epsg() == 32632
        assert raster.transform[0] == 30
        np.testing.assert_array_equal(raster.read(1), values[0].astype(np.float32))
    with pytest.raises(ValueError, match="write two files"):
        write_layers(LandsatScene.open(level2), ["temperature", "ndvi"], tmp_path / "x.tif")
    with pytest.raises(OSError, match=r"lst\.tif"):
        write_layers(LandsatScene.open(level2), ["temperature"], out)


def test_coarser_cells_are_means_and_indices_are_of_means(level2, tmp_path):
    scene = LandsatScene.open(level2)
    coarse = scene.layers(["red", "nir", "ndvi"], coarsen=4)
    assert coarse.shape == (3, 2, 3)
    red = numbers(4) * 2.75e-5 - 0.2
    assert coarse[0, 0, 1] == pytest.approx(red[:4, 4:8].mean())
    np.testing.assert_allclose(coarse[2], (coarse[1] - coarse[0]) / (coarse[1] + coarse[0]))
    assert np.isnan(coarse[0, 0, 0]) and np.isnan(coarse[0, 1, 2])  # the cloud, the saturated one
    write_layers(scene, ["ndvi"], tmp_path / "n.tif", coarsen=5)
    with rasterio.open(tmp_path / "n.tif") as raster:
        assert raster.shape == (1, 2) and raster.transform[0] == 150 and raster.units == ("1",)
    with pytest.raises(ValueError, match="blocks of 9 x 9 do not fit 8x12"):
        block_mean(red, 9)


def test_level1_of_landsat_9_reads_its_metadata(tmp_path):
    name = "LC09_L1TP_195025_20220707_20220708_02_T1"
    write(tmp_path / f"{name}_B10.TIF", numbers(1, 20000, 30000))
    write(tmp_path / f"{name}_B4.TIF", numbers(2))
    with pytest.raises(ValueError, match="Landsat 9 needs its MTL file"):
        LandsatScene.open(tmp_path).temperature()
    (tmp_path / f"{name}_MTL.txt").write_text(MTL)
    scene = LandsatScene.open(tmp_path)
    radiance = 3.8e-4 * numbers(1, 20000, 30000) + 0.1
    expected = 1329.2405 / np.log(799.0284 / radiance + 1)
    np.testing.assert_allclose(scene.temperature(), expected, rtol=1e-12)
    red = (2e-5 * numbers(2) - 0.1) / 0.5
    np.testing.assert_allclose(scene.reflectance("red"), red, rtol=1e-12)


def test_the_crop_of_landsat_8():
    scene = LandsatScene.open(DATA / "landsat8")
    assert (scene.satellite, scene.level) == (8, 1)
    with rasterio.open(next((DATA / "landsat8").glob("*_B10.TIF"))) as raster:
        dn = raster.read(1).astype(np.float64)
    expected = 1321.0789 / np.log(774.8853 / (3.342e-4 * dn + 0.1) + 1)
    np.testing.assert_allclose(scene.temperature(), expected, rtol=1e-12)
    assert 295 < expected.mean() < 305  # a summer's day
    # The second thermal band sees nearly the same ground.
    assert abs(scene.temperature(11).mean() - expected.mean()) < 4
    with pytest.raises(ValueError, match="needs the sun's elevation"):
        scene.reflectance("red")
    assert np.nanmean(scene.layers(["ndvi"])) > 0.2


def test_the_crop_of_landsat_5_against_the_producer_of_the_scene():
    scene = LandsatScene.open(DATA / "landsat5")
    assert (scene.satellite, scene.level, scene.year) == (5, 1, 1988)
    kelvin = scene.temperature()
    # Digital number 137 is 296.4 K in the scene's own table of brightness temperatures.
    with rasterio.open(next((DATA / "landsat5").glob("*_B6.TIF"))) as raster:
        dn = raster.read(1)
    found = {int(n): float(kelvin[dn == n][0]) for n in (131, 137, 146) if (dn == n).any()}
    for number, value in found.items():
        radiance = 0.055375 * number + 1.18243
        assert value == pytest.approx(1260.56 / math.log(607.76 / radiance + 1), rel=1e-12)
    assert found[137] == pytest.approx(296.4, abs=0.1)
    ndvi, ndmvi = scene.layers(["ndvi", "ndmvi"])
    assert np.isfinite(ndvi).all() and ndvi.max() > 0.6 and ndvi.min() < 0
    assert np.corrcoef(ndvi.ravel(), ndmvi[np.isfinite(ndmvi)].ravel())[0, 1] > 0.9


def rename(folder, old, new):
    for path in folder.glob(f"*{old}*"):
        path.rename(path.with_name(path.name.replace(old, new)))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: rename(f, "QA_PIXEL", "BQA"), "BQA is of collection 1"),
        (lambda f: rename(f, "QA_PIXEL", "pixel_qa"), "whose bits differ"),
        (
            lambda f: write(f / f"{PRODUCT}_QA_PIXEL.TIF", np.full((8, 12), 2720, np.uint16)),
            "holds 2720, which is no value of QA_PIXEL",
        ),
        (
            lambda f: write(f / f"{PRODUCT}_ST_B10.TIF", numbers(1)[:7]),
            "QA_PIXEL.TIF",
        ),
        (
            lambda f: write(f / f"{PRODUCT}_ST_B10.TIF", np.full((8, 12), 65535, np.uint16), 6e5),
            None,
        ),
        (lambda f: write(f / "LC09_x_20200101_B4.TIF", numbers(1)), "level 1 and of level 2"),
        (lambda f: rename(f, "LC09", "LE07"), "its name says Landsat 7"),
        (lambda f: rename(f, "LC09_", ""), "its name says none of them"),
        (
            lambda f: shutil.copy(f / f"{PRODUCT}_SR_B4.TIF", f / "LC09_other_SR_B4.TIF"),
            "two scenes in one folder",
        ),
        (
            lambda f: (f / "a_MTL.txt").write_text(MTL.replace("LANDSAT_9", "LANDSAT_8")),
            "is of Landsat 9, '.*' says LANDSAT_8",
        ),
        (
            lambda f: (f / "a_MTL.txt").write_text(MTL.replace("= 02", "= 01")),
            "is of collection 2, '.*' of collection 1",
        ),
        (lambda f: (f / "a_MTL.txt").write_text("hello"), "is no MTL file"),
    ],
)
def test_refused(level2, spoil, message):
    spoil(level2)
    if message is None:  # the hottest number is still a temperature
        assert np.nanmax(LandsatScene.open(level2).temperature()) < 400
        return
    with pytest.raises((ValueError, OSError), match=message):
        LandsatScene.open(level2).temperature()


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        LandsatScene.open(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="no Landsat band"):
        LandsatScene.open(tmp_path)


def test_command(level2, tmp_path, capsys):
    out = tmp_path / "guides.tif"
    with pytest.raises(SystemExit) as stopped:
        main(["landsat", str(level2), "--layers", "red,ndvi", "-o", str(out), "--json"])
    assert stopped.value.code == 0
    table = json.loads(capsys.readouterr().out)
    assert [layer["name"] for layer in table["layers"]] == ["red", "ndvi"]
    assert table["layers"][0]["valid"] == pytest.approx(94 / 96)
    assert out.is_file()
    with pytest.raises(SystemExit) as stopped:
        main(["landsat", str(level2), "--layers", "rad", "-o", str(out), "--overwrite"])
    assert stopped.value.code == 1
    assert "unknown layer 'rad'" in capsys.readouterr().err
