"""Studies: rows that change one thing, runs that are kept, tables with intervals."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
import scipy.stats

from deeplight.training.study import estimate, load_study, run_study, summarise

STUDY = """
config = "tiny.toml"
seeds = [0, 1]
set = { "run.steps" = 2, "run.validate_every" = 2 }
parts = ["validation"]
[[row]]
name = "full"
[[row]]
name = "w/o DEM"
paper = 27.57
set = { "model.options.without" = ["dem"] }
"""


@pytest.fixture
def study_file(config_file):
    path = config_file.with_name("study.toml")
    path.write_text(STUDY)
    return path


def test_a_study_is_run_kept_and_summed_up(study_file, tmp_path):
    seen = []
    arguments = {"jobs": 2, "threads": 1, "report": lambda *state: seen.append(state)}
    results = run_study(study_file, tmp_path / "runs", **arguments)
    assert sorted(done for _, done, _ in seen) == [1, 2, 3, 4] and seen[0][2] == 4
    assert [(r["row"], r["seed"]) for r in results] == [
        ("full", 0), ("w/o DEM", 0), ("full", 1), ("w/o DEM", 1)
    ]  # fmt: skip
    full, without = summarise(load_study(study_file), results)
    gains = [r["scores"]["validation"]["gain"] for r in results]
    assert full["validation"]["gain"]["mean"] == pytest.approx(np.mean(gains[::2]))
    assert full["validation"]["change"] == {"mean": 0.0, "half_width": 0.0}
    changes = [gains[1] - gains[0], gains[3] - gains[2]]
    assert without["validation"]["change"]["mean"] == pytest.approx(np.mean(changes))
    assert without["parameters"] < full["parameters"] and without["paper"] == 27.57

    # A second call computes nothing; a lost result is computed again, to the same numbers.
    seen.clear()
    lost = tmp_path / "runs/w-o-dem/1/result.json"
    before = json.loads(lost.read_text())
    lost.unlink()
    assert run_study(study_file, tmp_path / "runs", **arguments) == results
    assert [name for name, _, _ in seen] == ["w/o DEM, seed 1"]
    assert json.loads(lost.read_text()) == before

    study_file.write_text(STUDY.replace('"run.steps" = 2', '"run.steps" = 3'))
    with pytest.raises(RuntimeError, match="holds row 'full' of another configuration"):
        run_study(study_file, tmp_path / "runs", **arguments)


def test_a_failed_run_is_named_and_the_others_are_finished(study_file, tmp_path):
    study_file.write_text(STUDY.replace("seeds = [0, 1]", "seeds = [0]"))
    folder = tmp_path / "runs/full/0"
    folder.mkdir(parents=True)
    (folder / "checkpoint.safetensors").write_bytes(b"damaged")
    with pytest.raises(RuntimeError, match=r"full, seed 0: .*not a readable checkpoint"):
        run_study(study_file, tmp_path / "runs", threads=1)
    assert (tmp_path / "runs/w-o-dem/0/result.json").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds", "seed", "unknown key 'seed'; did you mean 'seeds'"),
        ('"model.options.without"', '"patches.path"', r"row 'w/o DEM': .*did you mean 'patch'"),
        ('"w/o DEM"', '"full"', "two rows are named 'full'"),
        ("seeds = [0, 1]", "seeds = []", "at least one row and one seed"),
        ("[[row]]", "[row]", "study.toml"),
    ],
)
def test_a_study_that_cannot_be(study_file, old, new, message):
    study_file.write_text(STUDY.replace(old, new))
    with pytest.raises(ValueError, match=message):
        load_study(study_file)


def test_the_shipped_study_is_valid():
    from tiny_run import SHIPPED

    study = load_study(SHIPPED.with_name("ablations.toml"))
    assert [row.name for row in study.row[:8]] == [
        "full", "w/o LR NTL", "w/o DMO", "w/o DEM", "w/o ISP", "w/o CAA", "w/o AMFF", "w/o AER",
    ]  # fmt: skip
    assert len(study.seeds) == 3


@pytest.mark.parametrize("count", [2, 3, 10, 30])
def test_estimates_are_students(count):
    values = list(np.random.default_rng(count).normal(size=count))
    got = estimate(values)
    low, high = scipy.stats.t.interval(
        0.95, count - 1, np.mean(values), np.std(values, ddof=1) / math.sqrt(count)
    )
    assert got.mean == pytest.approx(np.mean(values))
    assert got.half_width == pytest.approx((high - low) / 2, rel=0.05 if count > 10 else 1e-3)
    assert math.isnan(estimate([1.0]).half_width)


def test_the_command_prints_a_table_and_writes_results(study_file, tmp_path):
    study_file.write_text(STUDY.replace("seeds = [0, 1]", "seeds = [0]"))
    command = [sys.executable, "-m", "deeplight", "study", str(study_file), "--threads", "1"]
    paths = ["-o", str(tmp_path / "runs"), "--results", str(tmp_path / "table.json")]
    done = subprocess.run([*command, *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "w/o DEM" in done.stdout and "2 of 2" in done.stderr
    table = json.loads((tmp_path / "table.json").read_text())
    assert table["rows"][1]["paper"] == 27.57 and table["rows"][0]["paper"] is None
    again = subprocess.run([*command, *paths, "--json"], capture_output=True, text=True)
    assert json.loads(again.stdout) == table
    bad = subprocess.run(
        [*command[:4], str(tmp_path / "absent.toml")], capture_output=True, text=True
    )
    assert bad.returncode == 2 and "no such study" in bad.stderr
