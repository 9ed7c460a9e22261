"""Columns, groups, and which value of a line is the best."""

import math

import pytest
import torch

from deeplight import metrics, report, score_table
from deeplight.score_table import Column


def column(best="high", digits=2):
    return Column("key", "label", digits, "group", lambda pair: 0.0, best)


@pytest.mark.parametrize(
    ("best", "values", "expected"),
    [
        ("high", [1, 3, 2], [False, True, False]),
        ("low", [1, 3, math.nan], [True, False, False]),
        ("one", [0.8, 1.1, 2], [False, True, False]),
        ("zero", [-0.5, 0.1, 3], [False, True, False]),
        ("high", [1.001, 1.002, 0.5], [True, True, False]),
        ("high", [2, 2], [False, False]),
        ("high", [math.nan, math.nan], [False, False]),
        ("high", [math.inf, 3], [True, False]),
        ("low", [], []),
    ],
)
def test_best_of(best, values, expected):
    assert report.best_of(column(best), values) == expected


def test_text_and_plain_numbers():
    assert column(digits=3).text(1.23456) == "1.235"
    assert column().text(math.nan) == "-"
    assert column().text(math.inf) == "inf"
    got = [score_table.plain_number(v) for v in (1.5, math.nan, math.inf, -math.inf)]
    assert got == [1.5, None, "inf", "-inf"]


def test_every_column_is_named_once_and_computes():
    keys = [c.key for c in score_table.COLUMNS]
    assert len(set(keys)) == len(keys)
    assert len({c.label for c in score_table.COLUMNS}) == len(keys)
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(200, 210, generator=generator, dtype=torch.float64) * 100
    truth[truth < 60] = 0
    noisy = truth + torch.rand(200, 210, generator=generator, dtype=torch.float64)
    got = score_table.score(
        noisy, truth, data_range=100, scale=4, columns=score_table.columns_of(everything=True)
    )
    assert list(got) == keys
    assert all(math.isfinite(value) for value in got.values()), got
    shown = score_table.score(noisy, truth, data_range=100)
    assert list(shown) == [c.key for c in score_table.columns_of()]
    assert all(shown[key] == got[key] for key in shown)
    assert got["lit_rmse"] == metrics.rmse(noisy, truth, mask=truth > 0).item()


def test_groups_keep_their_order():
    groups = dict(score_table.grouped(score_table.COLUMNS))
    assert next(iter(groups)) == "all pixels"
    for columns in groups.values():
        places = [score_table.COLUMNS.index(column) for column in columns]
        assert places == sorted(places)
    assert sum(len(columns) for columns in groups.values()) == len(score_table.COLUMNS)
