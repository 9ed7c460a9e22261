"""Means of weights: `average_weights`, `load(..., average=...)`, `deeplight average`, `predict
--average`; the means are taken again here, in plain torch."""

import json
import os
import subprocess
import sys

import pytest
import torch

import deeplight
from deeplight import weights
from deeplight.averaging import average_networks, average_weights

OPTIONS = {"scale": 2, "width": 8, "guides": {"dem": 1}, "align": {"warp": False}}


def save(folder, name, seed, guide=None, light=None, **options):
    torch.manual_seed(seed)
    net = deeplight.create_model("deeplight_sr", **{**OPTIONS, **options})
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    card = {
        "name": name,
        "architecture": "deeplight_sr",
        "options": net.options,
        "scale": net.scale,
        "preprocessing": {
            "low_resolution": {"units": "DN", "std": 32.0, "maximum": 10.0 * (seed + 1)}
            | (light or {}),
            "guides": [
                {"name": "dem", "bands": 1, "mean": [50.0], "std": [30.0], "minimum": [-1.0 * seed],
                 "maximum": [9.0]} | (guide or {})
            ],
        },
        "scores": {"validation": {"gain": 1.0}},
        "credits": "NASA" if seed == 0 else "EOG",
    }  # fmt: skip
    return weights.save(net, card, folder / f"{name}.safetensors")


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    folder = tmp_path_factory.mktemp("family")
    return [save(folder, name, seed) for seed, name in enumerate("abc")]


def mean_state(paths):
    states = [weights.load_state(path) for path in paths]
    return {key: sum(s[key].double() for s in states) / len(states) for key in states[0]}


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "deeplight", *map(str, arguments)],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.mark.parametrize("count", [2, 3])
def test_written_weights_are_the_mean(family, tmp_path, count):
    path = average_weights(family[:count], tmp_path / "mean.safetensors")
    state = weights.load_state(path)
    for key, expected in mean_state(family[:count]).items():
        torch.testing.assert_close(state[key].double(), expected, rtol=1e-6, atol=1e-8)
    assert any(not torch.equal(state[k], v) for k, v in weights.load_state(family[0]).items())


def test_the_card_names_its_sources_and_no_scores(family, tmp_path):
    path = average_weights(family, tmp_path / "mean.safetensors")
    card = weights.load_card(path)
    sources = [weights.load_card(one) for one in family]
    assert card["training"]["averaged"] == [
        {"name": one["name"], "sha256": one["weights_sha256"]} for one in sources
    ]
    assert card["name"] == "mean"
    assert not card["scores"]
    assert card["credits"] == "NASA; EOG"
    light, dem = card["preprocessing"]["low_resolution"], card["preprocessing"]["guides"][0]
    assert light["maximum"] == 30.0
    assert (dem["minimum"], dem["maximum"]) == ([-2.0], [9.0])


def test_loading_averaged_computes_what_the_averaged_state_computes(family, tmp_path):
    predictor = deeplight.load(family[0], average=[family[1]])
    network = deeplight.create_model("deeplight_sr", **OPTIONS)
    network.load_state_dict({k: v.float() for k, v in mean_state(family[:2]).items()})
    low, guides = torch.rand(1, 1, 8, 8), {"dem": torch.rand(1, 1, 16, 16)}
    with torch.no_grad():
        expected, alone = (
            network.eval()(low, guides),
            deeplight.load(family[0]).network(low, guides),
        )
        image = predictor.network(low, guides).image
    torch.testing.assert_close(image, expected.image, rtol=1e-6, atol=1e-6)
    assert (image - alone.image).abs().max() > 1e-3
    assert not predictor.network.training
    one = deeplight.load(family[0], average=family[1])
    assert torch.equal(one.network(low, guides).image, image)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 16}, r"'options.width' is 8 in the one and 16"),
        ({"fuse": {"blocks": 1}}, r"'options.fuse.blocks' is 3 in the one and 1"),
        ({"guide": {"std": [31.0]}}, r"'preprocessing.guides\[0\].std\[0\]' is 30.0 in the one"),
        ({"light": {"std": 16.0}}, r"'preprocessing.low_resolution.std' is 32.0 in the one"),
        ({"scale": 4}, r"'scale' is 2 in the one and 4"),
        ({"guides": {"dem": 1, "dmo": 1}}, r"'options.guides' is "),
    ],
)
def test_what_differs_is_named(family, tmp_path, change, message):
    if "guides" in change:
        other = _with_two_guides(tmp_path)
    else:
        other = save(tmp_path, "other", 5, **change)
    with pytest.raises(ValueError, match=rf"a\.safetensors' and '.*cannot be averaged: {message}"):
        average_networks([family[0], other])


