"""The table of docs/metrics.md: which package equals which option, to how many digits."""

import math
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"
sys.path.insert(0, str(SCRIPTS))
import metric_conventions  # noqa: E402

ROWS = {metric_conventions.key(row): row for row in metric_conventions.CONVENTIONS}


@pytest.mark.parametrize("name", ROWS)
def test_package_equals_option(name):
    result = metric_conventions.measure(ROWS[name])
    assert result["difference"] <= ROWS[name].to, result


def test_record_is_of_these_rows():
    known = metric_conventions.recorded()
    assert list(known) == list(ROWS)
    for name, row in known.items():
        assert row["difference"] <= ROWS[name].to
        assert row["version"] and math.isfinite(row["rival"])


@pytest.mark.parametrize("name", ROWS)
def test_recorded_values_are_still_ours(name):
    known = metric_conventions.recorded()[name]
    assert ROWS[name].own().item() == pytest.approx(known["own"], rel=1e-11)


def test_an_absent_package_is_its_record(monkeypatch):
    name = next(key for key, row in ROWS.items() if row.package == "skimage")
    monkeypatch.setattr(metric_conventions, "has", lambda package: False)
    result = metric_conventions.measure(ROWS[name])
    assert result["rival"] == metric_conventions.recorded()[name]["rival"]
    assert result["difference"] <= ROWS[name].to


def test_a_wrong_option_is_noticed():
    mirrored = next(row for row in ROWS.values() if row.options == 'padding="reflect"')
    plain = next(row for row in ROWS.values() if row.score == "ssim" and row.options == "none")
    assert abs(mirrored.rival() / plain.own().item() - 1) > 1e-6
