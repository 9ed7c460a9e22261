"""`deeplight demo`, with small weights of the test's own and with the shipped ones."""

import re

import pytest
from typer.testing import CliRunner

import deeplight
from deeplight import weights
from deeplight.cli import app, demo

runner = CliRunner()

pytestmark = pytest.mark.skipif(not deeplight._native.has_raster, reason="built without GDAL")

GUIDES = [{"name": "dmo", "bands": 15}, {"name": "dem", "bands": 1}]


def untrained(folder, guides=GUIDES, scale=8, name="tiny"):
    options = {"scale": scale, "width": 8, "guides": guides, "refine": {"bicubic_skip": True}}
    card = {
        "name": name,
        "architecture": "deeplight_sr",
        "options": options,
        "scale": scale,
        "preprocessing": {
            "low_resolution": {"units": "DN", "transform": "log1p", "mean": 0, "std": 1},
            "guides": [{**guide, "std": [255.0] * guide["bands"]} for guide in guides],
        },
    }
    net = deeplight.create_model("deeplight_sr", **options)
    return weights.save(net, card, folder / f"{name}.safetensors")


def _line(name, table):
    return re.search(rf"^ *{re.escape(name)} +(\d.*)$", table, re.MULTILINE)[1]


def test_writes_a_raster_and_a_picture_and_prints_the_table(tmp_path):
    path = untrained(tmp_path)
    output = tmp_path / "out" / "demo"
    for _ in range(2):  # a second demo replaces the first
        result = runner.invoke(
            app, ["demo", "-w", str(path), "-o", str(output)], catch_exceptions=False
        )
        assert result.exit_code == 0, result.output
    for row in ("ours", "bicubic", "bicubic + block mean"):
        assert re.search(rf"^ *{re.escape(row)} +\d", result.stdout, re.MULTILINE)
    assert "8-bit display units" in result.stderr
    assert "not radiance" in result.stderr
    assert "trained and chosen without" not in result.stderr  # unknown of foreign weights
    assert re.search(r"ours is [+-]\d+\.\d\d dB from bicubic", result.stdout)
    assert (output / "comparison.png").read_bytes().startswith(b"\x89PNG")
    sr = deeplight._native.raster_info(output / "sr.tif")
    truth = deeplight._native.raster_info(demo._SAMPLES / "ntl_hr.tif")
    assert (sr.grid.rows, sr.grid.columns) == (truth.grid.rows, truth.grid.columns)
    assert sr.grid.geotransform == truth.grid.geotransform
    assert sorted(file.name for file in output.iterdir()) == ["comparison.png", "sr.tif"]


@pytest.mark.parametrize(
    ("changes", "missing"),
    [({"scale": 4}, "ntl_lr_x4.tif"), ({"guides": [{"name": "slope", "bands": 1}]}, "slope.tif")],
)
def test_weights_that_the_sample_does_not_suit(tmp_path, changes, missing):
    path = untrained(tmp_path, **changes)
    result = runner.invoke(app, ["demo", "-w", str(path), "-o", str(tmp_path / "out")])
    assert isinstance(result.exception, ValueError)
    assert missing in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_unknown_weights(tmp_path):
    result = runner.invoke(app, ["demo", "-w", "no-such", "-o", str(tmp_path / "out")])
    assert "no weights named 'no-such'" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_without_matplotlib_there_is_no_picture_but_everything_else(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    path = untrained(tmp_path)
    output = tmp_path / "out"
    result = runner.invoke(
        app, ["demo", "-w", str(path), "-o", str(output)], catch_exceptions=False
    )
    assert result.exit_code == 0
    assert "deeplight[plot]" in result.stderr
    assert [file.name for file in output.iterdir()] == ["sr.tif"]


@pytest.mark.skipif("black-marble-x8" not in weights.list_weights(), reason="not shipped")
def test_shipped_weights_are_ahead_of_both_baselines_where_there_is_light(tmp_path):
    result = runner.invoke(app, ["demo", "-o", str(tmp_path)], catch_exceptions=False)
    assert result.exit_code == 0
    rows = {
        name: [float(v) for v in _line(name, result.stdout).split()]
        for name in ("ours", "bicubic", "bicubic + block mean")
    }
    light, lit_psnr, lit_ssim = 4, 5, 6
    for baseline in ("bicubic", "bicubic + block mean"):
        assert rows["ours"][lit_psnr] > rows[baseline][lit_psnr]
        assert rows["ours"][lit_ssim] > rows[baseline][lit_ssim]
    assert abs(rows["ours"][light] - 1) <= 0.1
    gain = float(re.search(r"ours is ([+-]\d+\.\d\d) dB", result.stdout)[1])
    assert gain == pytest.approx(rows["ours"][lit_psnr] - rows["bicubic"][lit_psnr], abs=0.011)
    # The bar for shipped weights, on the most lit window of the block that no training read.
    assert gain >= 0.7 and rows["ours"][lit_ssim] >= 0.27
    assert "trained and chosen without this block" in result.stderr
