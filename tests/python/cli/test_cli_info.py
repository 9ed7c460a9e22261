"""`deeplight list`, `info` and `doctor`."""

import json

import pytest
import torch
from typer.testing import CliRunner

import deeplight
from deeplight import weights
from deeplight.cli import app, doctor

runner = CliRunner()

OPTIONS = {"scale": 2, "width": 8, "guides": [{"name": "dmo", "bands": 4}]}


@pytest.fixture
def trained(tmp_path):
    net = deeplight.create_model("deeplight_sr", **OPTIONS)
    card = {
        "name": "small",
        "description": "a test [not markup]",
        "architecture": "deeplight_sr",
        "options": OPTIONS,
        "scale": 2,
        "preprocessing": {
            "low_resolution": {"units": "nW/cm2/sr", "transform": "log1p", "maximum": 99.5},
            "guides": [
                {
                    "name": "dmo",
                    "bands": 2,
                    "units": "DN",
                    "band_names": ["red", "nir"],
                    "mean": [1.0, 2.0],
                    "std": [3.0, 4.0],
                    "contrast": "difference",
                }
            ],
        },
        "cell_size": [0.004, 0.004],
        "cell_size_units": "degree",
        "margin": 24,
        "scores": {"lit_psnr": 20.5, "bicubic": {"lit_psnr": 19.5}},
    }
    return net, weights.save(net, card, tmp_path / "small.safetensors", dtype="float16")


def run_json(*arguments):
    result = runner.invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


class TestInfoOfWeights:
    def test_json_holds_what_is_needed_to_use_them(self, trained):
        net, path = trained
        info = run_json("info", str(path))
        assert info["kind"] == "weights"
        assert info["architecture"] == "deeplight_sr"
        assert info["scale"] == 2
        assert info["parameters"] == sum(p.numel() for p in net.parameters())
        assert info["stored_values"] == sum(t.numel() for t in net.state_dict().values())
        assert "F16" in info["storage"]
        assert [g["name"] for g in info["guides"]] == ["dmo"]
        assert info["guides"][0]["band_names"] == ["red", "nir"]
        assert info["low_resolution"]["transform"] == "log1p"
        assert info["cell_size"] == [0.004, 0.004]
        assert info["margin"] == 24
        assert info["scores"]["lit_psnr"] == 20.5
        assert info["intact"] is True
        assert "warp" in " ".join(info["image_statistics"])

    def test_table_shows_the_same(self, trained):
        _, path = trained
        result = runner.invoke(app, ["info", str(path)], catch_exceptions=False)
        assert result.exit_code == 0
        for text in ("deeplight_sr", "nW/cm2/sr", "[not markup]", "red, nir", "20.5", "degree"):
            assert text in result.stdout

    def test_image_statistics_are_named_or_there_are_none(self, trained):
        _, path = trained
        for source, words in ((str(path), "warp"), ("black-marble-x8", "none")):
            table = runner.invoke(app, ["info", source], catch_exceptions=False).stdout
            (line,) = [line for line in table.splitlines() if line.startswith("image statistics")]
            assert words in line

    def test_a_changed_file_is_reported(self, trained):
        _, path = trained
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        assert run_json("info", str(path))["intact"] is False

    def test_missing_card(self, trained):
        _, path = trained
        path.with_suffix(".json").unlink()
        result = runner.invoke(app, ["info", str(path)])
        assert result.exit_code == 1
        assert "no card beside" in str(result.exception)

    def test_card_of_another_architecture(self, trained):
        _, path = trained
        card = weights.load_card(path)
        weights.save_card(path.with_suffix(".json"), {**card, "architecture": "deeplight_rs"})
        result = runner.invoke(app, ["info", str(path)])
        assert result.exit_code == 1
        assert "deeplight_rs" in str(result.exception)


