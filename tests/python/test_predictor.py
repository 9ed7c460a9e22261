"""``deeplight.load(...).predict(...)`` and ``deeplight predict``, on a small random network."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import torch
from rasterio.transform import from_origin

import deeplight
from deeplight import weights

pytestmark = pytest.mark.skipif(not deeplight._native.has_raster, reason="built without GDAL")

rasterio = pytest.importorskip("rasterio")

SCALE = 4
GUIDES = {"dmo": 3, "dem": 1}
ROWS, COLUMNS = 176, 13  # higher than a tile with its halo


def write(path, values, cell=1000.0, nodata=None, crs="EPSG:32622"):
    values = np.asarray(values, np.float32)
    values = values[None] if values.ndim == 2 else values
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=values.shape[0],
        height=values.shape[1],
        width=values.shape[2],
        dtype="float32",
        crs=crs,
        transform=from_origin(500000, 9000000, cell, cell),
        nodata=nodata,
    ) as target:
        target.write(values)
    return path


def save_weights(folder, name="tiny"):
    """Small random weights whose every layer matters, and their card."""
    torch.manual_seed(0)
    net = deeplight.create_model(
        "deeplight_sr",
        scale=SCALE,
        width=8,
        guides=GUIDES,
        refine={"guide_gate": True, "bicubic_skip": True},
    )
    with torch.no_grad():
        for key, parameter in net.named_parameters():
            if parameter.dim() > 1:
                small = 0.1 if "transformer" in key or "offset" in key else 1.0
                parameter.normal_(0, small / parameter[0].numel() ** 0.5)
    guides = [
        {"name": key, "bands": bands, "mean": [50.0] * bands, "std": [30.0] * bands}
        for key, bands in GUIDES.items()
    ]
    image = {"units": "DN", "mean": 20.0, "std": 40.0, "minimum": 0.0, "maximum": 100.0}
    card = {
        "name": name,
        "architecture": "deeplight_sr",
        "options": net.options,
        "scale": SCALE,
        "preprocessing": {"low_resolution": image, "guides": guides},
        "cell_size": [1000.0, 1000.0],
        "cell_size_units": "metre",
    }
    return weights.save(net, card, folder / f"{name}.safetensors")


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Weights, a low-resolution raster of 176 x 13 pixels and its guides."""
    folder = tmp_path_factory.mktemp("scene")
    random = np.random.default_rng(1)
    rows, columns = ROWS, COLUMNS
    write(folder / "ntl.tif", random.random((rows, columns)) * 100)
    write(folder / "feb.tif", random.random((rows, columns)) * 90)
    for name, bands in GUIDES.items():
        values = random.random((bands, rows * SCALE, columns * SCALE)) * 100
        write(folder / f"{name}.tif", values, 1000 / SCALE)
    save_weights(folder)
    return folder


def guides_of(scene):
    return {name: scene / f"{name}.tif" for name in GUIDES}


def read(path):
    with rasterio.open(path) as source:
        return source.read()


def test_predicts_what_the_network_says_tiled_or_not(scene, tmp_path):
    sr = deeplight.load(scene / "tiny.safetensors")
    low = (torch.from_numpy(read(scene / "ntl.tif"))[None] - 20) / 40
    guides = {
        name: (torch.from_numpy(read(path))[None] - 50) / 30
        for name, path in guides_of(scene).items()
    }
    with torch.no_grad():
        statistics = sr.network.image_statistics(low)
        expected = (sr.network(low, guides, statistics).image[0, 0] * 40 + 20).numpy()
    spread = np.abs(expected).max()
    assert expected.std() > 1
    for tile in (512, 40):
        report = sr.predict(
            scene / "ntl.tif", guides_of(scene), tmp_path / "sr.tif", tile=tile, overwrite=True
        )
        got = read(tmp_path / "sr.tif")[0]
        assert np.abs(got - expected).max() <= 1e-5 * spread
        raster = report.rasters[0]
        assert raster.mean_in == pytest.approx(read(scene / "ntl.tif").mean(), rel=1e-5)
        assert raster.light_ratio == pytest.approx(
            expected.mean() / read(scene / "ntl.tif").mean(), rel=1e-4
        )
        assert raster.tiles == {512: 1, 40: 5}[tile]
    with rasterio.open(tmp_path / "sr.tif") as result:
        assert result.transform == from_origin(500000, 9000000, 250, 250)
        assert result.crs.to_epsg() == 32622
        assert result.tags()["DEEPLIGHT_MODEL"] == "tiny"
        assert np.isnan(result.nodata)


