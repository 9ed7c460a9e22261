"""Invalid pixels leave no trace: whatever stands in them, and beyond the margin nothing at all."""

import numpy as np
import pytest

import deeplight

pytestmark = pytest.mark.skipif(not deeplight._native.has_raster, reason="built without GDAL")

rasterio = pytest.importorskip("rasterio")

from test_predictor import GUIDES, SCALE, guides_of, read, scene, write  # noqa: E402, F401

#: What may stand in a pixel that holds no observation, and the nodata that the file declares.
FILLS = [(np.nan, None), (np.inf, None), (-np.inf, None), (-9999.0, -9999.0), (255.0, 255.0),
         (3e38, 3e38), (0.0, 0.0)]  # fmt: skip


@pytest.fixture(scope="module")
def predictor(scene):  # noqa: F811
    return deeplight.load(scene / "tiny.safetensors")


def filled(values, holes, fill, nodata):
    """A copy with `fill` in the holes, and no other pixel that looks like nodata."""
    values = values.copy()
    if nodata is not None:
        values[values == nodata] += 1
    values[holes] = fill
    return values


def predict(predictor, low, guides, out):
    predictor.predict(low, guides, out, tile=40, overwrite=True, progress=False, nodata=-1e6)
    return read(out)[0]


def test_no_value_of_an_invalid_low_resolution_pixel_is_seen(predictor, scene, tmp_path):  # noqa: F811
    low = read(scene / "ntl.tif")[0]
    holes = np.zeros(low.shape, bool)
    holes[3:5, 2] = holes[0, 0] = holes[100, -1] = True
    results = []
    for fill, nodata in FILLS:
        write(tmp_path / "low.tif", filled(low, holes, fill, nodata), nodata=nodata)
        results.append(
            predict(predictor, tmp_path / "low.tif", guides_of(scene), tmp_path / "sr.tif")
        )
        np.testing.assert_array_equal(results[-1], results[0])
    fine = holes.repeat(SCALE, 0).repeat(SCALE, 1)
    assert ((results[0] == -1e6) == fine).all()
    assert np.isfinite(results[0]).all()


@pytest.mark.parametrize("name", GUIDES)
def test_no_value_of_an_invalid_guide_pixel_is_seen(predictor, scene, tmp_path, name):  # noqa: F811
    guide = read(scene / f"{name}.tif")
    clean = predict(predictor, scene / "ntl.tif", guides_of(scene), tmp_path / "sr.tif")
    margin = predictor.network.margin
    row = 20
    for band in range(GUIDES[name]):
        holes = np.zeros(guide.shape, bool)
        holes[band, row * SCALE : row * SCALE + 3, 4:7] = True
        results = []
        for fill, nodata in FILLS:
            write(tmp_path / "guide.tif", filled(guide, holes, fill, nodata), 1000 / SCALE, nodata)
            others = {**guides_of(scene), name: tmp_path / "guide.tif"}
            results.append(predict(predictor, scene / "ntl.tif", others, tmp_path / "sr.tif"))
            np.testing.assert_array_equal(results[-1], results[0])
        assert (results[0] != -1e6).all() and np.isfinite(results[0]).all()
        changed = np.nonzero((results[0] != clean).any(1))[0] // SCALE
        assert len(changed) > 0
        assert np.abs(changed - row).max() <= margin
        assert row + margin + 1 < clean.shape[0] // SCALE, "the raster ends before the margin"
