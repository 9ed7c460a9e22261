"""pip install . gives an importable, typed package; the no-raster module imports without GDAL."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
BUILD = ROOT / "build" / os.environ.get("DEEPLIGHT_PRESET", "default")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    # By the same name as in the build of the tree: the compiler cache goes by it.
    cache = (BUILD / "CMakeCache.txt").read_text()
    compiler = re.search(r"^CMAKE_CXX_COMPILER:[A-Z]+=(.*)$", cache, re.MULTILINE)[1]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--wheel-dir", out, ROOT],
        capture_output=True, text=True, check=False, env={**os.environ, "CXX": compiler},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("deeplight-*.whl"))


def test_the_wheel_holds_what_it_needs_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    own = [name for name in names if ".dist-info/" not in name]
    assert all(name.startswith("deeplight/") for name in own)
    for needed in ("py.typed", "_native/__init__.pyi", "libdeeplight_ops.so", "cli/__init__.py"):
        assert f"deeplight/{needed}" in own
    assert any(name.startswith("deeplight/_native.cpython") for name in own)
    assert not any("/__pycache__/" in name for name in own)


def test_the_stubs_are_those_of_the_extension():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "make_stubs.py", "--check"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_wheel_imports_from_anywhere(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        "import deeplight, torch; print(deeplight.__file__);"
        "net = deeplight.create_model('deeplight_sr');"
        "print(sum(p.numel() for p in net.parameters()), deeplight.__version__)"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True,
        cwd=tmp_path,
    )  # fmt: skip
    path, numbers = done.stdout.splitlines()
    assert path.startswith(str(tmp_path))
    assert numbers.split() == ["3450223", "0.1.0"]


def test_the_no_raster_module_needs_no_gdal():
    module = next((BUILD / "no_raster").glob("_native_no_raster*.so"))
    needed = subprocess.run(
        ["readelf", "-d", module], capture_output=True, text=True, check=True
    ).stdout
    assert "libtorch_cpu" in needed and "libgdal" not in needed
    code = (
        "import torch, _native_no_raster as native;"
        "print(native.has_raster, native.create_model('deeplight_sr').margin())"
    )
    environment = {**os.environ, "PYTHONPATH": str(module.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False", "120"]
