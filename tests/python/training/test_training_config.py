"""Configurations: strict keys, rules, the shipped files."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_run import CONFIG, SAMPLES, SHIPPED, spoiled

from deeplight.training import load_config
from deeplight.training.loop import Trainer


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


def test_a_base_is_merged_key_by_key(config_file, tmp_path):
    (tmp_path / "more").mkdir()
    child = tmp_path / "more/child.toml"
    child.write_text('base = "../tiny.toml"\n[run]\nsteps = 5\n[weights]\nname = "child"\n')
    mine, base = load_config(child), load_config(config_file)
    assert (mine.run.steps, mine.weights.name) == (5, "child")
    assert mine.run.validate_every == base.run.validate_every == 4
    assert mine.data == base.data and mine.split == base.split
    child.write_text('base = "../tiny.toml"\n[data]\nguides = []\n')
    assert load_config(child).data.guides == ()
    config_file.write_text('base = "more/child.toml"\n')
    with pytest.raises(ValueError, match=r"is its own base, by way of '.*child.toml'"):
        load_config(config_file)
    child.write_text('base = "absent.toml"\n')
    with pytest.raises(FileNotFoundError, match=r"absent.toml' \(the base of '.*child.toml'\)"):
        load_config(child)


def test_a_relative_root_of_a_base_is_relative_to_the_base(config_file, tmp_path):
    config_file.write_text(config_file.read_text().replace(str(SAMPLES), "rasters"))
    (tmp_path / "more").mkdir()
    (tmp_path / "more/child.toml").write_text('base = "../tiny.toml"\n')
    root = load_config(tmp_path / "more/child.toml").data.root
    assert Path(root).resolve() == tmp_path / "rasters"


def test_initial_weights_are_relative_to_the_file_that_names_them(config_file, tmp_path):
    config_file.write_text(CONFIG + '[init]\nweights = "starts/w.safetensors"\n')
    wanted = tmp_path / "starts/w.safetensors"
    assert Path(load_config(config_file).init.weights) == wanted
    (tmp_path / "more").mkdir()
    child = tmp_path / "more/child.toml"
    child.write_text('base = "../tiny.toml"\n')
    assert Path(load_config(child).init.weights).resolve() == wanted.resolve()
    # A shipped name is no path, and what the command line says is seen from where it is said.
    config_file.write_text(CONFIG + '[init]\nweights = "black-marble-x8"\n')
    assert load_config(child).init.weights == "black-marble-x8"
    given = {"init.weights": "here/w.safetensors"}
    assert load_config(child, given).init.weights == "here/w.safetensors"


def test_a_run_is_known_by_the_content_of_its_initial_weights(config_file, tmp_path):
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_file({"x": torch.zeros(2)}, first)
    second.write_bytes(first.read_bytes())
    config = load_config(config_file, {"init.weights": str(first)})
    moved = load_config(config_file, {"init.weights": str(second)})
    assert config.digest() == moved.digest() != load_config(config_file).digest()
    before = config.digest()
    save_file({"x": torch.ones(2)}, first)
    assert config.digest() != before