@pytest.mark.skipif(not deeplight._native.has_raster, reason="built without GDAL")
class TestInfoOfRasters:
    def test_json_and_table(self, tmp_path):
        import numpy as np
        import rasterio
        from rasterio.transform import from_origin

        path = tmp_path / "ntl.tif"
        profile = {
            "driver": "GTiff",
            "width": 7,
            "height": 5,
            "count": 2,
            "dtype": "uint8",
            "crs": "EPSG:32633",
            "transform": from_origin(500000, 5300000, 10, 20),
            "nodata": 255,
        }
        with rasterio.open(path, "w", **profile) as raster:
            raster.write(np.zeros((2, 5, 7), dtype=np.uint8))
            raster.set_band_description(1, "radiance")
            raster.units = ("nW/cm2/sr", "")
        info = run_json("info", str(path))
        assert info["kind"] == "raster"
        assert (info["rows"], info["columns"]) == (5, 7)
        assert info["geotransform"] == [500000, 10, 0, 5300000, 0, -20]
        assert "32633" in info["crs"] or "33N" in info["crs"]
        assert [band["dtype"] for band in info["bands"]] == ["uint8", "uint8"]
        assert info["bands"][0]["name"] == "radiance"
        assert info["bands"][0]["units"] == "nW/cm2/sr"
        assert info["bands"][0]["nodata"] == 255
        table = runner.invoke(app, ["info", str(path)], catch_exceptions=False).stdout
        assert "radiance" in table
        assert "GTiff" in table

    def test_nan_as_nodata_is_still_json(self, tmp_path):
        import numpy as np

        path = tmp_path / "x.tif"
        grid = deeplight._native.Grid(2, 2)
        deeplight._native.write_raster(path, np.zeros((2, 2), np.float32), grid)
        info = run_json("info", str(path))
        assert info["bands"][0]["nodata"] == "nan"
        assert info["crs"] is None

    def test_not_a_raster(self, tmp_path):
        path = tmp_path / "x.tif"
        path.write_text("no raster")
        result = runner.invoke(app, ["info", str(path)])
        assert result.exit_code == 1
        assert "x.tif" in str(result.exception)


class TestList:
    def test_json(self):
        listed = run_json("list")
        assert "deeplight_sr" in [model["name"] for model in listed["models"]]
        assert [w["name"] for w in listed["weights"]] == deeplight.list_weights()

    def test_table(self):
        result = runner.invoke(app, ["list"], catch_exceptions=False)
        assert result.exit_code == 0
        assert "deeplight_sr" in result.stdout
        for name in deeplight.list_weights():
            assert name in result.stdout

    def test_shipped_weights_are_listed_with_their_guides(self, trained, monkeypatch):
        _, path = trained
        monkeypatch.setattr(weights, "_SHIPPED", path.parent)
        listed = run_json("list")["weights"]
        assert listed[0]["name"] == "small"
        assert listed[0]["guides"] == [{"name": "dmo", "bands": 2}]
        assert "dmo (2)" in runner.invoke(app, ["list"]).stdout


class TestDoctor:
    def test_this_installation_is_healthy(self):
        report = run_json("doctor")
        assert report["healthy"] is True
        details = {check["name"]: check for check in report["checks"]}
        assert torch.__version__ in details["torch"]["detail"]
        assert details["native"]["ok"]
        assert details["network"]["ok"]
        assert details["writing"]["ok"]
        assert runner.invoke(app, ["doctor"]).exit_code == 0

    def test_something_essential_broken_is_1(self, monkeypatch):
        def broken():
            raise RuntimeError("no [luck]")

        monkeypatch.setattr(doctor, "CHECKS", [("luck", True, broken)])
        result = runner.invoke(app, ["doctor"])
        assert result.exit_code == 1
        assert "RuntimeError: no [luck]" in result.stdout
        result = runner.invoke(app, ["doctor", "--json"])
        assert result.exit_code == 1
        assert json.loads(result.stdout)["healthy"] is False

    def test_something_optional_missing_is_0(self, monkeypatch):
        def missing():
            raise RuntimeError("none")

        monkeypatch.setattr(doctor, "CHECKS", [("CUDA", False, missing)])
        assert runner.invoke(app, ["doctor"]).exit_code == 0

    def test_weights_that_are_not_their_cards(self, trained, monkeypatch):
        _, path = trained
        monkeypatch.setattr(weights, "_SHIPPED", path.parent)
        assert doctor._weights() == "small"
        card = weights.load_card(path)
        weights.save_card(path.with_suffix(".json"), {**card, "weights_sha256": "0" * 64})
        with pytest.raises(RuntimeError, match="'small' is not the file"):
            doctor._weights()
