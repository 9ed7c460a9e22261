"""Options of `deeplight train`: --set, --prepared, TensorBoard."""

import csv
import importlib.util

import pytest
import typer.testing
from tiny_run import digest

from deeplight.cli import app
from deeplight.cli.settings import setting
from deeplight.training.checkpoint import read_checkpoint


def run(*arguments):
    return typer.testing.CliRunner().invoke(app, list(map(str, arguments)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("run.steps=10", ("run.steps", 10)),
        ("optimizer.lr = 1e-4", ("optimizer.lr", 1e-4)),
        ("run.deterministic=true", ("run.deterministic", True)),
        ("run.averaging=tail", ("run.averaging", "tail")),
        ('run.averaging="tail"', ("run.averaging", "tail")),
        ("init.weights=a/b-c.safetensors", ("init.weights", "a/b-c.safetensors")),
        ("optimizer.betas=[0.8, 0.9]", ("optimizer.betas", [0.8, 0.9])),
    ],
)
def test_a_setting_is_a_key_and_a_toml_value(text, expected):
    key, value = setting(text)
    assert (key, value) == expected
    assert type(value) is type(expected[1])


@pytest.mark.parametrize("text", ["run.steps", "=3", "run steps=3", "run.steps=", "a=[1", "a=b c"])
def test_a_setting_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="--set"):
        setting(text)


def train(config_file, folder, *options):
    return run("train", config_file, "-o", folder, "--threads", 1, "-q", *options)


def failure(result):
    """What the command line would print: an error's text, or the standard error."""
    return f"{result.stderr}{result.exception}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run.stepz=3", "steps"),
        ("run.steps=many", "run.steps"),
        ("run.steps=2.5", "run.steps"),
        ("nothing.at.all=1", "nothing"),
    ],
)
def test_a_wrong_setting_is_named(config_file, tmp_path, text, message):
    result = train(config_file, tmp_path / "run", "--set", text)
    assert result.exit_code != 0
    assert message in failure(result)
    assert not (tmp_path / "run").exists()


def test_settings_reach_the_run(config_file, tmp_path):
    settings = ("optimizer.lr=1e-4", "run.averaging=none", "run.steps=1", "optimizer.warmup=0")
    options = [part for text in settings for part in ("--set", text)]
    result = train(config_file, tmp_path, "--no-tensorboard", *options)
    assert result.exit_code == 0, failure(result)
    identity = read_checkpoint(tmp_path / "checkpoint.safetensors").identity
    assert identity["optimizer"]["lr"] == 1e-4
    assert identity["run"]["averaging"] == "none"
    with (tmp_path / "log.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["1"]
    assert not (tmp_path / "tensorboard").exists()


def test_prepared_data_give_the_same_bits(config_file, tmp_path):
    cache = tmp_path / "prepared.safetensors"
    result = run("prepare", config_file, "-o", cache)
    assert result.exit_code == 0, failure(result)
    for folder, options in (("rasters", ()), ("prepared", ("--prepared", cache))):
        result = train(config_file, tmp_path / folder, "--steps", 2, "--no-tensorboard", *options)
        assert result.exit_code == 0, failure(result)
    for name in ("tiny.safetensors", "checkpoint.safetensors", "log.csv"):
        assert digest(tmp_path / "rasters" / name) == digest(tmp_path / "prepared" / name), name
    result = train(
        config_file, tmp_path / "other", "--prepared", cache, "--set", "data.contrast_window=9"
    )
    assert result.exit_code != 0
    assert "contrast_window" in failure(result)


@pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed"
)
def test_tensorboard_holds_the_log(config_file, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = train(config_file, tmp_path, "--steps", 3)
    assert result.exit_code == 0, failure(result)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    losses = events.Scalars("loss/loss")
    assert [event.step for event in losses] == [1, 2, 3]
    for event, row in zip(losses, rows, strict=True):
        assert event.value == pytest.approx(float(row["loss"]), rel=1e-5)
    (gain,) = events.Scalars("validation/gain")
    assert gain.value == pytest.approx(float(rows[-1]["gain"]), rel=1e-5)
    assert len(events.Scalars("speed/steps_per_second")) == 3
    assert len(events.Images("bicubic, prediction, truth")) == 1
