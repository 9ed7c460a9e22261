"""No room left while the command trains: one clear error, exit 1, and nothing is lost.

A limit on the size of files (RLIMIT_FSIZE) stands for a full disk where tests may not mount one.
"""

import os
import resource
import shutil
import subprocess
import sys

import pytest
from tiny_run import digest

FILES = ("tiny.safetensors", "checkpoint.safetensors", "log.csv")


def deeplight(command, *arguments, largest_file=None):
    def limit():
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    return subprocess.run(
        [sys.executable, "-m", "deeplight", command, *map(str, arguments)],
        capture_output=True, text=True, timeout=300, preexec_fn=limit,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def options(folder, *more):
    return "-o", folder, "--threads", "1", "-q", "--no-tensorboard", *more


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    from tiny_run import CONFIG

    path = tmp_path_factory.mktemp("config") / "tiny.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert deeplight("train", config, *options(folder)).returncode == 0
    return folder


def check_failed(done, folder, left):
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr, done.stderr
    assert done.stdout == ""
    assert sorted(path.name for path in folder.iterdir()) == sorted(left)


def check_ends_like(whole, config, folder):
    done = deeplight("train", config, *options(folder, "--resume"))
    assert done.returncode == 0, done.stderr
    for name in FILES:
        assert digest(folder / name) == digest(whole / name), name


class SmallDisk:
    """A file system of few bytes at a folder; skips where one may not be mounted."""

    def __init__(self, folder, size):
        self._folder, self._size = folder, size

    def __enter__(self):
        self._folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={self._size}", "tmpfs", str(self._folder)]
        if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("a small file system cannot be mounted here")
        return self._folder

    def __exit__(self, *_):
        subprocess.run(["umount", str(self._folder)], check=True)


def test_a_full_disk_while_checkpointing(config, whole, tmp_path):
    # The first checkpoint has room, a second one beside it has not.
    size = (whole / "checkpoint.safetensors").stat().st_size
    with SmallDisk(tmp_path / "disk", int(1.6 * size)) as disk:
        folder = disk / "run"
        done = deeplight("train", config, *options(folder))
        check_failed(done, folder, ["checkpoint.safetensors", "log.csv"])
        assert "No space left on device" in done.stderr and str(folder) in done.stderr
        shutil.copytree(folder, tmp_path / "rescued")
    check_ends_like(whole, config, tmp_path / "rescued")


INTERRUPTED = """
import os, signal, sys
from deeplight.training import load_config, train
press = lambda progress: progress.step == 4 and os.kill(os.getpid(), signal.SIGINT)
train(load_config(sys.argv[1]), sys.argv[2], threads=1, report=press)
"""


def test_files_cut_short_while_checkpointing(config, whole, tmp_path):
    folder = tmp_path / "run"
    code = [sys.executable, "-c", INTERRUPTED, str(config), str(folder)]
    subprocess.run(code, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    before = digest(folder / "checkpoint.safetensors")
    size = (folder / "checkpoint.safetensors").stat().st_size
    done = deeplight("train", config, *options(folder, "--resume"), largest_file=size // 2)
    check_failed(done, folder, ["checkpoint.safetensors", "log.csv"])
    assert "checkpoint.safetensors" in done.stderr and "File too large" in done.stderr
    assert digest(folder / "checkpoint.safetensors") == before
    check_ends_like(whole, config, folder)


def test_no_room_for_the_weights_at_the_end(config, whole, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    (folder / "tiny.safetensors").unlink()
    (folder / "tiny.json").unlink()
    smallest = (folder / "log.csv").stat().st_size + 1000
    assert smallest < (whole / "tiny.safetensors").stat().st_size
    done = deeplight("train", config, *options(folder, "--resume"), largest_file=smallest)
    check_failed(done, folder, ["checkpoint.safetensors", "log.csv"])
    assert "tiny.safetensors" in done.stderr, done.stderr
    check_ends_like(whole, config, folder)


def test_no_room_for_prepared_data(config, tmp_path):
    path = tmp_path / "prepared.safetensors"
    path.write_bytes(b"what was there")
    done = deeplight("prepare", config, "-o", path, largest_file=100_000)
    check_failed(done, tmp_path, ["prepared.safetensors"])
    assert "prepared.safetensors" in done.stderr
    assert path.read_bytes() == b"what was there"