def _with_two_guides(folder):
    net = deeplight.create_model("deeplight_sr", **{**OPTIONS, "guides": {"dem": 1, "dmo": 1}})
    guides = [{"name": name, "bands": 1} for name in ("dem", "dmo")]
    card = {
        "name": "two", "architecture": "deeplight_sr", "options": net.options, "scale": 2,
        "preprocessing": {"low_resolution": {}, "guides": guides},
    }  # fmt: skip
    return weights.save(net, card, folder / "two.safetensors")


def test_the_same_weights_twice_are_refused(family, tmp_path):
    with pytest.raises(ValueError, match="are the same weights"):
        average_networks([family[0], family[1], family[0]])
    with pytest.raises(ValueError, match="at least two weights, got 1"):
        average_weights(family[:1], tmp_path / "mean.safetensors")


def test_the_command_writes_what_python_writes(family, tmp_path):
    done = command("average", *family[:2], "-o", tmp_path / "mean.safetensors")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "mean.safetensors")
    state = weights.load_state(tmp_path / "mean.safetensors")
    for key, expected in mean_state(family[:2]).items():
        torch.testing.assert_close(state[key].double(), expected, rtol=1e-6, atol=1e-8)
    before = (tmp_path / "mean.safetensors").read_bytes()
    again = command("average", *family[1:], "-o", tmp_path / "mean.safetensors")
    assert again.returncode == 2
    assert "--overwrite replaces it" in again.stderr
    assert (tmp_path / "mean.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["a"], 2, "at least two weights"),
        (["a", "missing.safetensors"], 2, "no such weights file"),
        (["a", "b", "--dtype", "int8"], 2, "--dtype must be float32 or float16"),
        (["a", "other"], 1, "cannot be averaged: 'options.width' is 8 in the one and 16"),
    ],
)
def test_the_command_fails_in_one_line(family, tmp_path, arguments, code, message):
    save(tmp_path, "other", 5, width=16)
    known = {path.stem: path for path in [*family, tmp_path / "other.safetensors"]}
    named = [known.get(argument, argument) for argument in arguments]
    done = command("average", *named, "-o", tmp_path / "mean.safetensors")
    assert done.returncode == code
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "mean.safetensors").exists()


@pytest.mark.skipif(not deeplight._native.has_raster, reason="built without GDAL")
def test_predict_averages(family, tmp_path):
    rasterio = pytest.importorskip("rasterio")
    import numpy as np

    def write(name, size, cell):
        values = np.random.default_rng(size).random((1, size, size), np.float32)
        with rasterio.open(
            tmp_path / name, "w", driver="GTiff", count=1, height=size, width=size,
            dtype="float32", crs="EPSG:32622",
            transform=rasterio.transform.from_origin(500000, 9000000, cell, cell),
        ) as raster:  # fmt: skip
            raster.write(values)

    write("low.tif", 12, 900.0)
    write("dem.tif", 24, 450.0)
    average_weights(family, tmp_path / "mean.safetensors")

    def predict(out, *more):
        done = command(
            "predict", tmp_path / "low.tif", "-g", f"dem={tmp_path / 'dem.tif'}", "-o",
            tmp_path / out, *more, "--json",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["rasters"]
        with rasterio.open(tmp_path / out) as raster:
            return raster.read()

    together = predict(
        "a.tif", "-w", family[0], "--average", family[1], "--average", family[2]
    )  # fmt: skip
    np.testing.assert_array_equal(together, predict("b.tif", "-w", tmp_path / "mean.safetensors"))
    assert np.abs(together - predict("c.tif", "-w", family[0])).max() > 1e-3
