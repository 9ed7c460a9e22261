"""Downscaling a real scene: from digital numbers to the table, and what the table says."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from deeplight import _native
from deeplight.downscaling import (
    COLUMNS,
    baseline_candidates,
    lines,
    prepared_alike,
    score,
    worst_cells,
)
from deeplight.training import load_config, load_data, train

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs/landsat5_lst_x4.toml"
#: The crop has 12 x 12 low-resolution cells.
PARTS = {
    "split.train": [{"rows": [0, 4], "columns": [0, 7]}],
    "split.validation": [{"rows": [0, 4], "columns": [9, 11]}],
    "split.test": [{"rows": [6, 11]}],
}


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lst")
    command = [sys.executable, "scripts/make_lst_scene.py", "tests/data/landsat5", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def data(scene):
    return load_data(load_config(CONFIG, {"data.root": str(scene), **PARTS}))


@pytest.fixture(scope="module")
def table(data):
    return score(data, "test", baseline_candidates(data))


def test_the_truth_is_the_mean_of_the_interpolated_band(scene, data):
    values, valid = _native.Raster(str(ROOT / "tests/data/landsat5" / BAND6)).read()
    radiance = 0.055375 * values[0].astype(np.float64) + 1.18243
    kelvin = 1260.56 / np.log(607.76 / radiance + 1)
    means = kelvin.reshape(48, 4, 48, 4).mean((1, 3))
    np.testing.assert_allclose(data.target[0].numpy(), means, rtol=1e-6)
    assert valid.all()
    assert data.cell_size == [480.0, 480.0]
    described = _native.raster_info(str(scene / "guides.tif")).bands
    assert [band.name for band in described][-4:] == ["ndmvi", "ndvi", "ndwi", "dem"]


BAND6 = "LT52240631988227CUB02_B6.TIF"


def test_guidance_helps_on_a_real_scene(table):
    rmse = {name: row.values["rmse"] for name, row in table.items()}
    assert rmse["bicubic + block mean"] < rmse["bicubic"] < rmse["bilinear"]
    assert rmse["DisTrad"] < rmse["bicubic"]
    assert rmse["ridge on guides"] < rmse["bicubic"]
    assert 0.1 < rmse["bicubic"] < 1.0  # kelvin


def test_scores_are_those_of_their_definitions(data, table):
    candidates = baseline_candidates(data)
    (region,) = data.regions["test"]
    truth = data.window(data.target, region)[0, 0].double().numpy()
    for name in ("bilinear", "TsHARP"):
        image = candidates[name](region).double().numpy()
        error = image - truth
        values = table[name].values
        assert values["rmse"] == pytest.approx(np.sqrt((error**2).mean()))
        assert values["mae"] == pytest.approx(np.abs(error).mean())
        assert values["bias"] == pytest.approx(error.mean(), abs=1e-9)
        assert values["cc"] == pytest.approx(np.corrcoef(image.ravel(), truth.ravel())[0, 1])
        deviation = truth.std(ddof=1)
        assert values["rsd"] == pytest.approx(abs(image.std(ddof=1) - deviation) / deviation)
        assert values["r2"] == pytest.approx(1 - (error**2).sum() / truth.var() / truth.size)


def test_intervals_enclose_and_are_repeated(data, table):
    for row in table.values():
        low, high = row.rmse_interval
        assert low < row.values["rmse"] < high
        low, high = row.gain_interval
        assert low <= row.gain <= high
    assert table["bicubic"].gain == 0 and table["bicubic"].gain_interval == (0, 0)
    again = score(data, "test", {"bicubic": baseline_candidates(data)["bicubic"]})
    assert again["bicubic"] == table["bicubic"]


def test_a_perfect_candidate_and_missing_pixels(data):
    def perfect(region):
        image = data.window(data.target, region)[0, 0].double().clone()
        image[0, 0] = torch.nan
        return image

    candidates = {"bicubic": baseline_candidates(data)["bicubic"], "perfect": perfect}
    rows = score(data, "test", candidates)
    assert rows["perfect"].values["rmse"] == 0 and rows["perfect"].values["r2"] == 1
    (region,) = data.regions["test"]
    error = candidates["bicubic"](region) - data.window(data.target, region)[0, 0].double()
    expected = float(error.flatten()[1:].square().mean().sqrt())
    assert rows["bicubic"].values["rmse"] == pytest.approx(expected)
    assert len(list(lines(rows))) == 3


def test_worst_cells(data):
    (region,) = data.regions["test"]
    truth = data.window(data.target, region)[0, 0].double()

    def off_in_two_cells(region):
        image = truth + 0.01
        image[4:8, 8:12] += 3
        image[0, 0] += 2
        return image

    found = worst_cells(data, "test", off_in_two_cells, lambda region: truth + 1.0, 2)
    assert found.cells == [(region[0] + 1, region[1] + 2), region[:2]]
    everywhere = off_in_two_cells(region) - truth
    inside = everywhere[4:8, 8:12].square().sum() + everywhere[:4, :4].square().sum()
    assert found.share == pytest.approx(float(inside / everywhere.square().sum()))
    assert found.closer == pytest.approx(1 - 17 / truth.numel())
    assert found.guide_extreme > 0 and 1 < found.known_extreme < 20


def test_scores_of_images_are_averaged(scene, table):
    halves = {**PARTS, "split.test": [{"rows": [6, 8]}, {"rows": [9, 11]}]}
    data = load_data(load_config(CONFIG, {"data.root": str(scene), **halves}))
    rows = score(data, "test", baseline_candidates(data))
    for name in ("bicubic", "TsHARP"):
        make = baseline_candidates(data)[name]
        errors = [
            make(region) - data.window(data.target, region)[0, 0].double()
            for region in data.regions["test"]
        ]
        separate = [float(error.square().mean().sqrt()) for error in errors]
        assert rows[name].averaged["rmse"] == pytest.approx(np.mean(separate))
        pooled = float(torch.stack(errors).square().mean().sqrt())
        assert rows[name].values["rmse"] == pytest.approx(pooled)
        assert separate[0] != pytest.approx(separate[1], rel=0.01)
    for key, value in table["bicubic"].averaged.items():
        assert value == pytest.approx(table["bicubic"].values[key])  # one region
    assert len(list(lines(rows, averaged_images=True))) == 8


def test_wrong_use(data):
    with pytest.raises(ValueError, match="'bicubic' is no candidate"):
        score(data, "test", {"x": lambda region: torch.zeros(1)})
    with pytest.raises(ValueError, match="no guide band is named 'ndvl'"):
        baseline_candidates(data, "ndvl")


def test_the_script_prints_the_table(scene, tmp_path):
    config = tmp_path / "crop.toml"
    config.write_text(
        f'base = "{CONFIG}"\n[split]\ntrain = [{{ rows = [0, 4], columns = [0, 7] }}]\n'
        "validation = [{ rows = [0, 4], columns = [9, 11] }]\ntest = [{ rows = [6, 11] }]\n"
    )
    command = [sys.executable, "scripts/score_lst.py", str(config), "--data", str(scene), "--json"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    rows = json.loads(done.stdout)
    assert [*rows][:2] == ["bilinear", "bicubic"]
    assert set(rows["TsHARP"]["values"]) == set(COLUMNS)


def score_rows(config, *arguments):
    command = [sys.executable, "scripts/score_lst.py", str(config), "--json", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.stderr if done.returncode else json.loads(done.stdout)


def test_the_script_scores_trained_weights(scene, tmp_path):
    config = tmp_path / "crop.toml"
    config.write_text(
        f'base = "{CONFIG}"\n[data]\nroot = "{scene}"\n[split]\n'
        "train = [{ rows = [0, 4], columns = [0, 7] }]\n"
        "validation = [{ rows = [0, 4], columns = [9, 11] }]\ntest = [{ rows = [6, 11] }]\n"
        "[patches]\npatch = 4\n[model.options]\nwidth = 4\n"
        "[run]\nsteps = 2\nvalidate_every = 1\n"
    )
    runs = [
        train(load_config(config, {"run.seed": seed}), tmp_path / str(seed), threads=1)
        for seed in (0, 1)
    ]
    rows = score_rows(config, "--weights", *runs)
    first, second = rows["landsat5-lst-x4 (0)"]["values"], rows["landsat5-lst-x4 (1)"]["values"]
    assert first["rmse"] != second["rmse"]
    # Block means are kept: no candidate that keeps them has a bias.
    assert abs(first["bias"]) < 1e-4
    assert rows["mean of the networks"]["values"]["rmse"] <= max(first["rmse"], second["rmse"])

    elsewhere = ("--set", "split.train=[{rows=[0,4],columns=[1,6]}]", "--weights", runs[0])
    assert "was trained on data that were prepared otherwise" in score_rows(config, *elsewhere)


def test_a_card_states_more_than_the_data_but_nothing_else():
    data = {"guides": [{"name": "dem", "mean": [1.0, 2.0]}], "units": "K"}
    card = {"guides": [{"name": "dem", "mean": [1.0, 2.0], "spread": []}], "units": "K", "x": 1}
    assert prepared_alike(card, data)
    assert not prepared_alike(data, card)
    for change in ({"units": "C"}, {"guides": []}, {"guides": [{"name": "dem", "mean": [1.0]}]}):
        assert not prepared_alike({**card, **change}, data)


def celsius(folder, **options):
    raster = _native.Raster(str(folder / "lst.tif"))
    values, valid = raster.read()
    _native.write_raster(
        folder / "celsius.tif", values - 273.15, raster.grid, valid=valid, **options
    )
    return {"data.root": str(folder), "data.target": "celsius.tif", **PARTS}


def test_celsius_becomes_kelvin_where_the_file_or_an_option_says_so(scene, data):
    stated = load_data(load_config(CONFIG, celsius(scene, units="degC", overwrite=True)))
    torch.testing.assert_close(stated.target, data.target, rtol=0, atol=1e-4)
    silent = celsius(scene, overwrite=True)
    with pytest.raises(ValueError, match=r"celsius\.tif' states no units"):
        load_data(load_config(CONFIG, silent))
    given = load_data(load_config(CONFIG, {**silent, "data.temperature": "celsius"}))
    assert torch.equal(given.target, stated.target)
    with pytest.raises(ValueError, match=r"celsius\.tif' holds 2\d\.\d+ to \d\d\.\d+ K after"):
        load_data(load_config(CONFIG, {**silent, "data.temperature": "kelvin"}))


def test_a_scaled_integer_is_read_by_its_tags(scene, data):
    import rasterio

    with rasterio.open(scene / "lst.tif") as raster:
        profile = raster.profile | {"dtype": "uint16", "nodata": 0}
        stored = np.rint((raster.read(1) - 149.0) / 0.00341802).astype(np.uint16)
    profile.pop("blockxsize", None), profile.pop("blockysize", None)
    for tagged in (True, False):
        with rasterio.open(scene / "scaled.tif", "w", **profile | {"tiled": False}) as raster:
            raster.write(stored, 1)
            raster.units = ("K",)
            if tagged:
                raster.scales, raster.offsets = (0.00341802,), (149.0,)
        config = load_config(
            CONFIG, {"data.root": str(scene), "data.target": "scaled.tif", **PARTS}
        )
        if tagged:
            torch.testing.assert_close(load_data(config).target, data.target, rtol=0, atol=0.002)
        else:
            with pytest.raises(ValueError, match=r"scaled\.tif' holds 4\d+ to 4\d+ K after"):
                load_data(config)
