"""Plans, shards, merging, and processes that are killed: the bytes of one undisturbed run."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import deeplight
from deeplight import plan as plans

pytestmark = pytest.mark.skipif(not deeplight._native.has_raster, reason="built without GDAL")

rasterio = pytest.importorskip("rasterio")

from test_predictor import GUIDES, SCALE, guides_of, options_of, read, scene  # noqa: E402, F401

OPTIONS = {"tile": 40, "consistency": "multiplicative"}


@pytest.fixture(autouse=True)
def one_thread():
    """As the processes that are started here: other numbers of threads may round differently."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def undisturbed(scene, tmp_path):  # noqa: F811
    out = tmp_path / "undisturbed.tif"
    sr = deeplight.load(scene / "tiny.safetensors")
    sr.predict(scene / "ntl.tif", guides_of(scene), out, **OPTIONS)
    return out.read_bytes()


def make(scene, out, **options):  # noqa: F811
    return plans.make_plan(
        scene / "tiny.safetensors", scene / "ntl.tif", guides_of(scene), out, **OPTIONS, **options
    )


def test_shards_merge_to_the_bytes_of_one_run(scene, tmp_path, undisturbed):  # noqa: F811
    out = tmp_path / "sr.tif"
    path = make(scene, out).save(tmp_path / "plan.json")
    plan = plans.load_plan(path)
    assert plan.tiles == 5 and plan.jobs[0]["groups"] == 5
    assert len(plan.jobs[0]["digest"]) == 64
    with pytest.raises(ValueError, match="5 of 5 tiles are missing"):
        plans.merge(plan)
    predictor = plan.load_weights()
    reports = [plans.run_shard(plan, index, 3, predictor=predictor) for index in (2, 0)]
    assert sum(report.rasters[0].tiles for report in reports) == 3
    with pytest.raises(ValueError, match="2 of 5 tiles are missing, the first is 1"):
        plans.merge(plan)
    again = plans.run_shard(plan, 0, 3, predictor=predictor).rasters[0]
    assert again.resumed == again.tiles == 1
    plans.run_shard(plan, 1, 3, predictor=predictor)
    report = plans.merge(plan)
    assert report.rasters[0].light_ratio == pytest.approx(1, abs=1e-5)
    assert out.read_bytes() == undisturbed
    names = sorted(entry.name for entry in tmp_path.iterdir())
    assert names == ["plan.json", "sr.tif", "undisturbed.tif"]


