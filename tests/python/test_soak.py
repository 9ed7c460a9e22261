"""Short runs of what scripts/soak.py does to predictions for as long as asked."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import deeplight

pytestmark = pytest.mark.skipif(
    not deeplight._native.has_raster or not sys.platform.startswith("linux"),
    reason="built without GDAL, or not on Linux",
)

SCRIPTS = Path(__file__).parents[2] / "scripts"
CYCLES = {"resume": 2, "shards": 1, "race": 1, "starved": 2}
CODE = """
import json, random, sys
import soak_prediction as soak

moments = random.Random(7)
cycles = json.loads(sys.argv[1])
print(json.dumps({kind: getattr(soak, kind)(count, moments) for kind, count in cycles.items()}))
"""


def test_a_few_cycles():
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CODE, json.dumps(CYCLES)],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for kind, count in CYCLES.items():
        assert found[kind]["different"] == found[kind]["crashed"] == 0, (found, done.stderr)
        assert found[kind].get("cycles", count) == count
    assert found["resume"]["kills"] >= CYCLES["resume"]
