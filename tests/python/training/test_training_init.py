"""Starts from trained weights: what is taken, frozen, refused; and that it helps."""

import io
from types import SimpleNamespace

import pytest
import torch
from tiny_run import CONFIG

import deeplight
from deeplight.models import load_network
from deeplight.training import load_config, train
from deeplight.training.loop import Trainer

DMO = {"name": "dmo", "path": "dmo.tif", "contrast": "difference"}
DEM = {"name": "dem", "path": "dem.tif"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("init")
    (folder / "tiny.toml").write_text(CONFIG)
    return train(load_config(folder / "tiny.toml", {"run.steps": 2}), folder / "run", threads=1)


@pytest.fixture(scope="module")
def known(weights):
    return deeplight.weights.load_state(weights)


@pytest.fixture
def start(config_file, weights, tmp_path):
    """A trainer that starts from the weights; another seed, so that nothing is equal by chance."""

    def started(changes=None):
        changes = {"init.weights": str(weights), "run.seed": 5, **(changes or {})}
        return Trainer(load_config(config_file, changes), tmp_path / "run", threads=1)

    return started


def test_the_same_guides_take_everything(start, known):
    trainer = start()
    state = trainer.network.state_dict()
    assert set(state) == set(known)
    for name, tensor in state.items():
        assert torch.equal(tensor, known[name]), name
    report = trainer.init_report
    assert set(report.taken) == set(known)
    assert not report.partial
    assert not report.random
    assert not report.unused
    assert report.share == 1
    assert report.notes == ()
    assert len(report.sha256) == 64


def test_without_weights_nothing_is_taken(config_file, tmp_path, known):
    trainer = Trainer(load_config(config_file, {"run.seed": 5}), tmp_path / "run", threads=1)
    assert trainer.init_report is None
    name = "downsample_dmo.conv0.weight"
    assert not torch.equal(trainer.network.state_dict()[name], known[name])


def test_reordered_guides_are_found_by_name(start, known):
    trainer = start({"data.guides": [DEM, DMO]})
    state, report = trainer.network.state_dict(), trainer.init_report
    for part in ("downsample_dmo", "downsample_dem", "align.guide_dmo", "fuse.main", "refine.head"):
        names = [name for name in state if name.startswith(part)]
        assert names
        for name in names:
            assert torch.equal(state[name], known[name]), name
    # The finest gate reads raw channels (30 of dmo, 1 of dem), a coarser one features of each.
    finest, coarser = known["refine.gate2_0.weight"], known["refine.gate0_0.weight"]
    dmo, dem = finest.split([30, 1], 1)
    assert torch.equal(state["refine.gate2_0.weight"], torch.cat([dem, dmo], 1))
    dmo, dem = coarser.chunk(2, 1)
    assert torch.equal(state["refine.gate0_0.weight"], torch.cat([dem, dmo], 1))
    # dmo now is folded in, which the weights never learnt: their fusion folds in dem.
    fusion = {name for name in state if name.startswith("fuse.auxiliary0")}
    assert set(report.random) == fusion
    assert report.as_dict()["random"] == ["fuse.auxiliary0"]
    assert any("order dmo, dem" in note for note in report.notes)


def test_a_new_guide_starts_at_random_and_is_not_heard_at_first(start, known):
    trainer = start({"data.guides": [DMO, {"name": "relief", "path": "dem.tif"}]})
    state, report = trainer.network.state_dict(), trainer.init_report
    assert "downsample_relief.conv0.weight" in report.random
    assert "align.guide_relief.conv0.weight" in report.random
    assert "downsample_dem" in report.unused
    assert report.partial["refine.gate2_0.weight"] == (30, 31)
    gate, other = state["refine.gate2_0.weight"], known["refine.gate2_0.weight"]
    assert torch.equal(gate[:, :30], other[:, :30])
    assert (gate[:, 30] == 0).all()
    # The fusion of the guide that is left out serves the new one.
    name = "fuse.auxiliary0.out0.weight"
    assert torch.equal(state[name], known[name])
    assert 0.5 < report.share < 1


def test_three_of_fifteen_bands_are_found_by_their_names(start, known):
    trainer = start({"data.guides": [{**DMO, "bands": [12, 10, 11]}, DEM]})
    state, report = trainer.network.state_dict(), trainer.init_report
    of = [11, 9, 10, 26, 24, 25]  # values, then as many contrasts
    name = "downsample_dmo.conv0.weight"
    assert torch.equal(state[name], known[name][:, of])
    name = "refine.gate2_0.weight"
    assert torch.equal(state[name], known[name][:, [*of, 30]])
    assert not report.random
    assert report.share == 1
    assert any("24 inputs of 'downsample_dmo.conv0.weight'" in note for note in report.notes)


def test_new_contrasts_of_a_known_band_start_at_zero(start, known):
    trainer = start({"data.guides": [DMO, {**DEM, "contrast": "difference"}]})
    layer = trainer.network.state_dict()["downsample_dem.conv0.weight"]
    assert torch.equal(layer[:, :1], known["downsample_dem.conv0.weight"])
    assert (layer[:, 1] == 0).all()
    assert trainer.init_report.partial["downsample_dem.conv0.weight"] == (1, 2)


def test_the_report_names_every_part_once_and_prints_them(start):
    report = start({"data.guides": [DMO, {"name": "relief", "path": "dem.tif"}]}).init_report
    named = [*report.taken, *report.partial, *report.random]
    assert sorted(named) == sorted(report.sizes)
    told = io.StringIO()
    report.print(told)
    text = " ".join(told.getvalue().split())
    assert text.startswith("starts from tiny.safetensors: ")
    for words in ("taken in part", "refine.gate2_0.weight (30 of 31 inputs)", "downsample_relief",
                  "not used"):  # fmt: skip
        assert words in text
    told = report.as_dict()
    assert told["counts"]["random"] == len(report.random)
    assert "downsample_relief" in told["random"]
    assert told["weights"] == "tiny.safetensors"


def test_frozen_parts_keep_their_bits(start, known):
    prefixes = ["align", "downsample_dmo"]
    trainer = start({"init.freeze": prefixes, "run.steps": 4})
    path = trainer.run()
    moved = []
    for name, tensor in trainer.network.state_dict().items():
        if name.startswith(tuple(prefixes)):
            assert torch.equal(tensor, known[name]), name
        elif not torch.equal(tensor, known[name]):
            moved.append(name.split(".")[0])
    assert {"downsample_dem", "fuse", "refine"} <= set(moved)
    told = deeplight.weights.load_card(path)["training"]["init"]
    assert told["frozen"] == ["downsample_dmo", "align"]
    assert told["share"] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"init.freeze": ["downsampel_dmo"]}, "did you mean 'downsample_dmo'"),
        ({"init.freeze": ["downsample", "align", "fuse", "refine"]}, "names every part"),
        (
            {"init.freeze": ["fuse.auxiliary0"], "data.guides": [DEM, DMO]},
            "would stay as it is at random",
        ),
        ({"init.weights": "", "init.freeze": ["align"]}, "keeps parts of init.weights"),
        ({"data.scale": 4, "split.train": [{"columns": [0, 14]}]}, "has scale 8, the data have 4"),
        ({"model.options.width": 16}, r"has width 8, the configuration 16.*width = 8"),
        ({"data.light.std": 100.0}, r"3\.1 times brighter or darker; set data\.light\.std = 32"),
        ({"data.light.mean": 60.0}, "darkness would move by"),
        ({"data.light.transform": "log1p"}, 'set data.light.transform = "linear"'),
    ],
)
def test_what_cannot_be_is_refused(start, changes, message):
    with pytest.raises(ValueError, match=message):
        start(changes)