def test_repr_says_what_is_needed(scene):
    sr = deeplight.load(scene / "tiny.safetensors")
    assert repr(sr) == "Predictor(tiny: x4, guides: dmo (3 bands), dem (1 band))"
    assert sr.guides == GUIDES and sr.scale == SCALE
    assert not sr.network.training


def test_several_rasters_into_a_folder(scene, tmp_path):
    sr = deeplight.load(scene / "tiny.safetensors")
    report = sr.predict([scene / "ntl.tif", str(scene / "feb.tif")], guides_of(scene), tmp_path)
    names = [raster.output for raster in report.rasters]
    assert names == [str(tmp_path / "ntl_x4.tif"), str(tmp_path / "feb_x4.tif")]
    sr.predict(scene / "feb.tif", guides_of(scene), tmp_path / "alone.tif")
    np.testing.assert_array_equal(read(tmp_path / "alone.tif"), read(tmp_path / "feb_x4.tif"))
    assert "total light" in str(report)
    json.dumps(report.as_dict(), allow_nan=False)


def test_consistency_makes_block_means_the_input(scene, tmp_path):
    sr = deeplight.load(scene / "tiny.safetensors")
    low = read(scene / "ntl.tif")[0]
    for consistency in ("additive", "multiplicative"):
        out = tmp_path / f"{consistency}.tif"
        report = sr.predict(
            scene / "ntl.tif", guides_of(scene), out, consistency=consistency, tile=40
        )
        got = read(out)[0].astype(np.float64)
        means = got.reshape(ROWS, SCALE, COLUMNS, SCALE).mean((1, 3))
        assert np.abs(means - low).max() < 1e-3
        assert report.rasters[0].light_ratio == pytest.approx(1, abs=1e-5)


def test_self_ensemble_is_the_mean_of_eight(scene, tmp_path):
    sr = deeplight.load(scene / "tiny.safetensors")
    sr.predict(scene / "ntl.tif", guides_of(scene), tmp_path / "sr.tif", self_ensemble=True)
    inputs = {"low": (torch.from_numpy(read(scene / "ntl.tif"))[None] - 20) / 40}
    for name, path in guides_of(scene).items():
        inputs[name] = (torch.from_numpy(read(path))[None] - 50) / 30
    images = []
    for turns in range(4):
        for flip in (False, True):
            turned = {key: torch.rot90(value, turns, (2, 3)) for key, value in inputs.items()}
            if flip:
                turned = {key: value.flip(3) for key, value in turned.items()}
            turned = {key: value.contiguous() for key, value in turned.items()}
            low = turned.pop("low")
            with torch.no_grad():
                image = sr.network(low, turned, sr.network.image_statistics(low)).image
            images.append(torch.rot90(image.flip(3) if flip else image, -turns, (2, 3)))
    expected = (torch.stack(images).mean(0)[0] * 40 + 20).numpy()
    assert np.abs(read(tmp_path / "sr.tif") - expected).max() <= 1e-5 * np.abs(expected).max()
    assert torch.stack(images).std(0).max() > 1e-3


