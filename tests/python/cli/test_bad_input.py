"""Everything that can be wrong with a prediction's input: one line, an exit code, no output file.

Each row changes one thing about a prediction with the shipped weights and the sample rasters.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

PACKAGE = Path(__file__).resolve().parents[3] / "python" / "deeplight"
SAMPLE = PACKAGE / "sample_data" / "black_marble"
WEIGHTS = PACKAGE / "weights_data" / "black-marble-x8.safetensors"


@pytest.fixture
def scene(tmp_path):
    for name in ("ntl_lr_x8", "dmo", "dem"):
        shutil.copy(SAMPLE / f"{name}.tif", tmp_path / f"{name}.tif")
    for suffix in (".safetensors", ".json"):
        shutil.copy(WEIGHTS.with_suffix(suffix), tmp_path / f"w{suffix}")
    return tmp_path


def predict(scene, *extra, low="ntl_lr_x8.tif", guides=("dmo", "dem"), out="out.tif", **options):
    command = [sys.executable, "-m", "deeplight", "predict", low, "-o", out, "-w", "w.safetensors"]
    for guide in guides:
        command += ["--guide", f"{guide}={guide}.tif"]
    return subprocess.run(
        [*command, *extra], cwd=scene, capture_output=True, text=True, check=False, **options
    )


def rewrite(path, change):
    """Reads a raster, lets `change(values, profile)` alter it, writes it again."""
    with rasterio.open(path) as source:
        values, profile = source.read(), source.profile
    values, profile = change(values, profile)
    profile.update(count=values.shape[0], height=values.shape[1], width=values.shape[2])
    with rasterio.open(path, "w", **profile) as out:
        out.write(values)


def shifted(values, profile):
    profile["transform"] *= rasterio.Affine.translation(3, 0)
    return values, profile


def other_crs(values, profile):
    profile["crs"] = "EPSG:3857"
    return values, profile


def claim_much(scene):
    """A guide of less than 1 KB that would need 2 GB."""
    profile = {"driver": "GTiff", "height": 46341, "width": 46341, "count": 1, "dtype": "uint8"}
    profile["transform"] = rasterio.Affine(1, 0, 0, 0, -1, 0)
    layout = {"tiled": True, "blockxsize": 16384, "blockysize": 16384, "SPARSE_OK": True}
    (scene / "dem.tif").unlink()
    with rasterio.open(scene / "dem.tif", "w", **profile, **layout):
        pass
    assert (scene / "dem.tif").stat().st_size < 1024


def hostile(header, body=b""):
    text = header.encode()
    return struct.pack("<Q", len(text)) + text + body


def set_card(scene, **fields):
    card = json.loads((scene / "w.json").read_text())
    for key, value in fields.items():
        card[key] = value
    (scene / "w.json").write_text(json.dumps(card))


CASES = {
    "missing file": (lambda s: (s / "ntl_lr_x8.tif").unlink(), "ntl_lr_x8.tif"),
    "not a raster": (lambda s: (s / "ntl_lr_x8.tif").write_text("hello"), "ntl_lr_x8.tif"),
    "truncated raster": (
        lambda s: (s / "dmo.tif").write_bytes((s / "dmo.tif").read_bytes()[:200000]),
        "dmo.tif",
    ),
    "2^31 pixels in 1 KB": (claim_much, "claims 46341x46341 pixels"),
    "guide of another extent": (lambda s: rewrite(s / "dem.tif", shifted), "dem.tif"),
    "guide of another size": (
        lambda s: rewrite(s / "dem.tif", lambda v, p: (v[:, :-1], p)),
        "expected",
    ),
    "guide in another system": (lambda s: rewrite(s / "dem.tif", other_crs), "EPSG:3857"),
    "wrong band count": (
        lambda s: rewrite(s / "dmo.tif", lambda v, p: (v[:7], p)),
        "7",
    ),
    "low resolution with two bands": (
        lambda s: rewrite(s / "ntl_lr_x8.tif", lambda v, p: (np.concatenate([v, v]), p)),
        "ntl_lr_x8.tif",
    ),
    "all nodata": (
        lambda s: rewrite(
            s / "ntl_lr_x8.tif", lambda v, p: (np.full_like(v, np.nan, dtype="float32"),
                                               {**p, "dtype": "float32", "nodata": None})
        ),
        "no valid pixel",
    ),
    "weights cut short": (
        lambda s: (s / "w.safetensors").write_bytes((s / "w.safetensors").read_bytes()[:5000]),
        "w.safetensors",
    ),
    "weights of another architecture": (lambda s: set_card(s, architecture="unet"), "unet"),
    "weights for other options": (
        lambda s: set_card(s, options={"width": 16}),
        "w.",
    ),
    "scale not supported": (lambda s: set_card(s, scale=3), "w.json"),
    "header of 2^63 bytes": (
        lambda s: (s / "w.safetensors").write_bytes(struct.pack("<Q", 2**63) + b"{}"),
        "w.safetensors",
    ),
    "negative length": (
        lambda s: (s / "w.safetensors").write_bytes(
            hostile('{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', b"\0" * 4)
        ),
        "w.safetensors",
    ),
    "overlapping tensors": (
        lambda s: (s / "w.safetensors").write_bytes(
            hostile(
                '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
                '"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}',
                b"\0" * 6,
            )
        ),
        "w.safetensors",
    ),
    "sides of 2^63": (
        lambda s: (s / "w.safetensors").write_bytes(
            hostile(
                '{"a":{"dtype":"F32","shape":[9223372036854775807,4],"data_offsets":[0,4]}}',
                b"\0" * 4,
            )
        ),
        "w.safetensors",
    ),
    "deep nesting": (
        lambda s: (s / "w.safetensors").write_bytes(hostile('{"a":' + "[" * 5000)),
        "w.safetensors",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), CASES.values(), ids=CASES.keys())
def test_one_clear_line_and_no_output(scene, change, message):
    change(scene)
    done = predict(scene)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("deeplight: error: ") and done.stderr.count("\n") == 1
    assert message in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == "" and not list(scene.glob("*out*"))


def test_a_missing_guide(scene):
    done = predict(scene, guides=("dmo",))
    assert done.returncode == 2 and "guide 'dem'" in done.stderr


def test_an_unnamed_guide(scene):
    done = predict(scene, "--guide", "dem.tif", guides=("dmo",))
    assert done.returncode == 2 and "NAME=FILE" in done.stderr


def test_pickled_weights_are_refused(scene):
    (scene / "w.pt").write_bytes(b"\x80\x04.")
    done = predict(scene, "-w", "w.pt")
    assert done.returncode != 0 and "safetensors" in done.stderr


def test_output_folder_missing(scene):
    done = predict(scene, out="nowhere/out.tif")
    assert done.returncode == 1 and "nowhere" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_disk_full_leaves_no_output_and_is_resumed(scene):
    disk = scene / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("no permission to mount")
    try:
        done = predict(scene, out="disk/out.tif")
        assert done.returncode == 1 and "disk/.out.tif" in done.stderr
        assert "No space left" in done.stderr and not (disk / "out.tif").exists()
        subprocess.run(["mount", "-o", "remount,size=16m", disk], check=True)
        done = predict(scene, "--resume", out="disk/out.tif")
        assert done.returncode == 0, done.stderr
        assert [path.name for path in disk.iterdir()] == ["out.tif"]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_single_pixel_is_no_error(scene):
    def one_pixel(scale):
        return lambda values, profile: (values[:, :scale, :scale], profile)

    rewrite(scene / "ntl_lr_x8.tif", one_pixel(1))
    for guide in ("dmo", "dem"):
        rewrite(scene / f"{guide}.tif", one_pixel(8))
    done = predict(scene)
    assert done.returncode == 0, done.stderr
    with rasterio.open(scene / "out.tif") as out:
        assert out.shape == (8, 8) and np.isfinite(out.read()).all()
