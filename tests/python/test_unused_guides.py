"""Guides that an ablation does not look at need not be given; of another grid, --align is named."""

import shutil

import numpy as np
import pytest
import rasterio

import deeplight
from deeplight import weights
from deeplight.cli import main

SAMPLES = next(iter(deeplight.__path__)) + "/sample_data/black_marble"
LOW, DMO, DEM = (f"{SAMPLES}/{name}.tif" for name in ("ntl_lr_x8", "dmo", "dem"))

pytestmark = [
    pytest.mark.skipif(not weights.list_weights(), reason="built without weights"),
    pytest.mark.skipif(not deeplight._native.has_raster, reason="built without GDAL"),
]


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["predict", *map(str, arguments)])
    return ended.value.code, capsys.readouterr().err


def image(path):
    with rasterio.open(path) as raster:
        return raster.read(1)


def test_an_unused_guide_may_be_left_out(tmp_path, capsys):
    name = "black-marble-without-dmo-x8"
    predictor = deeplight.load(name)
    assert predictor.unused_guides == ("dmo",) and list(predictor.guides) == ["dmo", "dem"]
    assert "dmo (" not in repr(predictor) and "dem (1 band)" in repr(predictor)
    both, alone = tmp_path / "both.tif", tmp_path / "alone.tif"
    for out, guides in ((both, [f"-gdmo={DMO}", f"-gdem={DEM}"]), (alone, [f"-gdem={DEM}"])):
        code, error = run(capsys, LOW, "-w", name, *guides, "-o", out, "-q")
        assert code == 0, error
    np.testing.assert_array_equal(image(both), image(alone))
    api = tmp_path / "api.tif"
    predictor.predict(LOW, guides={"dem": DEM}, out=api)
    np.testing.assert_array_equal(image(api), image(alone))
    # The one that it looks at is still asked for, and so are both of other weights.
    assert run(capsys, LOW, "-w", name, f"-gdmo={DMO}", "-o", tmp_path / "x.tif")[0] == 2
    with pytest.raises(ValueError, match=r"guide 'dem' \(1 band\) is missing"):
        predictor.predict(LOW, guides={"dmo": DMO}, out=tmp_path / "x.tif")
    with pytest.raises(ValueError, match=r"guide 'dmo' \(15 bands\) is missing"):
        deeplight.load("black-marble-x8").predict(LOW, guides={"dem": DEM}, out=tmp_path / "x.tif")


def test_the_refusal_of_another_grid_names_align(tmp_path, capsys):
    moved = tmp_path / "dem.tif"
    shutil.copy(DEM, moved)
    with rasterio.open(moved, "r+") as raster:
        raster.transform = raster.transform @ rasterio.Affine.translation(3, 0)
    arguments = (LOW, "-w", "black-marble-without-dmo-x8", f"-gdem={moved}", "-q")
    code, error = run(capsys, *arguments, "-o", tmp_path / "sr.tif")
    assert code == 1 and "align (--align)" in error and error.count("\n") == 1
    code, error = run(capsys, *arguments, "-o", tmp_path / "sr.tif", "--align")
    assert code == 0, error