def test_unlike_training_is_a_warning(scene, tmp_path):
    sr = deeplight.load(scene / "tiny.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sr.predict(scene / "ntl.tif", guides_of(scene), tmp_path / "a.tif")
    write(tmp_path / "bright.tif", read(scene / "ntl.tif")[0] * 50)
    with pytest.warns(UserWarning, match=r"bright\.tif' holds values from .* trained on 0 to 100"):
        report = sr.predict(tmp_path / "bright.tif", guides_of(scene), tmp_path / "b.tif")
    assert len(report.warnings) == 1


def test_errors_leave_nothing_and_cancelling_only_finished_tiles(scene, tmp_path):
    sr = deeplight.load(scene / "tiny.safetensors")
    out = tmp_path / "sr.tif"
    with pytest.raises(ValueError, match="out is missing"):
        sr.predict(scene / "ntl.tif", guides_of(scene))
    with pytest.raises(ValueError, match=r"guide 'dem' \(1 band\) is missing"):
        sr.predict(scene / "ntl.tif", {"dmo": scene / "dmo.tif"}, out)
    with pytest.raises(OSError, match=r"gone\.tif' does not exist"):
        sr.predict(scene / "gone.tif", guides_of(scene), out)
    with pytest.raises(ValueError, match=r"'additive'|not one of none, additive"):
        sr.predict(scene / "ntl.tif", guides_of(scene), out, consistency="add")
    with pytest.raises(ZeroDivisionError):
        sr.predict(scene / "ntl.tif", guides_of(scene), out, progress=lambda done, total: done / 0)
    assert list(tmp_path.iterdir()) == []
    options = {"tile": 40, "progress": lambda done, total: done < 3}
    with pytest.raises(KeyboardInterrupt, match="resume"):
        sr.predict(scene / "ntl.tif", guides_of(scene), out, **options)
    assert list(tmp_path.iterdir()) == [tmp_path / ".sr.tif.deeplight"]
    with pytest.raises(ValueError, match=r"finished tiles of output .*sr\.tif.*resume"):
        sr.predict(scene / "ntl.tif", guides_of(scene), out, tile=40)
    with pytest.raises(ValueError, match="tile was 40, is 44"):
        sr.predict(scene / "ntl.tif", guides_of(scene), out, tile=44, resume=True)
    report = sr.predict(scene / "ntl.tif", guides_of(scene), out, tile=40, resume=True)
    assert 0 < report.rasters[0].resumed < report.rasters[0].tiles == 5
    assert list(tmp_path.iterdir()) == [out]
    sr.predict(scene / "ntl.tif", guides_of(scene), tmp_path / "undisturbed.tif", tile=40)
    assert out.read_bytes() == (tmp_path / "undisturbed.tif").read_bytes()


def test_every_way_of_computing_is_one_result(scene, tmp_path):
    sr = deeplight.load(scene / "tiny.safetensors")

    def predict(name, **options):
        options = {"tile": 24, "overwrite": True, **options}
        sr.predict(scene / "ntl.tif", guides_of(scene), tmp_path / name, **options)
        return read(tmp_path / name)[0]

    alone = predict("alone.tif")
    predict("ahead.tif", prefetch=3, threads=1, scratch=tmp_path)
    assert (tmp_path / "ahead.tif").read_bytes() == (tmp_path / "alone.tif").read_bytes()
    spread = np.abs(alone).max()
    assert np.abs(predict("batch.tif", batch=3) - alone).max() <= 1e-5 * spread
    half = predict("half.tif", precision="bfloat16")
    assert 0 < np.abs(half - alone).max() <= 0.05 * spread
    assert predict("positive.tif", non_negative=True).min() == max(alone.min(), 0)


def test_uncertainty_is_a_second_band(scene, tmp_path):
    sr = deeplight.load(scene / "tiny.safetensors")
    out = tmp_path / "sr.tif"
    sr.predict(scene / "ntl.tif", guides_of(scene), out, uncertainty=True, tile=64)
    mean, spread = read(out)
    sr.predict(scene / "ntl.tif", guides_of(scene), out, self_ensemble=True, overwrite=True)
    assert np.abs(mean - read(out)[0]).max() <= 1e-5 * np.abs(mean).max()
    assert spread.min() >= 0 and spread.max() > 1e-3


def test_a_zarr_says_what_its_bands_are(scene, tmp_path):
    """As xarray reads it: attributes of each array, and all of them in one file."""
    low = tmp_path / "low.tif"
    low.write_bytes((scene / "ntl.tif").read_bytes())
    with rasterio.open(low, "r+") as raster:
        raster.set_band_description(1, "radiance")
        raster.set_band_unit(1, "nW cm-2 sr-1")
    sr = deeplight.load(scene / "tiny.safetensors")
    spread = "standard deviation of the self-ensemble"
    for name, arrays in {
        "one.zarr": {"one": "radiance"},
        "two.zarr": {"Band1": "radiance", "Band2": spread},
    }.items():
        out = tmp_path / name
        sr.predict(low, guides_of(scene), out, uncertainty=len(arrays) == 2)
        together = json.loads((out / ".zmetadata").read_text())["metadata"]
        for array, long_name in arrays.items():
            attributes = json.loads((out / array / ".zattrs").read_text())
            assert attributes["long_name"] == long_name
            assert attributes["units"] == "nW cm-2 sr-1"
            assert attributes["_ARRAY_DIMENSIONS"] == ["Y", "X"]
            assert attributes["DEEPLIGHT_MODEL"] == "tiny"
            assert together[f"{array}/.zattrs"] == attributes


def test_metadata_tell_what_made_the_output(scene, tmp_path):
    sr = deeplight.load(scene / "tiny.safetensors")
    report = sr.predict(scene / "ntl.tif", guides_of(scene), tmp_path / "sr.tif", nodata=-1)
    with rasterio.open(tmp_path / "sr.tif") as result:
        tags = result.tags()
    digest = hashlib.sha256((scene / "dmo.tif").read_bytes()).hexdigest()
    assert tags["DEEPLIGHT_GUIDE_dmo_CHECKSUM"] == f"sha256:{digest}"
    assert float(tags["DEEPLIGHT_LIGHT_RATIO"]) == report.rasters[0].light_ratio
    assert json.loads(tags["DEEPLIGHT_OPTIONS"])["tile"] == 256
    assert tags["DEEPLIGHT_MODEL"] == "tiny" and len(tags["DEEPLIGHT_WEIGHTS_SHA256"]) == 64


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "deeplight", "predict", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        **options,
    )


