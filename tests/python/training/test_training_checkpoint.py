"""Checkpoints that are whole or not there."""

import os

import pytest
import torch

from deeplight.files import write_whole
from deeplight.training.checkpoint import (
    Checkpoint,
    first_difference,
    read_checkpoint,
    write_checkpoint,
)


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
    write_whole(path, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("here", "there", "difference"),
    [
        ({"a": 1, "b": {"c": [1, 2]}}, {"a": 1, "b": {"c": [1, 2]}}, None),
        ({"a": 1, "b": {"c": [1, 2]}}, {"a": 1, "b": {"c": [1, 3]}}, ("b.c[1]", 2, 3)),
        ({"a": {"x": 1}}, {"a": {}}, ("a.x", 1, None)),
        ({}, {"a": {"x": 1}}, ("a", None, {"x": 1})),
        ({"a": [1]}, {"a": [1, 2]}, ("a", [1], [1, 2])),
    ],
)
def test_the_first_difference_of_two_tables(here, there, difference):
    assert first_difference(here, there) == difference
