"""Quality bits (``--qa``) from files to masked predictions, in Python and on the command line."""

import json

import numpy as np
import pytest

import deeplight
from deeplight import plan as plans

pytestmark = pytest.mark.skipif(not deeplight._native.has_raster, reason="built without GDAL")

rasterio = pytest.importorskip("rasterio")

from test_predictor import (  # noqa: E402, F401
    COLUMNS,
    ROWS,
    SCALE,
    guides_of,
    options_of,
    read,
    run,
    scene,
    write,
)

CLOUD, SNOW = 1 << 3, 1 << 10


@pytest.fixture
def masked(scene, tmp_path):  # noqa: F811
    """A low resolution with nonsense under clouds, its quality raster, and where the clouds are."""
    random = np.random.default_rng(7)
    cloud = np.zeros((ROWS, COLUMNS), bool)
    cloud[30:50, 2:9] = True
    bits = np.where(cloud, CLOUD, 0) | np.where(random.random(cloud.shape) < 0.5, SNOW, 0)
    with rasterio.open(scene / "ntl.tif") as source:
        profile, values = source.profile, source.read()
    with rasterio.open(tmp_path / "qa.tif", "w", **profile | {"dtype": "uint16"}) as target:
        target.write(bits[None].astype(np.uint16))
    clouded = values.copy()
    clouded[0, cloud] = 3e30
    write(tmp_path / "clouded.tif", clouded)
    write(tmp_path / "truth.tif", np.where(cloud, np.nan, values[0]), nodata=np.nan)
    return tmp_path, np.repeat(np.repeat(cloud, SCALE, 0), SCALE, 1)


def test_masked_pixels_are_nodata_and_leave_no_trace(scene, masked):  # noqa: F811
    folder, cloud = masked
    sr = deeplight.load(scene / "tiny.safetensors")
    sr.predict(folder / "truth.tif", guides_of(scene), folder / "expected.tif", tile=40)
    for qa in (f"{folder / 'qa.tif'}:3", [f"{folder / 'qa.tif'}@0:3"]):
        report = sr.predict(
            folder / "clouded.tif", guides_of(scene), folder / "sr.tif", qa=qa, tile=40,
            overwrite=True,
        )  # fmt: skip
        got = read(folder / "sr.tif")[0]
        np.testing.assert_array_equal(np.isnan(got), cloud)
        np.testing.assert_array_equal(got, read(folder / "expected.tif")[0])
        assert report.rasters[0].invalid_pixels == 20 * 7
    with rasterio.open(folder / "sr.tif") as result:
        assert result.tags()["DEEPLIGHT_QUALITY"] == "qa.tif, band 0, bits 3"


def test_a_plan_keeps_the_mask(scene, masked, monkeypatch):  # noqa: F811
    folder, cloud = masked
    monkeypatch.chdir(folder)
    made = plans.make_plan(
        scene / "tiny.safetensors", "clouded.tif", guides_of(scene), "sr.tif", tile=40,
        qa="qa.tif:3",
    )  # fmt: skip
    assert made.options["qa"] == [f"{folder / 'qa.tif'}:3"]
    plan = plans.load_plan(made.save("plan.json"))
    monkeypatch.chdir("/")
    plans.run_shard(plan, 0, 1, progress=False)
    report = plans.merge(plan)
    assert report.rasters[0].invalid_pixels == 20 * 7
    np.testing.assert_array_equal(np.isnan(read(folder / "sr.tif")[0]), cloud)


def test_the_command_line_masks(scene, masked):  # noqa: F811
    folder, cloud = masked
    options = options_of(scene, folder / "sr.tif")
    done = run(folder / "clouded.tif", *options, "--qa", f"{folder / 'qa.tif'}:3", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rasters"][0]["invalid_pixels"] == 20 * 7
    np.testing.assert_array_equal(np.isnan(read(folder / "sr.tif")[0]), cloud)


@pytest.mark.parametrize(
    "mask, said",
    [
        ("qa.tif", "FILE:BITS such as qa.tif:0,1,4-7, got 'qa.tif'"),
        ("qa.tif:", "FILE:BITS"),
        ("qa.tif:cloud", "FILE:BITS"),
        ("qa.tif:1;2", "FILE:BITS"),
    ],
)
def test_a_text_that_is_no_mask_is_wrong_use(mask, said, tmp_path):
    done = run("a.tif", "-w", "x", "-o", "b.tif", "--qa", mask, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr


def test_as_many_masks_as_rasters_or_one(tmp_path):
    done = run("a.tif", "b.tif", "c.tif", "-w", "x", "-o", ".", "--qa", "a:1", "--qa", "b:1")
    assert done.returncode == 2
    assert "2 --qa for 3 inputs; give one for all, or one for each" in done.stderr


@pytest.mark.parametrize(
    "mask, said",
    [
        ("qa.tif:3,20", "band 0 .counted from 0. holds uint16, bits 0 to 15; asked for 3,20"),
        ("qa.tif@1:3", "band 1 .counted from 0. of .*qa.tif', which has 1"),
        ("qa.tif:40", "quality bits are 0 to 31"),
        ("qa.tif:5-2", "run backwards"),
        ("ntl.tif:1", "holds float32; bits are read from one file of integers"),
    ],
)
def test_impossible_bits_are_named_before_work_begins(mask, said, scene, masked):  # noqa: F811
    folder, _ = masked
    sr = deeplight.load(scene / "tiny.safetensors")
    write(folder / "ntl.tif", read(scene / "ntl.tif"))
    with pytest.raises(ValueError, match=said):
        sr.predict(
            folder / "clouded.tif", guides_of(scene), folder / "no.tif", qa=f"{folder / mask}"
        )
    assert not list(folder.glob(".no*")) and not (folder / "no.tif").exists()
