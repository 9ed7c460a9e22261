"""Training on the sample rasters with a tiny network: exactness, restarts, bad input."""

import csv
import hashlib
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

import deeplight
from deeplight.baselines import bicubic
from deeplight.training import load_config, load_data, train
from deeplight.training.checkpoint import (
    Checkpoint,
    read_checkpoint,
    write_atomically,
    write_checkpoint,
)
from deeplight.training.loop import Trainer
from deeplight.training.schedule import warmup_cosine
from deeplight.training.validation import validate

SAMPLES = Path(deeplight.__file__).parent / "sample_data/black_marble"
SHIPPED = Path(__file__).parents[2] / "configs/black_marble_x8.toml"

CONFIG = f"""
[data]
root = "{SAMPLES}"
target = "ntl_hr.tif"
auxiliary = "settlement_proxy.tif"
data_range = 255.0
[data.light]
std = 32.0
[[data.guides]]
name = "dmo"
path = "dmo.tif"
local_contrast = true
[[data.guides]]
name = "dem"
path = "dem.tif"
[split]
train = [{{ columns = [0, 14] }}]
validation = [{{ columns = [17, 23] }}]
[patches]
patch = 8
batch = 2
[model.options]
width = 8
[model.options.align]
warp = false
[model.options.fuse]
blocks = 1
[model.options.refine]
guide_gate = true
bicubic_skip = true
zero_heads = true
[loss]
pixel_loss = "mse"
[optimizer]
warmup = 2
[run]
steps = 9
validate_every = 4
checkpoint_every = 3
log_every = 1
[weights]
name = "tiny"
dtype = "float32"
"""


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(CONFIG)
    return path


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def spoiled(config_file, old, new):
    assert old in CONFIG
    config_file.write_text(CONFIG.replace(old, new))
    return config_file


# ---------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("patch = 8", "patches = 8", "unknown key 'patches.patches'; did you mean 'patch'"),
        ("[optimizer]", "[optimiser]", "unknown key 'optimiser'; did you mean 'optimizer'"),
        ("batch = 2", "batch = 2.5", "'patches.batch' must be an integer, got 2.5"),
        ("batch = 2", "batch = true", "'patches.batch' must be an integer, got True"),
        ("steps = 9", "steps = 0", "'run.steps' must be at least 1, got 0"),
        ('path = "dem.tif"', "", r"key 'data.guides\[1\].path' is missing"),
        ('name = "dem"', 'name = "dmo"', "'data.guides' must be guides of different names"),
        ("width = 8", "width = 8\nscale = 8", "'model.options.scale' follows from"),
        ("[data]", "[data", "not a TOML file"),
        (
            'target = "ntl_hr.tif"',
            'target = "ntl_hr.tif"\nlow_resolution = "ntl_lr_x8.tif"',
            "'patches.random_phase' must be false with a real",
        ),
    ],
)
def test_a_wrong_key_is_named(config_file, old, new, message):
    with pytest.raises(ValueError, match=message) as error:
        load_config(spoiled(config_file, old, new))
    assert str(config_file) in str(error.value)


