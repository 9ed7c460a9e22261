"""The shipped GrokLST recipe from MATLAB files to a raster in kelvin, on a data set made small.

What differs from the configuration: images of 64 x 64 pixels instead of 512 x 512, a network of
width 4 instead of 32, and 8 steps instead of 10,000.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from scipy.io import savemat

from deeplight.training import load_config, load_data, train
from deeplight.training.checkpoint import read_checkpoint
from deeplight.training.groklst import GUIDE_FIELDS

RECIPE = Path(__file__).parents[3] / "configs/mocolsk_groklst_x8.toml"
SIDE, SCALE, IMAGES, STEPS, CHECKPOINT = 64, 8, 7, 8, 4
SMALL = {
    "patches.patch": SIDE // SCALE, "patches.batch": 2, "model.options.width": 4,
    "run.steps": STEPS, "run.validate_every": 4, "run.checkpoint_every": CHECKPOINT,
}  # fmt: skip


def image(index):
    """Kelvin whose fine structure stands in the elevation; fields in the order of the paper."""
    generator = np.random.default_rng(index)
    coarse = generator.uniform(275, 290, (SIDE // SCALE, SIDE // SCALE))
    fields = generator.uniform(0, 0.5, (len(GUIDE_FIELDS), SIDE, SIDE))
    fields[0] = 2500 + 1000 * generator.standard_normal((SIDE, SIDE))
    return np.kron(coarse, np.ones((SCALE, SCALE))) - 0.0065 * (fields[0] - 2500), fields


def block_mean(values):
    return values.reshape(SIDE // SCALE, SCALE, SIDE // SCALE, SCALE).mean((1, 3))


@pytest.fixture(scope="module")
def groklst(tmp_path_factory):
    root = tmp_path_factory.mktemp("recipe") / "GrokLST"
    for folder in ("30m/lst", "30m/guidance", "240m/lst", "split"):
        (root / folder).mkdir(parents=True)
    for index in range(IMAGES):
        kelvin, fields = image(index)
        name = f"{index:03d}.mat"
        savemat(root / "30m/lst" / name, {"data": kelvin})
        savemat(root / "240m/lst" / name, {"data": block_mean(kelvin)})
        savemat(root / "30m/guidance" / name, dict(zip(GUIDE_FIELDS, fields, strict=True)))
    lists = {"train": (0, 1, 2, 3), "val": (4,), "test": (5, 6)}
    for name, indices in lists.items():
        (root / f"split/{name}.txt").write_text("".join(f"{index}\n" for index in indices))
    return root


def write(path, bands, cell, units=""):
    with rasterio.open(
        path, "w", driver="GTiff", count=len(bands), height=bands.shape[1], width=bands.shape[2],
        dtype="float32", crs="EPSG:32650", transform=from_origin(400000, 4000000, cell, cell),
    ) as raster:  # fmt: skip
        raster.write(bands.astype(np.float32))
        raster.units = (units,) * len(bands)


def run(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "deeplight", *map(str, arguments)],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def fail_later(progress):
    if progress.step == CHECKPOINT + 2:
        raise RuntimeError("power cut")


def test_prepared_trained_broken_off_resumed_and_predicted(groklst, tmp_path):
    settings = [f"--set={key}={value}" for key, value in SMALL.items()]
    prepared = tmp_path / "groklst.safetensors"
    run("prepare", RECIPE, "--data", groklst, "-o", prepared, *settings)

    config = load_config(RECIPE, {**SMALL, "data.root": str(groklst)})
    with pytest.raises(RuntimeError, match="power cut"):
        train(config, tmp_path / "run", data=load_data(config), threads=1, report=fail_later)
    assert read_checkpoint(tmp_path / "run/checkpoint.safetensors").step == CHECKPOINT

    command = ("train", RECIPE, "--prepared", prepared, "-o", tmp_path / "run", "--threads", 1)
    weights = Path(run(*command, "--data", groklst, "--resume", *settings).strip())
    log = (tmp_path / "run/log.csv").read_text().splitlines()
    assert int(log[-1].split(",")[0]) == STEPS
    card = json.loads(weights.with_suffix(".json").read_text())
    assert (card["architecture"], card["scale"]) == ("mocolsk_net", SCALE)
    assert card["preprocessing"]["low_resolution"]["mean"] == 282.51
    assert card["preprocessing"]["guides"][0]["band_names"] == [*GUIDE_FIELDS]
    assert card["options"]["stages"] == 4 and card["options"]["behaviour"] == "as_described"

    kelvin, fields = image(6)
    write(tmp_path / "low.tif", block_mean(kelvin)[None], 240.0, "K")
    write(tmp_path / "guide.tif", fields, 30.0)
    out = tmp_path / "fine.tif"
    run("predict", tmp_path / "low.tif", "--guide", f"guide={tmp_path / 'guide.tif'}",
        "--weights", weights, "-o", out)  # fmt: skip
    with rasterio.open(out) as raster:
        assert raster.units == ("K",) and raster.res == (30.0, 30.0)
        predicted = raster.read(1)
    assert predicted.shape == (SIDE, SIDE)
    # Eight steps teach nothing: what is shown is that it is the image, in kelvin.
    assert np.abs(block_mean(predicted) - block_mean(kelvin)).mean() < 4
    assert np.isfinite(predicted).all()


def test_the_recipe_is_the_papers():
    config = load_config(RECIPE)
    assert (config.optimizer.lr, config.optimizer.weight_decay) == (1e-4, 1e-5)
    assert config.run.steps == 4 * 2500 and config.optimizer.cycles == 4
    assert config.optimizer.lr * config.optimizer.floor == pytest.approx(1e-7)
    assert config.patches.batch == 4 and config.loss["pixel_loss"] == "l1"
