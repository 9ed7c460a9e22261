"""Statistics of the weights that a run starts from: taken, or held against the rasters."""

import json

import numpy as np
import pytest
import rasterio
import torch
from tiny_run import SAMPLES

from deeplight.training import load_config, load_data
from deeplight.weights import load_card

GUIDES = [
    {"name": "dmo", "path": "dmo.tif", "contrast": "difference"},
    {"name": "dem", "path": "dem.tif"},
]


@pytest.fixture
def weights(tmp_path):
    """A card beside weights that nobody reads here; ``change`` edits its preprocessing."""

    def make(change=None):
        card = load_card("black-marble-x8")
        if change:
            change(card["preprocessing"])
        (tmp_path / "w.json").write_text(json.dumps(card))
        (tmp_path / "w.safetensors").touch()
        return str(tmp_path / "w.safetensors")

    return make


def scaled(folder, factor, offset=0.0):
    """The elevation sample in other units."""
    with rasterio.open(SAMPLES / "dem.tif") as raster:
        profile, values = raster.profile, raster.read()
    path = folder / "scaled.tif"
    with rasterio.open(path, "w", **{**profile, "dtype": "float32"}) as out:
        out.write((values * factor + offset).astype(np.float32))
    return [GUIDES[0], {**GUIDES[1], "path": str(path)}]


def loaded(config_file, **changes):
    return load_data(load_config(config_file, {"data.guides": GUIDES, **changes}))


def test_a_cards_statistics_are_taken(config_file, weights):
    card = load_card("black-marble-x8")["preprocessing"]["guides"]
    here = loaded(config_file).preprocessing["guides"]
    data = loaded(
        config_file, **{"init.weights": weights(), "init.statistics": "card", "init.freeze": []}
    )
    assert [guide["name"] for guide in card] == ["dmo", "dem"]
    for own, taken, known in zip(here, data.preprocessing["guides"], card, strict=True):
        assert taken["mean"] == known["mean"] != own["mean"]
        assert taken["std"] == known["std"] != own["std"]
        assert taken["minimum"] == [*map(min, own["minimum"], known["minimum"])]
        assert taken["maximum"] == [*map(max, own["maximum"], known["maximum"])]
    with rasterio.open(SAMPLES / "dem.tif") as raster:
        values = raster.read(1).astype(np.float64)
    expected = (values - card[1]["mean"][0]) / card[1]["std"][0]
    np.testing.assert_allclose(data.guides["dem"][0], expected, atol=1e-5)
    assert data.notes == []


def test_a_guide_of_another_name_or_band_count_keeps_its_own(config_file, weights):
    guides = [
        {"name": "dmo", "path": "dmo.tif", "bands": [1, 2, 3]},
        {"name": "height", "path": "dem.tif"},
    ]
    given = {"data.guides": guides}
    own = loaded(config_file, **given)
    data = loaded(config_file, **given, **{"init.weights": weights(), "init.statistics": "card"})
    assert data.preprocessing == own.preprocessing


@pytest.mark.parametrize("windows", [[17], [5, 17]])
def test_contrast_spreads_are_taken_with_the_same_windows(config_file, weights, windows):
    spread = [[0.25]]

    def change(preprocessing):
        preprocessing["guides"][1].update(contrast="standardised", contrast_spread=spread)
        preprocessing["contrast_windows"] = [17]

    guides = [{**GUIDES[1], "contrast": "standardised"}]
    data = loaded(
        config_file,
        **{
            "data.guides": guides, "data.contrast_windows": windows,
            "init.weights": weights(change), "init.statistics": "card",
        },
    )  # fmt: skip
    (guide,) = data.preprocessing["guides"]
    if windows == [17]:
        assert guide["contrast_spread"] == spread
    else:
        # In units of the card's deviation: the contrast's own deviation, box mean by SciPy.
        from scipy import ndimage

        with rasterio.open(SAMPLES / "dem.tif") as raster:
            x = (raster.read(1) - guide["mean"][0]) / guide["std"][0]
        for window, (value,) in zip(windows, guide["contrast_spread"], strict=True):
            box = [ndimage.uniform_filter(i, window, mode="constant") for i in (x, 0 * x + 1)]
            contrast = (x - box[0] / box[1])[:, :120]
            assert value == pytest.approx(contrast.std(ddof=1), rel=1e-6)
    assert torch.isfinite(data.guides["dem"]).all()


@pytest.mark.parametrize(
    ("factor", "offset", "message"),
    [
        (1.0, 5000.0, r"band 1 of guide 'dem' has mean 50\d\d.*, [\d.]+ in the card of '.*w.saf"),
        (0.02, 0.0, r"band 1 of guide 'dem' has standard deviation .* a ratio outside 1/5 to 5"),
    ],
)
def test_rasters_that_contradict_the_card(config_file, weights, tmp_path, factor, offset, message):
    given = {"data.guides": scaled(tmp_path, factor, offset), "init.weights": weights()}
    with pytest.raises(ValueError, match=f"{message}.*'init.statistics' = 'card'"):
        loaded(config_file, **given, **{"init.statistics": "card"})
    data = loaded(config_file, **given)
    (note,) = data.notes
    assert "band 1 of guide 'dem'" in note and "init.statistics" not in note


def test_light_that_is_normalised_otherwise_is_noted(config_file, weights):
    (note,) = loaded(
        config_file, **{"init.weights": weights(), "data.light.std": 2.0, "data.light.mean": 1.0}
    ).notes
    assert "mean 1.0 here, 0.0 there" in note and "std 2.0 here, 32.0 there" in note


def test_a_missing_card_matters_only_where_it_is_asked_for(config_file, weights, tmp_path):
    given = {"init.weights": weights()}
    (tmp_path / "w.json").unlink()
    assert loaded(config_file, **given).notes == []
    with pytest.raises(FileNotFoundError, match=r"w\.json"):
        loaded(config_file, **given, **{"init.statistics": "card"})
