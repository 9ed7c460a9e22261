"""GrokLST's layout: read in order, split by its lists, and every damage named by file."""

import json
import re

import numpy as np
import pytest
import torch
from scipy.io import savemat

from deeplight.training import load_config, load_data, train
from deeplight.training.groklst import GUIDE_FIELDS, GrokLst
from deeplight.training.prepared import load_prepared, save_prepared

SIDE, SCALE, IMAGES = 32, 4, 6
CONFIG = """
[data]
kind = "groklst"
target = "30m/lst"
low_resolution = "120m/lst"
scale = 4

[data.light]
units = "K"
mean = 290.0
std = 10.0

[[data.guides]]
name = "guide"
path = "30m/guidance"

[split]

[patches]
patch = 4
batch = 2
random_phase = false
gain_jitter = 0.0
guide_dropout = 0.0

[model.options]
width = 4

[optimizer]
warmup = 0
cycles = 2

[run]
steps = 4
validate_every = 2
checkpoint_every = 2
"""


def temperature(index):
    rng = np.random.default_rng(index)
    return 280.0 + index + rng.uniform(0, 10, (SIDE, SIDE))


def field(index, band):
    return np.random.default_rng(100 * index + band).uniform(0, 1, (SIDE, SIDE)) + band


@pytest.fixture
def root(tmp_path):
    """Six images; names whose order is not that of their making."""
    folder = tmp_path / "groklst"
    for name in ("30m/lst", "120m/lst", "30m/guidance", "split"):
        (folder / name).mkdir(parents=True)
    for index in range(IMAGES):
        fine = temperature(index)
        coarse = fine.reshape(SIDE // SCALE, SCALE, SIDE // SCALE, SCALE).mean((1, 3))
        name = f"{chr(ord('a') + index)}.mat"
        savemat(folder / "30m/lst" / name, {"data": fine})
        savemat(folder / "120m/lst" / name, {"data": coarse})
        bands = {key: field(index, band) for band, key in enumerate(GUIDE_FIELDS)}
        savemat(folder / "30m/guidance" / name, dict(reversed(bands.items())))
    for name, lines in (("train", "4\n0\n2\n"), ("val", "5\n"), ("test", "1\n3\n")):
        (folder / f"split/{name}.txt").write_text(lines)
    return folder


@pytest.fixture
def config(tmp_path, root):
    path = tmp_path / "groklst.toml"
    path.write_text(CONFIG)
    return lambda **extra: load_config(path, {"data.root": str(root), **extra})


def test_lists_index_the_sorted_listing_and_fields_have_their_order(config):
    data = load_data(config())
    assert data.regions["train"] == [(0, 0, 8, 8), (8, 0, 8, 8), (16, 0, 8, 8)]
    assert len(data.regions["validation"]) == 1 and len(data.regions["test"]) == 2
    described = data.preprocessing["guides"][0]
    assert described["band_names"] == [*GUIDE_FIELDS] and described["bands"] == 10
    for place, index in enumerate((4, 0, 2, 5, 1, 3)):
        region = (8 * place, 0, 8, 8)
        truth = data.window(data.target, region)[0, 0].numpy()
        np.testing.assert_array_equal(truth, temperature(index).astype(np.float32))
        band = data.window(data.guides["guide"], region)[0, 7].numpy()
        raw = band * described["std"][7] + described["mean"][7]
        np.testing.assert_allclose(raw, field(index, 7), atol=1e-4)
        low = data.low_resolution_of(region)[0, 0].numpy()
        means = temperature(index).reshape(8, 4, 8, 4).mean((1, 3))
        np.testing.assert_allclose(low, means, atol=1e-4)
    assert data.cell_size == [120.0, 120.0] and data.cell_size_units == "metre"


def test_fields_can_be_chosen(root):
    data = GrokLst(root)
    chosen = data.guide("30m/guidance/c.mat", ["ndvi", "dem"]).numpy()
    np.testing.assert_allclose(chosen[0], field(2, 8), atol=1e-6)
    np.testing.assert_allclose(chosen[1], field(2, 0), atol=1e-6)
    assert data.guide("30m/guidance/c.mat").shape == (10, SIDE, SIDE)


def test_patches_never_cross_images(config):
    data = load_data(config())
    sampler = data.sampler(config(), 0)
    rows = set()
    for step in range(20):
        for window in sampler.sample(step).windows:
            row, height = window[0] // SCALE, window[2] // SCALE
            assert row // 8 == (row + height - 1) // 8 and row < 24
            rows.add(row // 8)
    assert rows == {0, 1, 2}


def test_prepared_and_trained(config, tmp_path):
    settings = config()
    data = load_data(settings)
    again = load_prepared(save_prepared(data, settings, tmp_path / "p.safetensors"), settings)
    assert torch.equal(again.target, data.target) and again.regions == data.regions
    weights = train(settings, tmp_path / "run", data=again, threads=1)
    card = json.loads(weights.with_suffix(".json").read_text())
    assert card["preprocessing"]["output"]["units"] == "K"
    assert card["cell_size"] == [120.0, 120.0]


def spoil_field(root):
    bands = {key: field(0, band) for band, key in enumerate(GUIDE_FIELDS) if key != "nir"}
    savemat(root / "30m/guidance/a.mat", bands)


def spoil_nan(root):
    bands = {key: field(0, band) for band, key in enumerate(GUIDE_FIELDS)}
    bands["ndvi"][3, 4] = np.nan
    savemat(root / "30m/guidance/a.mat", bands)


def corrupt(root):
    path = root / "30m/lst/c.mat"
    content = bytearray(path.read_bytes())
    content[128:160] = b"\xff" * 32
    path.write_bytes(content)


def cut_off(root):
    path = root / "120m/lst/c.mat"
    path.write_bytes(path.read_bytes()[:200])


def hdf5(root):
    (root / "30m/lst/c.mat").write_bytes(
        b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" + bytes(400)
    )


DAMAGES = {
    "missing field": (spoil_field, "30m/guidance/a.mat' has no field 'nir'"),
    "NaN in a guide": (spoil_nan, "30m/guidance/a.mat': field 'ndvi' holds 1 values"),
    "corrupt": (corrupt, "30m/lst/c.mat' is no readable MATLAB v5 file"),
    "cut off": (cut_off, "120m/lst/c.mat' is no readable MATLAB v5 file"),
    "version 7.3": (hdf5, "30m/lst/c.mat' is no readable MATLAB v5 file"),
    "empty": (
        lambda root: (root / "30m/lst/c.mat").write_bytes(b""),
        "30m/lst/c.mat' is no readable MATLAB v5 file",
    ),
    "empty list": (
        lambda root: (root / "split/val.txt").write_text("\n \n"),
        r"split/val.txt' is empty",
    ),
    "index": (
        lambda root: (root / "split/val.txt").write_text("5\n\n6\n"),
        r"split/val.txt', line 3: index 6 is out of range: the listing holds 6 files, 0 to 5",
    ),
    "no index": (
        lambda root: (root / "split/train.txt").write_text("0\n-1\n"),
        r"split/train.txt', line 2: '-1' is no index",
    ),
    "twice": (
        lambda root: (root / "split/train.txt").write_text("0\n0\n"), "stands on line 1 too"
    ),
    "leak": (
        lambda root: (root / "split/test.txt").write_text("1\n5\n"),
        r"split/test.txt' lists 'f.mat', which 'val.txt' lists too: the split leaks",
    ),
    "Celsius": (
        lambda root: savemat(root / "30m/lst/c.mat", {"data": temperature(2) - 273.15}),
        r"30m/lst/c.mat' holds 8\.\d+ to 1\d\.\d+ K after decoding",
    ),
    "scaled": (
        lambda root: savemat(root / "120m/lst/c.mat", {"data": np.full((8, 8), 14000, "u2")}),
        r"120m/lst/c.mat' holds 14000 to 14000 K after decoding",
    ),
    "text": (
        lambda root: savemat(root / "30m/lst/c.mat", {"data": "hello"}),
        r"30m/lst/c.mat': field 'data' holds no numbers",
    ),
    "another size": (
        lambda root: savemat(root / "30m/lst/c.mat", {"data": temperature(2)[:, :28]}),
        r"30m/lst/c.mat' is 32x28, expected 32x32",
    ),
    "missing file": (
        lambda root: (root / "30m/guidance/f.mat").unlink(),
        r"30m/guidance' has no file 'f.mat': every folder must list the same files",
    ),
    "missing list": (
        lambda root: (root / "split/test.txt").unlink(),
        r"split file '.*split/test.txt' does not exist",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named_by_its_file(config, root, damage):
    spoil, message = DAMAGES[damage]
    spoil(root)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_data(config())


@pytest.mark.parametrize("seed", range(30))
def test_no_random_damage_escapes_as_another_error(root, seed):
    rng = np.random.default_rng(seed)
    path = root / "30m/lst/c.mat"
    content = bytearray(path.read_bytes()[: rng.integers(130, path.stat().st_size)])
    for place in rng.integers(0, min(len(content), 300), 4):
        content[place] = rng.integers(0, 256)
    path.write_bytes(content)
    try:
        values = GrokLst(root).lst("30m/lst/c.mat")
    except ValueError as error:
        assert "c.mat" in str(error)
    else:
        assert values.ndim == 2


def test_scale_must_divide(config):
    with pytest.raises(ValueError, match=r"30m/lst/e.mat' is 32x32: scale 5 does not divide it"):
        load_data(config(**{"data.scale": 5}))
    with pytest.raises(ValueError, match=re.escape("120m/lst/e.mat' is 8x8, expected 4x4")):
        load_data(config(**{"data.scale": 8}))


def test_missing_pixels_are_invalid_not_cold(config, root):
    values = temperature(2)
    values[5, 6] = np.nan
    savemat(root / "30m/lst/c.mat", {"data": values})
    data = load_data(config())
    assert int((~data.valid).sum()) == 1
    assert not data.valid[0, 2 * SIDE + 5, 6]
    assert data.target[data.valid].min() > 279


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("data.low_resolution", "", "a folder of the data set"),
        ("data.light.units", "", "'data.light.units' must be \"K\""),
        ("data.valid", "x.tif", "'data.valid' must be left out"),
        ("split.context", True, "'split.context' must be left out"),
        ("split.blocks.size", 8, "'split.blocks.size' must be 0"),
        ("optimizer.cycles", 5, "'optimizer.cycles' must be at most run.steps = 4"),
        ("optimizer.schedule", "constant", "'optimizer.cycles' must be 1 unless"),
    ],
)
def test_keys_that_do_not_fit(config, key, value, message):
    with pytest.raises(ValueError, match=message):
        config(**{key: value})