def test_missing_configuration(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such configuration"):
        load_config(tmp_path / "absent.toml")


def test_native_tables_are_strict_too(config_file, tmp_path):
    config = load_config(spoiled(config_file, "guide_gate = true", "guide_gat = true"))
    with pytest.raises(ValueError, match="did you mean 'guide_gate'"):
        Trainer(config, tmp_path / "run")
    config = load_config(spoiled(config_file, 'pixel_loss = "mse"', 'pixel_los = "mse"'))
    with pytest.raises(ValueError, match="did you mean 'pixel_loss'"):
        Trainer(config, tmp_path / "run")


def test_the_shipped_configuration_keeps_the_test_block_apart():
    split = load_config(SHIPPED).split
    (test,) = split.test

    def gap(first, second, last):  # cells between two ranges; None is the whole side
        (a, b), (c, d) = first or (0, last), second or (0, last)
        return max(c - b, a - d) - 1

    for other in [*split.train, *split.validation]:
        apart = (gap(other.rows, test.rows, 127), gap(other.columns, test.columns, 174))
        assert max(apart) >= split.buffer, other
    notice = (SAMPLES / "NOTICE.txt").read_text()
    assert "rows 65 to 88" in notice and "columns 80 to 103" in notice
    assert test.rows == (64, 127) and test.columns == (80, 103)


# ---------------------------------------------------------------- data


def test_statistics_are_those_of_the_training_region(config_file):
    data = load_data(load_config(config_file))
    with rasterio.open(SAMPLES / "dmo.tif") as raster:
        values = raster.read().astype(np.float64)[:, :, :120]
    guide = data.preprocessing["guides"][0]
    np.testing.assert_allclose(guide["mean"], values.mean((1, 2)))
    np.testing.assert_allclose(guide["std"], values.std((1, 2), ddof=1))
    assert guide["band_names"][:3] == ["red_01", "green_01", "blue_01"]
    assert data.guides["dmo"].shape == (30, 192, 192)
    assert data.guides["dem"].shape == (1, 192, 192)
    assert data.cell_size == pytest.approx([1.40625, 1.40625])
    assert data.cell_size_units == "degree"


def test_simulated_low_resolution_equals_the_block_means_in_the_file(config_file):
    data = load_data(load_config(config_file))
    with rasterio.open(SAMPLES / "ntl_lr_x8.tif") as raster:
        expected = torch.from_numpy(raster.read())
    got = data.low_resolution_of((0, 0, 32, 32))
    torch.testing.assert_close(got[0], expected, rtol=1e-6, atol=1e-6)


def test_a_real_low_resolution_is_taken(config_file):
    text = CONFIG.replace("[data]", '[data]\nlow_resolution = "ntl_lr_x8.tif"')
    config_file.write_text(text.replace("[patches]", "[patches]\nrandom_phase = false"))
    config = load_config(config_file)
    batch = load_data(config).sampler(config, 0).sample(0)
    mean = torch.nn.functional.avg_pool2d(batch.target, 8)
    torch.testing.assert_close(batch.low_resolution, mean, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ('path = "dem.tif"', 'path = "den.tif"', FileNotFoundError, "guide 'dem' .*den.tif"),
        ('path = "dem.tif"', 'path = "NOTICE.txt"', ValueError, "NOTICE.txt"),
        ('path = "dem.tif"', 'path = "ntl_lr_x8.tif"', ValueError, "dem"),
        ("columns = [17, 23]", "columns = [15, 23]", ValueError, "closer than the buffer"),
        ("columns = [17, 23]", "columns = [17, 24]", ValueError, "leaves the low-resolution grid"),
        ("columns = [17, 23]", "columns = [23, 17]", ValueError, r"split.validation\[0\].columns"),
        ("patch = 8", "patch = 24", ValueError, "no region holds a patch"),
        ('auxiliary = "settlement_proxy.tif"', 'auxiliary = "dem.tif"', ValueError, r"in \[0, 1\]"),
    ],
)
def test_data_that_do_not_fit(config_file, old, new, error, message):
    config = load_config(spoiled(config_file, old, new))
    with pytest.raises(error, match=message):
        load_data(config).sampler(config, 0)


def test_constant_band_is_refused(config_file, tmp_path):
    with rasterio.open(SAMPLES / "dem.tif") as raster:
        profile = raster.profile
    with rasterio.open(tmp_path / "flat.tif", "w", **profile) as out:
        out.write(np.full((1, 192, 192), 7, np.uint8))
    config = load_config(spoiled(config_file, '"dem.tif"', f'"{tmp_path}/flat.tif"'))
    with pytest.raises(ValueError, match="band 1 of guide 'dem' is constant"):
        load_data(config)


def test_validation_of_a_zero_headed_network_is_bicubic(config_file, tmp_path):
    trainer = Trainer(load_config(config_file), tmp_path / "run")
    scores = validate(trainer.ema, trainer.data, "validation", 0.0, trainer.autocast)
    target = trainer.data.target[:, :, 17 * 8 :][None]
    smooth = bicubic(trainer.data.low_resolution_of((0, 17, 24, 7)), 8)
    lit = target > 0
    expected = 10 * math.log10(255**2 / float((smooth - target)[lit].square().mean()))
    assert scores["bicubic_lit_psnr"] == pytest.approx(expected, abs=1e-4)
    assert abs(scores["gain"]) < 0.01  # ours is not clamped


# ---------------------------------------------------------------- the loop


