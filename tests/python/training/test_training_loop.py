"""Training with a tiny network: exactness, restarts, interruptions."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from tiny_run import CONFIG, digest

import deeplight
from deeplight.training import load_config, train
from deeplight.training.checkpoint import (
    read_checkpoint,
)
from deeplight.training.loop import Trainer


def test_a_run_leaves_weights_card_and_log(config_file, tmp_path):
    seen = []
    path = train(load_config(config_file), tmp_path / "run", report=seen.append)
    assert [p.step for p in seen] == list(range(1, 10))
    assert [p.step for p in seen if p.validation] == [4, 8, 9]
    card = deeplight.weights.load_card(path)
    assert card["preprocessing"]["guides"][0]["contrast"] == "difference"
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
    with pytest.raises(ValueError, match=r"'optimizer.lr' is 0.001 here and 0.0005 there"):
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
