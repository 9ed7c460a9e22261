"""One cycle of scripts/soak_training.py; its totals add up over calls."""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "scripts/soak_training.py"


def test_a_cycle_ends_in_the_same_bits(tmp_path):
    totals = tmp_path / "soak.json"
    before = {"cycles": 5, "kills": 9, "resumes": 7, "different": 0}
    totals.write_text(json.dumps(before))
    options = [
        "--cycles",
        "1",
        "--steps",
        "12",
        "--kills",
        "2",
        "--seed",
        "3",
        "--output",
        str(totals),
    ]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *options],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    after = json.loads(totals.read_text())
    assert after["cycles"] == 6
    assert after["kills"] in (10, 11)
    assert after["different"] == 0
    assert "same bits" in done.stdout