def options_of(scene, out):
    guides = [f"--guide={name}={path}" for name, path in guides_of(scene).items()]
    return [*guides, "-w", scene / "tiny.safetensors", "-o", out]


class TestCommandLine:
    def test_predicts(self, scene, tmp_path):
        out = tmp_path / "sr.tif"
        done = run(scene / "ntl.tif", *options_of(scene, out), "--json")
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        assert report["rasters"][0]["output"] == str(out)
        assert done.stderr == ""
        assert read(out).shape == (1, ROWS * SCALE, COLUMNS * SCALE)
        again = run(scene / "ntl.tif", *options_of(scene, out))
        assert again.returncode == 1 and "exists already" in again.stderr
        assert run(scene / "ntl.tif", *options_of(scene, out), "--overwrite").returncode == 0

    @pytest.mark.parametrize(
        ("change", "code", "message"),
        [
            (["--guide", "dem"], 2, "--guide must be NAME=FILE, got 'dem'"),
            (["--guide", "dme=x.tif"], 2, "guide 'dme' is not known"),
            (["--consistency", "add"], 2, "--consistency must be one of"),
            (["--tile", "0"], 2, "--tile must be at least 1"),
            (["-w", "no-such-weights"], 2, "no weights named 'no-such-weights'"),
            (["-o", "missing/sr.tif"], 1, "'missing' of output 'missing/sr.tif' does not exist"),
        ],
    )
    def test_one_line_and_an_exit_code(self, scene, tmp_path, change, code, message):
        done = run(
            scene / "ntl.tif", *options_of(scene, tmp_path / "sr.tif"), *change, cwd=tmp_path
        )
        assert done.returncode == code
        assert message in done.stderr and done.stderr.count("\n") == 1
        assert done.stdout == "" and list(tmp_path.iterdir()) == []

    def test_bad_rasters_fail_with_their_name(self, scene, tmp_path):
        (tmp_path / "text.tif").write_text("no raster")
        write(tmp_path / "nothing.tif", np.full((ROWS, COLUMNS), np.nan))
        data = (scene / "ntl.tif").read_bytes()
        (tmp_path / "cut.tif").write_bytes(data[: len(data) // 2])
        before = sorted(tmp_path.iterdir())
        for name in ("text.tif", "nothing.tif", "cut.tif", "gone.tif"):
            done = run(tmp_path / name, *options_of(scene, tmp_path / "sr.tif"))
            assert done.returncode == 1
            assert name in done.stderr and done.stderr.count("\n") == 1
        assert sorted(tmp_path.iterdir()) == before

    def test_ctrl_c_is_130_and_leaves_no_raster(self, scene, tmp_path):
        out = tmp_path / "sr.tif"
        arguments = [scene / "ntl.tif", *options_of(scene, out), "--tile=1"]
        process = subprocess.Popen(
            [sys.executable, "-m", "deeplight", "predict", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        tiles = tmp_path / ".sr.tif.deeplight" / "tiles"
        deadline = time.monotonic() + 120
        while not (tiles.exists() and tiles.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=120)
        assert process.returncode == 130, stderr
        kept, error = stderr.splitlines()
        assert "are kept; the same command with --resume goes on" in kept
        assert error == "deeplight: error: interrupted" and stdout == ""
        assert list(tmp_path.iterdir()) == [tmp_path / ".sr.tif.deeplight"]
