"""Scores streamed over rasters: the value of the whole images, in bounded memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from deeplight import _native, evaluation

pytestmark = pytest.mark.skipif(not _native.has_raster, reason="built without GDAL")
SCALE = 4
SAMPLE = Path(evaluation.__file__).parent / "sample_data" / "black_marble" / "ntl_hr.tif"


def grid_of(rows, columns, cell):
    crs = _native.raster_info(SAMPLE).grid.crs_wkt
    return _native.Grid(rows, columns, (10.0, cell, 0, 50.0, 0, -cell), crs)


def write(path, values, cell, nodata=float("nan"), valid=None):
    grid = grid_of(*values.shape, cell)
    mask = None if valid is None else valid[None]
    _native.write_raster(path, values[None].astype("float32"), grid, valid=mask, nodata=nodata)
    return path


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    truth = rng.gamma(0.7, 60, (148, 92)) * (rng.random((148, 92)) < 0.3)
    low = truth.reshape(37, SCALE, 23, SCALE).mean((1, 3))
    valid = rng.random(truth.shape) > 0.002
    known = np.ones(low.shape, dtype=bool)
    known[7, 9] = False
    return {
        "truth": write(tmp_path / "hr.tif", truth, 0.1, valid=valid),
        "ours": write(tmp_path / "sr.tif", truth * 0.9 + rng.random(truth.shape), 0.1),
        "low": write(tmp_path / "lr.tif", low, 0.4, valid=known),
        "error": tmp_path / "error.tif",
    }


def streamed(files, **options):
    arguments = {"data_range": 400.0, "low_resolution": files["low"], "everything": True}
    return _native.score_rasters(
        files["truth"], [("ours", files["ours"])], **{**arguments, **options}
    )


@pytest.mark.parametrize("window", [None, (5, 3, 101, 70), (50, 20, 9, 60)])
@pytest.mark.parametrize("block_pixels", [1, 92 * 5, 92 * 40, 1 << 21])
def test_streamed_is_whole(files, window, block_pixels):
    got = streamed(files, window=window, block_pixels=block_pixels)
    images = {name: evaluation.read_image(files[name]) for name in ("truth", "ours", "low")}
    expected = evaluation.compare(
        images["truth"],
        {"ours": images["ours"]},
        data_range=400.0,
        low_resolution=images["low"],
        window=window,
        everything=True,
    )
    assert [row["name"] for row in got["rasters"]] == list(expected.rows)
    for row in got["rasters"]:
        wanted = expected.rows[row["name"]]
        assert list(row["scores"]) == list(wanted)
        assert row["scores"] == pytest.approx(wanted, rel=1e-12, abs=1e-12, nan_ok=True)
    assert got["valid"] == int(expected.valid.sum())
    assert got["lit"] / got["valid"] == pytest.approx(expected.lit_share, rel=1e-12)


def test_compare_files_is_compare(files):
    got = evaluation.compare_files(
        files["truth"], {"ours": files["ours"]}, data_range=100.0, error_map=files["error"]
    )
    truth, ours = (evaluation.read_image(files[name]) for name in ("truth", "ours"))
    expected = evaluation.compare(truth, {"ours": ours}, data_range=100.0)
    assert got.rows["ours"] == pytest.approx(expected.rows["ours"], rel=1e-12)
    assert got.notes == expected.notes and len(got.notes) == 1
    error = evaluation.read_image(files["error"])
    assert (error.valid == (truth.valid & ours.valid)).all()
    difference = (ours.values - truth.values).float().double()
    assert (error.values[error.valid] == difference[error.valid]).all()
    assert error.info.grid.geotransform == truth.info.grid.geotransform


def test_cancelled_leaves_no_error_map(files):
    with pytest.raises(KeyboardInterrupt):
        streamed(
            files,
            block_pixels=92 * 16,
            error_map=files["error"],
            progress=lambda done, total: done < 10,
        )
    assert sorted(p.name for p in files["error"].parent.iterdir()) == ["hr.tif", "lr.tif", "sr.tif"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data_range": None}, "data_range must be given"),
        ({"data_range": 0.0}, "above 0, got 0"),
        ({"lit_threshold": float("nan")}, "lit threshold must be finite"),
        ({"window": (0, 0, 149, 10)}, "leaves the truth of 148x92"),
        ({"scale": 2}, "= 2 x low resolution"),
        ({"block_pixels": 0}, "block_pixels must be at least 1"),
    ],
)
def test_wrong_use_is_named(files, options, message):
    with pytest.raises(ValueError, match=message):
        streamed(files, **options)


def test_other_grids_are_named(files, tmp_path):
    moved = write(tmp_path / "moved.tif", np.ones((148, 92)), 0.11)
    with pytest.raises(ValueError, match=r"the prediction \(.*moved.tif\) covers"):
        _native.score_rasters(files["truth"], [("ours", moved)], data_range=1.0)
    with pytest.raises(ValueError, match="no prediction and no low resolution"):
        _native.score_rasters(files["truth"], [], data_range=1.0)


@pytest.mark.parametrize(("truth", "ours"), [("K", "degC"), ("degrees_celsius", "kelvin")])
def test_kelvin_is_not_compared_with_celsius(tmp_path, truth, ours):
    names = {"hr.tif": truth, "sr.tif": ours, "same.tif": truth, "silent.tif": ""}
    for name, units in names.items():
        values = np.full((1, 8, 8), 290, dtype="float32")
        _native.write_raster(tmp_path / name, values, grid_of(8, 8, 0.1), units=units)

    def run(name):
        return _native.score_rasters(tmp_path / "hr.tif", [("ours", tmp_path / name)], data_range=1)

    with pytest.raises(ValueError, match=f"hr.tif' is in '{truth}', the prediction '.*'{ours}'"):
        run("sr.tif")
    assert run("same.tif")["valid"] == run("silent.tif")["valid"] == 64


def test_memory_is_bounded(tmp_path):
    side = 6000
    grid = grid_of(side, side, 0.001)
    writer = _native.RasterWriter(tmp_path / "t.tif", grid)
    rows = np.random.default_rng(0).random((1, 256, side)).astype("float32")
    for row in range(0, side, 256):
        count = min(256, side - row)
        writer.write(rows[:, :count], window=(row, 0, count, side))
    writer.close()
    program = """
import resource, sys
from deeplight import _native
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
name = sys.argv[1]
def run(window):
    _native.score_rasters(name, [("a", name)], data_range=1.0, window=window, block_pixels=1 << 19)
run((0, 0, 512, 6000))
before = peak()
run(None)
print(peak() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "t.tif")],
        capture_output=True,
        text=True,
        check=True,
        env={"OMP_NUM_THREADS": "1", "GDAL_CACHEMAX": "64"},
    )
    # The whole raster is 144 MB as float32 and 288 MB in double precision.
    assert int(done.stdout) * 1024 < 100e6