def test_what_changed_since_the_plan_is_named(scene, tmp_path):  # noqa: F811
    plan = make(scene, tmp_path / "sr.tif")
    other = plans.Plan(**{**plan.__dict__, "options": {**plan.options, "tile": 44}})
    with pytest.raises(ValueError, match="tile was 40, is 44"):
        plans.run_shard(other, 0, 2)
    swapped = {**plan.__dict__, "low_resolution": [str(scene / "feb.tif")]}
    with pytest.raises(ValueError, match=r"low_resolution .*was .*, is "):
        plans.run_shard(plans.Plan(**swapped), 0, 2)
    with pytest.raises(ValueError, match=r"shard 2 of 2"):
        plans.run_shard(plan, 2, 2)
    with pytest.raises(TypeError, match="a plan does not take prefetch"):
        make(scene, tmp_path / "sr.tif", prefetch=2)
    for text in ("", "[]", "{}", '{"format": "deeplight-plan-1", "x": 1}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(ValueError, match=r"bad\.json' is not a plan"):
            plans.load_plan(tmp_path / "bad.json")


def run_all(plan, count=1):
    predictor = plan.load_weights()
    for index in range(count):
        plans.run_shard(plan, index, count, predictor=predictor, progress=False)


def test_merging_more_than_it_needs_and_what_does_not_belong(scene, tmp_path, undisturbed):  # noqa: F811
    out = tmp_path / "sr.tif"
    plan = make(scene, out)
    folder = tmp_path / ".sr.tif.deeplight-shards"
    # The same tiles twice: shards of another count, and a copy of one.
    run_all(plan)
    run_all(plan, 2)
    shutil.copytree(folder / "0-of-2", folder / "copy")
    # A shard of another plan.
    other = plans.make_plan(
        scene / "tiny.safetensors",
        scene / "feb.tif",
        guides_of(scene),
        tmp_path / "other.tif",
        **OPTIONS,
    )
    run_all(other)
    foreign = folder / "foreign"
    shutil.copytree(tmp_path / ".other.tif.deeplight-shards" / "0-of-1", foreign)
    with pytest.raises(ValueError, match=r"foreign' is not what was planned: low_resolution file"):
        plans.merge(plan)
    assert not out.exists()
    shutil.rmtree(foreign)
    # One that is being computed elsewhere: its lock is held.
    with (folder / "0-of-2" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(OSError, match="0-of-2' is being written by"):
            plans.merge(plan)
    plans.merge(plan)
    assert out.read_bytes() == undisturbed
    assert not folder.exists()
    # Again: it is there already, and nothing else is taken for it.
    assert plans.merge(plan).rasters[0].resumed == 5
    out.write_bytes((scene / "ntl.tif").read_bytes())
    with pytest.raises(OSError, match="exists already"):
        plans.merge(plan)


def test_inputs_that_changed_after_the_plan(scene, tmp_path):  # noqa: F811
    for name in ("ntl", *GUIDES):
        shutil.copy(scene / f"{name}.tif", tmp_path / f"{name}.tif")
    shutil.copy(scene / "tiny.safetensors", tmp_path)
    shutil.copy(scene / "tiny.json", tmp_path)
    out = tmp_path / "sr.tif"
    weights = tmp_path / "tiny.safetensors"
    plan = plans.make_plan(weights, tmp_path / "ntl.tif", guides_of(tmp_path), out, **OPTIONS)

    def change(name):
        with rasterio.open(tmp_path / f"{name}.tif", "r+") as raster:
            values = raster.read()
            values[0, 5, 5] += 1
            raster.write(values)

    change("dem")
    with pytest.raises(ValueError, match=r"guides dem checksum was .*, is "):
        run_all(plan)
    shutil.copy(scene / "dem.tif", tmp_path / "dem.tif")
    run_all(plan)
    change("ntl")
    for work in (run_all, plans.merge):
        with pytest.raises(ValueError, match=r"checksum was .*, is ") as caught:
            work(plan)
        assert "low_resolution" in str(caught.value) or "ntl.tif" in str(caught.value)
    assert not out.exists()
    shutil.copy(scene / "ntl.tif", tmp_path / "ntl.tif")
    plans.merge(plan)
    assert out.exists()


def command(*arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "deeplight", *map(str, arguments)]
    return subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def slurm_task(folder, index):
    """Task `index` of two of the script in docs/cluster.md, in the folder of a plan."""
    page = (Path(__file__).parents[2] / "docs/cluster.md").read_text()
    script = page.split("```sh\n")[1].split("```")[0]
    assert script.count("/32") == 1 and "--array=0-31" in script
    program = folder / "bin" / "deeplight"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m deeplight "$@"\n')
    program.chmod(0o755)
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "SLURM_ARRAY_TASK_ID": str(index),
        "SLURM_CPUS_PER_TASK": "1",
    }
    return subprocess.Popen(
        ["bash", "-c", script.replace("/32", "/2")],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    return stdout


def test_command_line(scene, tmp_path, undisturbed):  # noqa: F811
    out, path = tmp_path / "sr.tif", tmp_path / "plan.json"
    guides = [f"--guide={name}={scene / name}.tif" for name in GUIDES]
    made = finish(
        command("plan", scene / "ntl.tif", *guides, "-w", scene / "tiny.safetensors", "-r", out,
                "-o", path, "--tile=40", "--consistency=multiplicative", "--json")
    )  # fmt: skip
    assert json.loads(made)["tiles"] == 5
    shards = [slurm_task(tmp_path, index) for index in range(2)]
    for shard in shards:
        finish(shard)
    assert str(out) in finish(command("merge", path))
    assert out.read_bytes() == undisturbed
    wrong = command("run", path, "--shard", "2/2")
    assert "--shard must be I/N" in wrong.communicate()[1] and wrong.returncode == 2


def test_months_into_a_folder_in_the_format_of_the_plan(scene, tmp_path):  # noqa: F811
    """Each shard computes its share of both months; the mosaics hold what one run writes."""
    inputs = [scene / "ntl.tif", scene / "feb.tif"]
    weights = scene / "tiny.safetensors"
    plan = plans.make_plan(
        weights, inputs, guides_of(scene), tmp_path, format="vrt", tile=40, scratch=tmp_path
    )
    names = [Path(output).name for output in plan.outputs]
    assert names == [f"ntl_x{SCALE}.vrt", f"feb_x{SCALE}.vrt"]
    predictor = plan.load_weights()
    seen = []
    for index in range(2):
        plans.run_shard(
            plan, index, 2, predictor=predictor, progress=lambda *counts: seen.append(counts)
        )
    assert {total for _, total in seen} == {4, 6} and (4, 4) in seen and (6, 6) in seen
    plans.merge(plan)
    whole = tmp_path / "whole"
    whole.mkdir()
    predictor.predict(inputs, guides_of(scene), whole, tile=40, progress=False)
    for name, source in zip(names, inputs, strict=True):
        expected = read(whole / f"{source.stem}_x{SCALE}.tif")
        assert np.array_equal(read(tmp_path / name), expected, equal_nan=True)
        with rasterio.open(tmp_path / name) as mosaic:
            assert mosaic.tags()["DEEPLIGHT_INPUT"] == source.name
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [*names, *(f"{name}.parts" for name in names), "whole"]
    )


KILLED_WHILE_ENCODING = """
import os, signal, sys
from pathlib import Path
import deeplight

folder, out = Path(sys.argv[1]), Path(sys.argv[2])

def kill(done, total):
    if [*out.parent.glob(f".*{out.name}.*.part.tif")]:
        os.kill(os.getpid(), signal.SIGKILL)

guides = {name: folder / f"{name}.tif" for name in ("dmo", "dem")}
sr = deeplight.load(folder / "tiny.safetensors")
options = {"tile": 40, "consistency": "multiplicative", "uncertainty": sys.argv[3] == "True"}
sr.predict(folder / "ntl.tif", guides, out, **options, progress=kill)
"""


@pytest.mark.parametrize(
    ("name", "uncertainty"), [("sr.tif", False), ("sr.zarr", False), ("sr.zarr", True)]
)
def test_killed_while_encoding(scene, tmp_path, name, uncertainty):  # noqa: F811
    """What the killed run was writing goes when it is resumed, and the bytes are the same."""
    out, whole = tmp_path / name, tmp_path / "whole" / name
    whole.parent.mkdir()
    script = [sys.executable, "-c", KILLED_WHILE_ENCODING, *map(str, (scene, out, uncertainty))]
    process = subprocess.run(script, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert process.returncode == -signal.SIGKILL
    assert not out.exists()
    assert [*tmp_path.glob(".*.part.tif")]
    sr = deeplight.load(scene / "tiny.safetensors")
    options = {**OPTIONS, "uncertainty": uncertainty, "threads": 1, "progress": False}
    sr.predict(scene / "ntl.tif", guides_of(scene), whole, **options)
    report = sr.predict(scene / "ntl.tif", guides_of(scene), out, resume=True, **options).rasters[0]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [name, "whole"]
    again = sr.predict(scene / "ntl.tif", guides_of(scene), out, resume=True, **options).rasters[0]
    assert again.resumed == 5 and again.light_ratio == report.light_ratio
    assert files_of(out) == files_of(whole)


def files_of(path):
    """Names and bytes below a path."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {str(file.relative_to(path)): file.read_bytes() for file in files if file.is_file()}


def test_killed_again_and_again(scene, tmp_path):  # noqa: F811
    """SIGKILL while tiles are being written; resumed, it gives the bytes of an undisturbed run.

    DEEPLIGHT_KILLS sets how often; scripts of the soak do it a thousand times.
    """
    kills = int(os.environ.get("DEEPLIGHT_KILLS", "2"))
    out = tmp_path / "sr.tif"
    arguments = ["predict", scene / "ntl.tif", *options_of(scene, out), "--tile=4", "--resume"]
    tiles = tmp_path / ".sr.tif.deeplight" / "tiles"
    before = 0
    for _ in range(kills):
        process = command(*arguments)
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if tiles.exists() and tiles.stat().st_size > before + 20_000:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not out.exists()
        before = tiles.stat().st_size
    report = json.loads(finish(command(*arguments, "--json")))["rasters"][0]
    sr = deeplight.load(scene / "tiny.safetensors")
    sr.predict(scene / "ntl.tif", guides_of(scene), tmp_path / "whole.tif", tile=4)
    assert out.read_bytes() == (tmp_path / "whole.tif").read_bytes()
    assert report["tiles"] == 176
    assert not (tmp_path / ".sr.tif.deeplight").exists()
