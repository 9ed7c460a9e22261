"""Guides with a long tail: asinh and log1p per guide, from the configuration to a prediction."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from test_training_burundi import CHANGES, CROP, SHIPPED

from deeplight import _native
from deeplight.models import load_network
from deeplight.predictor import load
from deeplight.training import load_config, load_data, train
from deeplight.training.checkpoint import first_difference
from deeplight.training.prediction import predict_region
from deeplight.weights import load_card

GUIDE = {
    "name": "population", "path": "population_250m.tif", "units": "persons per 250 m cell",
    "contrast": "standardised",
}  # fmt: skip
FUNCTIONS = {"log1p": np.log1p, "asinh": np.arcsinh}


def configured(**guide):
    return load_config(SHIPPED, {**CHANGES, "data.guides": [{**GUIDE, **guide}]})


@pytest.fixture(scope="module")
def linear():
    return load_data(configured())


@pytest.mark.parametrize("transform", ["log1p", "asinh"])
def test_values_are_transformed_and_normalised_over_the_training_region(linear, transform):
    scale = 50.0
    data = load_data(configured(transform=transform, transform_scale=scale))
    described, plain = data.preprocessing["guides"][0], linear.preprocessing["guides"][0]
    assert (described["transform"], described["transform_scale"]) == (transform, scale)
    # Back to persons by the plain run's own statistics: an oracle that shares no transform.
    people = linear.guides["population"][0].double().numpy() * plain["std"][0] + plain["mean"][0]
    values = FUNCTIONS[transform](people / scale)
    # Invalid pixels are filled with the mean, which is 0 after normalising.
    known = linear.guides["population"][0].numpy() != 0
    train_rows = values[8 * 8 : 20 * 8][known[8 * 8 : 20 * 8]]
    assert described["mean"][0] == pytest.approx(train_rows.mean(), rel=1e-3)
    assert described["std"][0] == pytest.approx(train_rows.std(ddof=1), rel=1e-3)
    expected = (values - described["mean"][0]) / described["std"][0]
    seen = data.guides["population"][0].numpy()
    np.testing.assert_allclose(seen[known], expected[known], atol=2e-3)
    assert not seen[~known].any()
    # The range stays in persons, and the tail is shorter.
    for key in ("minimum", "maximum"):
        assert described[key] == plain[key]
    assert np.abs(seen).max() < 0.8 * np.abs(linear.guides["population"][0].numpy()).max()


def test_contrasts_are_those_of_the_transformed_values(linear):
    data = load_data(configured(transform="asinh", transform_scale=50.0))
    described = data.preprocessing["guides"][0]
    x = data.guides["population"][:1].double()
    train = torch.zeros(x.shape[1:], dtype=torch.bool)
    train[8 * 8 : 20 * 8] = True
    known = x != 0  # invalid pixels are filled with the mean
    for window, spread in zip((5, 17), described["contrast_spread"], strict=True):
        contrast = x - _native.masked_box_mean(x[None], window, known[None])[0]
        assert spread[0] == pytest.approx(float(contrast[0][train & known[0]].std()), rel=1e-4)
    assert described["contrast_spread"] != linear.preprocessing["guides"][0]["contrast_spread"]


def test_a_prediction_from_the_raster_is_that_of_the_training_data(tmp_path):
    config = configured(transform="asinh", transform_scale=50.0)
    weights = train(config, tmp_path / "run", threads=1)
    card = load_card(weights)
    assert card["preprocessing"]["guides"][0]["transform"] == "asinh"
    data = load_data(config)
    region = (0, 0, 20, 12)
    low = data.low_resolution_of(region)[0, 0].numpy()
    with rasterio.open(CROP / "ntl_radiance.tif") as raster:
        profile = {key: raster.profile[key] for key in ("driver", "dtype", "count", "crs")}
        transform = raster.transform @ rasterio.Affine.scale(8)
    profile |= {"height": 20, "width": 12, "nodata": -1.0, "transform": transform}
    with rasterio.open(tmp_path / "low.tif", "w", **profile) as out:
        out.write(np.nan_to_num(low, nan=-1.0).astype(np.float32), 1)
    load(weights).predict(
        tmp_path / "low.tif", guides={"population": CROP / "population_250m.tif"}, align=True,
        out=tmp_path / "sr.tif",
    )  # fmt: skip
    network, _ = load_network(weights)
    expected = predict_region(network, data, region, torch.no_grad)[0, 0].numpy()
    with rasterio.open(tmp_path / "sr.tif") as out:
        got = out.read(1, masked=True)
    seen = ~np.ma.getmaskarray(got) & np.isfinite(got.filled(np.nan))
    assert seen.sum() > 10_000
    np.testing.assert_allclose(got.filled(0)[seen], expected[seen], rtol=2e-3, atol=2e-3)


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"'data.guides\[0\].transform' must be linear or log1p"):
        configured(transform="sqrt")
    with pytest.raises(ValueError, match=r"'data.guides\[0\].transform_scale' must be above 0"):
        configured(transform="asinh", transform_scale=0.0)
    described = {"name": "dem", "bands": 1, "transform": "log1p"}
    below = torch.full((1, 1, 8, 8), -2.0)
    preprocessor = _native.Preprocessor(json.dumps({"guides": [described]}), 8)
    with pytest.raises(
        ValueError, match=re.escape("guide 'dem' holds -2; log1p needs values above -1")
    ):
        preprocessor.guide("dem", below)


def test_a_linear_guide_keeps_the_digests_of_old():
    plain = configured()
    stated = configured(transform="linear", transform_scale=1.0)
    assert "transform" not in plain.identity()["data"]["guides"][0]
    assert plain.digest() == stated.digest()
    other = configured(transform="asinh")
    difference = first_difference(other.identity(), plain.identity())
    assert difference is not None and difference[0] == "data.guides[0].transform"
    assert dataclasses.asdict(other.data.guides[0])["transform"] == "asinh"
    assert Path(other.data.root) == CROP
