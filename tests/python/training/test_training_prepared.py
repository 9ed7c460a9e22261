"""The prepared cache: the same bits as from the rasters, and files that are refused."""

import json

import pytest
import torch
from tiny_run import CONFIG, digest, spoiled

from deeplight.cli import main
from deeplight.training import load_config, load_data, train
from deeplight.training.prepared import load_prepared, save_prepared


@pytest.fixture
def cache(config_file, tmp_path):
    config = load_config(config_file)
    return save_prepared(load_data(config), config, tmp_path / "prepared.safetensors")


def test_training_from_the_cache_gives_the_same_bits(config_file, cache, tmp_path, monkeypatch):
    config = load_config(config_file)
    train(config, tmp_path / "rasters")
    monkeypatch.setattr("deeplight._native.has_raster", False)
    monkeypatch.delattr("deeplight._native.Raster")
    train(config, tmp_path / "cache", data=load_prepared(cache, config))
    for name in ("tiny.safetensors", "checkpoint.safetensors", "log.csv"):
        assert digest(tmp_path / "rasters" / name) == digest(tmp_path / "cache" / name), name


def test_the_same_rasters_give_the_same_bytes(config_file, cache, tmp_path):
    config = load_config(config_file)
    again = save_prepared(load_data(config), config, tmp_path / "again.safetensors")
    assert digest(again) == digest(cache)
    assert not list(tmp_path.glob(".*.tmp"))


def test_every_field_survives(config_file, cache):
    config = load_config(config_file)
    whole, back = load_data(config), load_prepared(cache, config)
    assert back.preprocessing == whole.preprocessing and back.regions == whole.regions
    assert (back.scale, back.gain, back.data_range) == (8, 1.0, 255.0)
    assert torch.equal(back.target, whole.target) and torch.equal(back.valid, whole.valid)
    assert all(torch.equal(back.guides[name], whole.guides[name]) for name in whole.guides)
    assert back.low_resolution is None and torch.equal(back.simulated, whole.simulated)


def test_another_configuration_is_refused_by_key(config_file, cache):
    other = load_config(spoiled(config_file, "columns = [17, 23]", "columns = [18, 23]"))
    message = r"'split.validation\[0\].columns\[0\]' is 17 there and 18 in the configuration"
    with pytest.raises(ValueError, match=message):
        load_prepared(cache, other)
    # What does not touch the data may change.
    load_prepared(cache, load_config(spoiled(config_file, "steps = 9", "steps = 10")))


def test_a_start_from_weights_needs_no_other_cache(config_file, cache, tmp_path):
    train(load_config(config_file, {"run.steps": 1}), tmp_path / "first")
    weights = str(tmp_path / "first/tiny.safetensors")
    config = load_config(config_file, {"init.weights": weights, "init.freeze": ["align"]})
    data = load_prepared(cache, config)
    assert data.notes == load_data(config).notes
    # Notes are on the weights at hand, not on those of the day when the data were prepared.
    card = json.loads((tmp_path / "first/tiny.json").read_text())
    card["preprocessing"]["low_resolution"]["std"] *= 20
    (tmp_path / "first/tiny.json").write_text(json.dumps(card))
    (note,) = load_prepared(cache, config).notes
    assert "light is normalised otherwise" in note and load_data(config).notes == [note]
    # Where the card gives the statistics, it belongs to the data.
    config = load_config(config_file, {"init.weights": weights, "init.statistics": "card"})
    with pytest.raises(ValueError, match="'init' is null there"):
        load_prepared(cache, config)


def test_damaged_and_foreign_files(config_file, cache, tmp_path):
    config = load_config(config_file)
    whole = cache.read_bytes()
    cache.write_bytes(whole[:-100])
    with pytest.raises(ValueError, match=r"prepared.safetensors' is no readable prepared data"):
        load_prepared(cache, config)
    flipped = bytearray(whole)
    flipped[-7] ^= 1
    cache.write_bytes(flipped)
    with pytest.raises(ValueError, match="checksum does not fit"):
        load_prepared(cache, config)
    train(config, tmp_path / "run")
    with pytest.raises(ValueError, match="not written by `deeplight prepare`"):
        load_prepared(tmp_path / "run/tiny.safetensors", config)
    with pytest.raises(FileNotFoundError, match="`deeplight prepare` writes them"):
        load_prepared(tmp_path / "absent.safetensors", config)


def test_the_command(config_file, tmp_path, capsys):
    path = tmp_path / "prepared.safetensors"
    arguments = [str(config_file), "-o", str(path), "--json"]
    with pytest.raises(SystemExit) as ended:
        main(["prepare", *arguments, "--set", "split.buffer=1"])
    assert ended.value.code == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["bytes"] == path.stat().st_size and printed["guides"] == {"dmo": 30, "dem": 1}
    config_file.write_text(CONFIG.replace("[split]", "[split]\nbuffer = 1"))
    load_prepared(path, load_config(config_file))
    with pytest.raises(SystemExit) as ended:
        main(["prepare", str(config_file), "-o", str(tmp_path / "prepared.bin")])
    assert ended.value.code == 2 and "must end in .safetensors" in capsys.readouterr().err
