"""Schedules, and checkpoints that are whole or not there."""

import itertools
import os

import pytest
import torch

from deeplight.training.checkpoint import (
    Checkpoint,
    read_checkpoint,
    write_atomically,
    write_checkpoint,
)
from deeplight.training.schedule import warmup_cosine


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
    write_checkpoint(path, Checkpoint(7, {"a": 1}, tensors, {"rows": [1, 2.5]}))
    back = read_checkpoint(path)
    assert (back.step, back.identity, back.state) == (7, {"a": 1}, {"rows": [1, 2.5]})
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
