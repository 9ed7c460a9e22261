"""Folders of aligned GeoTIFFs: in the order of the lists, never mixed, checked one by one."""

import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import from_origin

from deeplight.training import load_config, load_data

SIDE, SCALE, NAMES = 24, 4, ("a.tif", "b.tif", "c.tif", "d.tif")
CONFIG = """
[data]
kind = "folders"
target = "fine"
low_resolution = "coarse"
scale = 4

[data.light]
units = "K"
mean = 290.0

[[data.guides]]
name = "bands"
path = "guides"

[split]

[patches]
patch = 3
batch = 2
random_phase = false
gain_jitter = 0.0
"""


def write(path, values, cell, units="", left=500000.0):
    values = np.asarray(values, np.float32)
    values = values if values.ndim == 3 else values[None]
    with rasterio.open(
        path, "w", driver="GTiff", count=values.shape[0], height=values.shape[1],
        width=values.shape[2], dtype="float32", crs="EPSG:32632", nodata=-1,
        transform=from_origin(left, 5e6, cell, cell),
    ) as raster:  # fmt: skip
        raster.write(values)
        raster.units = (units,) * values.shape[0]
        raster.descriptions = [f"band {band}" for band in range(values.shape[0])]


def temperature(index):
    return 285.0 + index + np.random.default_rng(index).uniform(0, 5, (SIDE, SIDE))


def channels(index):
    return np.random.default_rng(50 + index).uniform(0, 1, (3, SIDE, SIDE))


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "set"
    for folder in ("fine", "coarse", "guides", "split"):
        (root / folder).mkdir(parents=True)
    for index, name in enumerate(NAMES):
        left = 500000.0 + 1e4 * index
        fine = temperature(index)
        fine[0, 0] = -1 if index == 2 else fine[0, 0]
        write(root / "fine" / name, fine, 30, "K", left)
        coarse = temperature(index).reshape(6, 4, 6, 4).mean((1, 3)) - 273.15
        write(root / "coarse" / name, coarse, 120, "degC", left)
        write(root / "guides" / name, channels(index), 30, left=left)
    for part, names in (("train", "c.tif\na.tif\n"), ("val", "b.tif"), ("test", "d.tif\n\n")):
        (root / f"split/{part}.txt").write_text(names)
    return root


@pytest.fixture
def config(tmp_path, root):
    path = tmp_path / "folders.toml"
    path.write_text(CONFIG)
    return lambda **extra: load_config(path, {"data.root": str(root), **extra})


def test_images_in_the_order_of_the_lists(config):
    data = load_data(config())
    assert data.regions["train"] == [(0, 0, 6, 6), (6, 0, 6, 6)]
    for place, index in enumerate((2, 0, 1, 3)):
        region = (6 * place, 0, 6, 6)
        truth = data.window(data.target, region)[0, 0].numpy()
        valid = data.window(data.valid, region)[0, 0].numpy()
        assert valid.sum() == SIDE * SIDE - (index == 2)
        np.testing.assert_array_equal(truth[valid], temperature(index).astype("f4")[valid])
        low = data.low_resolution_of(region)[0, 0].numpy()  # Celsius in the files
        np.testing.assert_allclose(
            low, temperature(index).reshape(6, 4, 6, 4).mean((1, 3)), atol=1e-3
        )
    assert data.cell_size == [120.0, 120.0] and data.cell_size_units == "metre"
    chosen = load_data(config(**{"data.guides": [BAND3]}))
    described = chosen.preprocessing["guides"][0]
    assert described["band_names"] == ["band 2"]
    raw = chosen.guides["one"][0, :SIDE].numpy() * described["std"][0] + described["mean"][0]
    np.testing.assert_allclose(raw, channels(2)[2], atol=1e-5)


BAND3 = {"name": "one", "path": "guides", "bands": [3]}


def test_a_simulated_low_resolution(config):
    data = load_data(config(**{"data.low_resolution": "", "patches.random_phase": True}))
    assert data.low_resolution is None
    means = temperature(3).reshape(6, 4, 6, 4).mean((1, 3))
    np.testing.assert_allclose(data.low_resolution_of((18, 0, 6, 6))[0, 0], means, atol=1e-3)
    windows = [w for step in range(20) for w in data.sampler(config(), 0).sample(step).windows]
    assert {row // SIDE for row, *_ in windows} == {0, 1}
    assert all(row // SIDE == (row + height - 1) // SIDE for row, _, height, _ in windows)


DAMAGES = {
    "shifted guide": (
        lambda root: write(root / "guides/a.tif", channels(0), 30, left=500030.0), "a.tif"
    ),
    "shifted low resolution": (
        lambda root: write(root / "coarse/a.tif", np.full((6, 6), 20), 120, "degC", 5e5 + 120),
        "a.tif",
    ),
    "no units": (
        lambda root: write(root / "coarse/a.tif", np.full((6, 6), 20), 120),
        r"coarse/a\.tif' states no units",
    ),
    "wrong units": (
        lambda root: write(root / "fine/a.tif", temperature(0) - 273.15, 30, "K"),
        r"fine/a\.tif' holds 1\d\.\d+ to \d\d\.\d+ K after decoding",
    ),
    "fewer bands": (
        lambda root: write(root / "guides/a.tif", channels(0)[:2], 30),
        r"guides/a\.tif' has 2 bands, the first of its folder 3",
    ),
    "another size": (
        lambda root: write(root / "fine/a.tif", temperature(0)[:20], 30, "K"),
        r"fine/a\.tif' is 20x24, expected 24x24",
    ),
    "missing": (
        lambda root: (root / "coarse/b.tif").unlink(), r"coarse' has no file 'b\.tif'"
    ),
    "unlisted": (
        lambda root: (root / "split/val.txt").write_text("b.tif\ne.tif\n"),
        r"split/val\.txt', line 2: '.*fine' has no file 'e\.tif'",
    ),
    "leak": (
        lambda root: (root / "split/val.txt").write_text("a.tif\n"),
        r"split/val\.txt' lists 'a\.tif', which 'train\.txt' lists too",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_file_is_checked(config, root, damage):
    spoil, message = DAMAGES[damage]
    spoil(root)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_data(config())


def test_contrast_and_point_spread_would_cross_images(config):
    with pytest.raises(ValueError, match="images stand side by side"):
        config(**{"data.guides": [BAND3 | {"contrast": "difference"}]})
    spread = {"data.degradation.psf": "gaussian", "data.degradation.sigma": 1.0}
    with pytest.raises(ValueError, match="images stand side by side"):
        config(**{"data.low_resolution": "", **spread})


def test_without_temperatures_values_stay_as_they_are(config, root):
    for name in NAMES:
        write(root / "coarse" / name, np.ones((6, 6)), 120, left=500000.0 + 1e4 * NAMES.index(name))
    data = load_data(config(**{"data.light.units": "nW cm-2 sr-1"}))
    assert torch.equal(data.low_resolution, torch.ones(1, 24, 6))