def test_a_run_leaves_weights_card_and_log(config_file, tmp_path):
    seen = []
    path = train(load_config(config_file), tmp_path / "run", report=seen.append)
    assert [p.step for p in seen] == list(range(1, 10))
    assert [p.step for p in seen if p.validation] == [4, 8, 9]
    card = deeplight.weights.load_card(path)
    assert card["preprocessing"]["guides"][0]["local_contrast"] is True
    assert card["training"]["config"]["split"]["buffer"] == 2
    assert card["scores"]["validation"]["bicubic_lit_psnr"] > 10
    options = json.dumps(card["options"])
    assert '"width": 8' in options
    state = deeplight.weights.load_state(path)
    network = deeplight.create_model(card["architecture"], **card["options"])
    network.load_state_dict(state)
    with (tmp_path / "run/log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(1, 10))
    assert float(rows[-1]["lr"]) < float(rows[2]["lr"])
    assert not list((tmp_path / "run").glob("*.tmp"))


def test_training_learns(config_file, tmp_path):
    text = CONFIG.replace("steps = 9", "steps = 60").replace("warmup = 2", "warmup = 5\nlr = 3e-3")
    config_file.write_text(text)
    trainer = Trainer(load_config(config_file), tmp_path / "run")
    trainer.run()
    assert trainer.best.gain > 0.05


def test_a_second_run_into_the_same_folder_needs_resume(config_file, tmp_path):
    config = load_config(config_file)
    train(config, tmp_path / "run")
    with pytest.raises(ValueError, match="--resume"):
        train(config, tmp_path / "run")


def test_killed_and_resumed_ends_in_the_same_bits(config_file, tmp_path):
    def command(folder, *more):
        arguments = [
            "train",
            str(config_file),
            "-o",
            str(tmp_path / folder),
            "--threads",
            "1",
            "-q",
        ]
        return [sys.executable, "-m", "deeplight", *arguments, *more]

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    config_file.write_text(CONFIG.replace("steps = 9", "steps = 200"))
    subprocess.run(command("whole"), check=True, env=environment)
    victim = subprocess.Popen(command("killed"), env=environment)
    checkpoint = tmp_path / "killed/checkpoint.safetensors"
    deadline = time.monotonic() + 300
    while not checkpoint.exists() and victim.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed/tiny.safetensors").exists()
    assert read_checkpoint(checkpoint).step < 200
    subprocess.run(command("killed", "--resume"), check=True, env=environment)
    for name in ("tiny.safetensors", "checkpoint.safetensors", "log.csv"):
        assert digest(tmp_path / "whole" / name) == digest(tmp_path / "killed" / name), name


def test_interrupt_writes_a_checkpoint_and_stops(config_file, tmp_path):
    trainer = Trainer(load_config(config_file), tmp_path / "run")

    def press(progress):
        if progress.step == 4:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        trainer.run(press)
    assert read_checkpoint(trainer.checkpoint_path).step == 4
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_checkpoint_of_another_configuration_is_refused(config_file, tmp_path):
    train(load_config(config_file), tmp_path / "run")
    other = load_config(config_file, {"optimizer.lr": 1e-3})
    with pytest.raises(ValueError, match="another configuration"):
        train(other, tmp_path / "run", resume=True)
    with pytest.raises(FileNotFoundError, match="no checkpoint to resume from"):
        train(other, tmp_path / "empty", resume=True)


def test_divergence_names_the_step_and_keeps_the_checkpoint(config_file, tmp_path):
    trainer = Trainer(load_config(config_file), tmp_path / "run")

    def poison(progress):
        if progress.step == 4:
            with torch.no_grad():
                next(trainer.network.parameters()).fill_(math.nan)

    with pytest.raises(FloatingPointError, match=r"loss is nan at step 5 .*patches"):
        trainer.run(poison)
    assert read_checkpoint(trainer.checkpoint_path).step == 3


def test_early_stopping(config_file, tmp_path):
    config = load_config(config_file, {"run.early_stopping": 2, "run.validate_every": 1})
    trainer = Trainer(config, tmp_path / "run")
    trainer.best.gain = 1e9
    trainer.run()
    assert trainer.step == 2


# ---------------------------------------------------------------- parts


def test_schedule():
    factors = [warmup_cosine(step, 100, 10, 0.02) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == 1
    assert factors[-1] == pytest.approx(0.02)
    assert factors[54] == pytest.approx(0.51, abs=0.02)
    assert all(a >= b for a, b in itertools.pairwise(factors[9:]))


def test_checkpoint_round_trip_and_damage(tmp_path):
    path = tmp_path / "c.safetensors"
    tensors = {"network": {"a.b": torch.randn(3, 2)}, "random": {"cpu": torch.get_rng_state()}}
    write_checkpoint(path, Checkpoint(7, "abc", tensors, {"rows": [1, 2.5]}))
    back = read_checkpoint(path)
    assert (back.step, back.digest, back.state) == (7, "abc", {"rows": [1, 2.5]})
    assert torch.equal(back.tensors["network"]["a.b"], tensors["network"]["a.b"])
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        read_checkpoint(path)


def test_a_failed_write_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


# ---------------------------------------------------------------- the command


def run_command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "deeplight", "train", *map(str, arguments)],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_the_command_prints_the_weights_and_reports_on_standard_error(config_file, tmp_path):
    done = run_command(config_file, "-o", tmp_path / "run", "--steps", 2, "--threads", 1)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "run/tiny.safetensors")
    assert "step 2 of 2: loss" in done.stderr


@pytest.mark.parametrize(
    ("spoil", "code", "message"),
    [
        ({"patch = 8": "patches = 8"}, 2, "did you mean 'patch'"),
        ({'path = "dem.tif"': 'path = "den.tif"'}, 1, "den.tif' does not exist"),
        ({"columns = [17, 23]": "columns = [14, 23]"}, 1, "overlaps the validation region"),
    ],
)
def test_the_command_fails_in_one_line(config_file, tmp_path, spoil, code, message):
    ((old, new),) = spoil.items()
    done = run_command(spoiled(config_file, old, new), "-o", tmp_path / "run")
    assert done.returncode == code
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""
    assert not (tmp_path / "run").exists()