def test_absent_weights_are_named(start):
    with pytest.raises(FileNotFoundError, match="black-marble-x7"):
        start({"init.weights": "black-marble-x7"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"architecture": "other_sr"},
            "is a 'other_sr', the configuration builds a 'deeplight_sr'",
        ),
        (
            {"state_dict": lambda: {"stem.weight": torch.zeros(8)}},
            r"nothing of it fits this network",
        ),
    ],
)
def test_weights_of_another_make_are_refused(start, monkeypatch, change, message):
    def other(name):
        network, card = load_network(name)
        kept = {
            key: getattr(network, key) for key in ("architecture", "scale", "options", "guides")
        }
        return SimpleNamespace(**{"state_dict": network.state_dict, **kept, **change}), card

    monkeypatch.setattr("deeplight.training.initialise.load_network", other)
    with pytest.raises(ValueError, match=message):
        start()


def test_fine_tuning_beats_scratch_at_equal_steps(config_file, tmp_path):
    changes = {"optimizer.lr": 3e-3, "optimizer.warmup": 5, "run.validate_every": 10}
    west = {"split.train": [{"columns": [0, 8]}], "split.validation": [{"columns": [11, 23]}]}
    east = {
        "split.train": [{"rows": [0, 11], "columns": [12, 23]}],
        "split.validation": [{"rows": [14, 23], "columns": [12, 23]}],
    }

    def gain(name, steps, region, **init):
        config = load_config(config_file, {**changes, **region, "run.steps": steps, **init})
        trainer = Trainer(config, tmp_path / name, threads=1)
        return trainer.run(), trainer.best.gain

    known, _ = gain("known", 60, west)
    _, tuned = gain("tuned", 10, east, **{"init.weights": str(known)})
    _, scratch = gain("scratch", 10, east)
    assert tuned > 0.1
    assert tuned > scratch + 0.1
