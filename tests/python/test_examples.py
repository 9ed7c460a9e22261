"""The example programs run and print what they promise; C++ and Python predict the same."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

import deeplight
from deeplight import _native

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / os.environ.get("DEEPLIGHT_PRESET", "default")
SAMPLE = ROOT / "python" / "deeplight" / "sample_data" / "black_marble"


def run(name, *arguments):
    done = subprocess.run(
        [BUILD / f"example_{name}", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_operator():
    assert run("operator").split() == ["1", "0"]


def test_skeleton_operator():
    error, ratio = (float(line.split()[-1]) for line in run("skeleton_operator").splitlines())
    assert error <= 1e-14 and ratio > 0


def test_train():
    first, last = (float(part) for part in run("train").split()[1::2])
    assert last < 0.9 * first


def test_custom_fusion():
    assert "image 128x128" in run("custom_fusion")


def test_cpp_and_python_predict_the_same(tmp_path):
    weights = ROOT / "python" / "deeplight" / "weights_data" / "black-marble-x8.safetensors"
    guides = {name: SAMPLE / f"{name}.tif" for name in ("dmo", "dem")}
    low = SAMPLE / "ntl_lr_x8.tif"
    out = tmp_path / "cpp.tif"
    printed = run(
        "predict_raster", weights, low, out, *(f"{name}={path}" for name, path in guides.items())
    )
    sr = deeplight.load("black-marble-x8")
    sr.predict(low, guides=guides, out=tmp_path / "python.tif", progress=False)
    ours, theirs = (_native.Raster(str(p)).read()[0] for p in (out, tmp_path / "python.tif"))
    assert np.abs(ours - theirs).max() <= 1e-6 * np.abs(theirs).max()
    assert float(printed.split()[-1]) == pytest.approx(ours.mean() / read_mean(low), rel=1e-3)


def read_mean(path):
    return float(_native.Raster(str(path)).read()[0].mean())
