"""`run.checkpoint_activations`: less memory, the same bits, whatever else is set."""

import os
import signal

import pytest
from tiny_run import CONFIG, digest

from deeplight.training import load_config, load_data
from deeplight.training.loop import Trainer, open_run
from deeplight.weights import load_card

FILES = ("tiny.safetensors", "checkpoint.safetensors", "log.csv")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny") / "tiny.toml"
    path.write_text(CONFIG)
    return path, load_data(load_config(path))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"run.precision": "bf16", "optimizer.accumulate": 2, "run.channels_last": True},
        {"run.precision": "fp16", "run.averaging": "tail"},
    ],
    ids=["float32", "bf16", "fp16"],
)
def test_a_run_ends_in_the_same_bits(tiny, tmp_path, options):
    path, data = tiny
    options = {"run.steps": 4, "run.validate_every": 2, **options}
    for folder, on in (("plain", False), ("kept", True)):
        config = load_config(path, {**options, "run.checkpoint_activations": on})
        trainer = Trainer(config, tmp_path / folder, data)
        assert trainer.network.checkpoint_activations is on
        trainer.run()
    for name in FILES:
        assert digest(tmp_path / "plain" / name) == digest(tmp_path / "kept" / name), name
    card = load_card(tmp_path / "kept/tiny.safetensors")
    assert card["training"]["config"]["run"]["checkpoint_activations"] is True
    assert "checkpoint_activations" not in card["options"]


def test_a_run_that_found_too_little_memory_is_resumed_with_less(tiny, tmp_path):
    path, data = tiny
    config = load_config(path)
    Trainer(config, tmp_path / "whole", data).run()

    def press(progress):
        if progress.step == 4:
            os.kill(os.getpid(), signal.SIGINT)

    trainer = Trainer(config, tmp_path / "parts", data)
    with pytest.raises(KeyboardInterrupt):
        trainer.run(press)
    config = load_config(path, {"run.checkpoint_activations": True})
    open_run(config, tmp_path / "parts", resume=True, data=data).run()
    for name in FILES:
        assert digest(tmp_path / "whole" / name) == digest(tmp_path / "parts" / name), name
