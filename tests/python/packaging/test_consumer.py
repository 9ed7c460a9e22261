"""install(), find_package(deeplight) and a header-only consumer of two translation units."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[3]
CMAKE = (sys.executable, "-m", "cmake")  # PyPI's, not the system's older one
BUILD = ROOT / "build" / os.environ.get("DEEPLIGHT_PRESET", "default")


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def consumer(tmp_path_factory):
    folder = ROOT / "build" / "consumer"  # a steady place lets the compiler cache work
    prefix = tmp_path_factory.mktemp("prefix")
    run(*CMAKE, "--install", BUILD, "--prefix", prefix)
    run(
        *CMAKE, "-S", ROOT / "tests" / "consumer", "-B", folder, "-G", "Ninja", "--fresh",
        f"-DCMAKE_PREFIX_PATH={prefix}", f"-DLibTorch_ROOT={Path(torch.__file__).parent}",
        "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_COMPILER_LAUNCHER=ccache",
    )  # fmt: skip
    run(*CMAKE, "--build", folder)
    return folder


def test_header_only_and_compiled_give_the_same(consumer):
    header_only = run(consumer / "consumer").split()
    compiled = run(consumer / "consumer_compiled").split()
    assert header_only == compiled
    assert header_only[0] == "3450223"


def test_nothing_compiled_for_an_instruction_set_has_a_shared_name():
    # A weak symbol of an AVX-512 object may stand in for the same name of any other object.
    objects = sorted((BUILD / "CMakeFiles" / "deeplight_ops.dir" / "simd").glob("*_avx*.o"))
    assert objects
    for path in objects:
        level = path.name.split("_")[-1].split(".")[0]
        for line in run("nm", "-C", "--defined-only", path).splitlines():
            _, kind, name = line.split(" ", 2)
            own = f"built_for_{level}" in name or name.startswith("DW.ref.")
            assert kind not in "WVu" or own, f"{path.name}: {name}"
