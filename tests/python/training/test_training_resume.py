"""An interrupted and resumed run ends in the same bits, whatever its averages and formats."""

import os
import signal

import pytest
from tiny_run import CONFIG, digest

from deeplight.training import load_config, load_data
from deeplight.training.checkpoint import read_checkpoint
from deeplight.training.loop import Trainer, open_run

FILES = ("tiny.safetensors", "tiny.json", "checkpoint.safetensors", "log.csv")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny") / "tiny.toml"
    path.write_text(CONFIG)
    return path, load_data(load_config(path))


def press_at(step):
    def press(progress):
        if progress.step == step:
            os.kill(os.getpid(), signal.SIGINT)

    return press


@pytest.mark.parametrize(
    ("averaging", "schedule", "accumulate", "precision"),
    [
        ("ema", "cosine", 1, "float32"),
        ("ema", "one_cycle", 2, "bf16"),
        ("tail", "one_cycle", 1, "float32"),
        ("tail", "constant", 2, "float32"),
        ("none", "cosine", 2, "float32"),
        ("none", "constant", 1, "bf16"),
    ],
)
def test_resumed_bit_for_bit(tiny, tmp_path, averaging, schedule, accumulate, precision):
    path, data = tiny
    options = {
        "run.averaging": averaging,
        "run.tail_share": 0.5,  # its mean begins with step 4: the interruption is inside
        "run.steps": 6,
        "run.validate_every": 3,
        "run.precision": precision,
        "optimizer.schedule": schedule,
        "optimizer.accumulate": accumulate,
    }
    config = load_config(path, options)
    Trainer(config, tmp_path / "whole", data).run()
    trainer = Trainer(config, tmp_path / "parts", data)
    with pytest.raises(KeyboardInterrupt):
        trainer.run(press_at(4))
    assert read_checkpoint(trainer.checkpoint_path).step == 4
    open_run(config, tmp_path / "parts", resume=True, data=data).run()
    for name in FILES:
        assert digest(tmp_path / "whole" / name) == digest(tmp_path / "parts" / name), name


def test_a_finished_run_resumed_writes_the_same_weights(tiny, tmp_path):
    path, data = tiny
    config = load_config(path, {"run.steps": 3})
    weights = Trainer(config, tmp_path, data).run()
    before = digest(weights)
    weights.unlink()
    trainer = open_run(config, tmp_path, resume=True, data=data)
    assert trainer.step == 3
    assert digest(trainer.run()) == before


def test_a_stopped_run_resumed_stays_stopped(tiny, tmp_path):
    path, data = tiny
    config = load_config(path, {"run.early_stopping": 1, "run.validate_every": 1})
    trainer = Trainer(config, tmp_path, data)
    trainer.best.gain = 1e9
    weights = trainer.run()
    assert trainer.step == 1
    before = digest(weights)
    again = open_run(config, tmp_path, resume=True, data=data)
    assert digest(again.run()) == before
    assert again.step == 1
