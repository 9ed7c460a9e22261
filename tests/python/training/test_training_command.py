"""`deeplight train` as a process."""

import os
import subprocess
import sys

import pytest
from tiny_run import spoiled


def run_command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "deeplight", "train", *map(str, arguments)],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_the_command_prints_the_weights_and_reports_on_standard_error(config_file, tmp_path):
    done = run_command(config_file, "-o", tmp_path / "run", "--steps", 2, "--threads", 1)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "run/tiny.safetensors")
    assert "step 2 of 2: loss" in done.stderr


@pytest.mark.parametrize(
    ("spoil", "code", "message"),
    [
        ({"patch = 8": "patches = 8"}, 2, "did you mean 'patch'"),
        ({'path = "dem.tif"': 'path = "den.tif"'}, 1, "den.tif' does not exist"),
        ({"columns = [17, 23]": "columns = [14, 23]"}, 1, "overlaps the validation region"),
    ],
)
def test_the_command_fails_in_one_line(config_file, tmp_path, spoil, code, message):
    ((old, new),) = spoil.items()
    done = run_command(spoiled(config_file, old, new), "-o", tmp_path / "run")
    assert done.returncode == code
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""
    assert not (tmp_path / "run").exists()
