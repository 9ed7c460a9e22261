"""Two processes under torchrun train what one trains."""

import csv
import math
import os
import subprocess
import sys

import pytest
import torch
from tiny_run import CONFIG

import deeplight


def train(config_file, folder, *options, processes=1):
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    arguments = ["train", str(config_file), "-o", str(folder), "--no-tensorboard", *options]
    return subprocess.run(
        [sys.executable, *(launch if processes > 1 else []), "-m", "deeplight", *arguments],
        capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def rows(folder):
    with (folder / "log.csv").open() as file:
        return list(csv.DictReader(file))


pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="this PyTorch has no torch.distributed"
)


def test_two_processes_train_what_one_trains(config_file, tmp_path):
    # Blanked guides and gains are drawn per item, so they too must not depend on who draws them.
    options = ["--steps", "4", "--threads", "1"]
    for folder, processes in (("one", 1), ("two", 2)):
        done = train(config_file, tmp_path / folder, *options, processes=processes)
        assert done.returncode == 0, done.stderr
        # One process speaks.
        assert done.stdout.strip() == str(tmp_path / folder / "tiny.safetensors")
        assert done.stderr.count("step 4 of 4: loss") == 1
    one, two = rows(tmp_path / "one"), rows(tmp_path / "two")
    assert len(one) == len(two) == 4
    for alone, together in zip(one, two, strict=True):
        for column in ("loss", "image_loss", "lr", "gradient_norm"):
            assert math.isclose(
                float(alone[column]), float(together[column]), rel_tol=1e-4, abs_tol=1e-5
            ), column
    alone, together = (
        deeplight.weights.load_state(tmp_path / folder / "tiny.safetensors")
        for folder in ("one", "two")
    )
    assert alone.keys() == together.keys()
    for name, tensor in alone.items():
        torch.testing.assert_close(together[name], tensor, rtol=1e-4, atol=2e-5, msg=name)


def test_a_batch_that_cannot_be_shared_is_one_error(tmp_path):
    config_file = tmp_path / "odd.toml"
    config_file.write_text(CONFIG.replace("batch = 2", "batch = 3"))
    done = train(config_file, tmp_path / "run", processes=2)
    assert done.returncode != 0
    message = "'patches.batch' must be a multiple of the 2 processes, got 3"
    assert done.stderr.count(message) == 1
    assert done.stderr.count("Traceback") <= 1  # torchrun's own, none of ours
    assert not (tmp_path / "run/checkpoint.safetensors").exists()
