"""Schedules and averages: values, and what they follow from."""

import itertools

import pytest
import torch

from deeplight.training.averaging import make_average
from deeplight.training.schedule import rates_at, warmup_cosine
from deeplight.training.schema import OptimizerConfig, RunConfig


def rates(steps, **options):
    optimizer = OptimizerConfig(lr=2.0, **options)
    return [rates_at(optimizer, step, steps) for step in range(steps)]


def test_cosine():
    factors = [warmup_cosine(step, 100, 10, 0.02) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == 1
    assert factors[-1] == pytest.approx(0.02)
    assert factors[54] == pytest.approx(0.51, abs=0.02)
    assert all(a >= b for a, b in itertools.pairwise(factors[9:]))
    given = rates(100, warmup=10, floor=0.02)
    assert [r.lr for r in given] == [2.0 * factor for factor in factors]
    assert {r.momentum for r in given} == {0.9}


def test_one_cycle_mirrors_the_momentum():
    given = rates(100, schedule="one_cycle", warmup=30, floor=0.1)
    lr = [r.lr for r in given]
    assert lr[29] == max(lr) == 2.0
    assert lr[14] == pytest.approx(0.2 + 1.8 * 0.5)  # half of half a cosine
    assert lr[-1] == pytest.approx(0.2)
    assert given[29].momentum == pytest.approx(0.85)
    assert given[-1].momentum == pytest.approx(0.95)
    for r in given:
        assert r.momentum == pytest.approx(0.95 - 0.1 * (r.lr - 0.2) / 1.8)


def test_constant():
    lr = [r.lr for r in rates(20, schedule="constant", warmup=4)]
    assert lr[:4] == [0.5, 1.0, 1.5, 2.0]
    assert set(lr[4:]) == {2.0}
    assert {r.lr for r in rates(3, schedule="constant", warmup=0)} == {2.0}


def follow(run, values):
    """Averages of a network of one weight that takes these values after steps 1, 2, ..."""
    network = torch.nn.Linear(1, 1, bias=False, dtype=torch.float64)
    average = make_average(run, network)
    means = []
    for step, value in enumerate(values, 1):
        with torch.no_grad():
            network.weight.fill_(value)
        average.update(network, step)
        means.append(average.network.weight.item())
    return means


def test_the_tail_is_a_uniform_mean_of_the_last_steps():
    values = [3.0, -1.0, 4.0, 1.0, -5.0, 9.0, 2.0, 6.0]
    means = follow(RunConfig(steps=8, averaging="tail", tail_share=0.5), values)
    assert means[:5] == values[:5]
    for count in (2, 3, 4):
        assert means[3 + count] == pytest.approx(sum(values[4 : 4 + count]) / count)


def test_the_exponential_mean():
    values = [1.0, 2.0, 4.0]
    torch.manual_seed(0)
    network_start = torch.nn.Linear(1, 1, bias=False, dtype=torch.float64).weight.item()
    torch.manual_seed(0)
    means = follow(RunConfig(averaging="ema", ema=0.2), values)
    expected = network_start
    for step, value in enumerate(values, 1):
        keep = min(0.2, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * value
        assert means[step - 1] == pytest.approx(expected)


def test_no_average_is_the_network_itself():
    network = torch.nn.Linear(1, 1)
    average = make_average(RunConfig(averaging="none"), network)
    assert average.network is network
    assert not average.own


def test_cosine_restarts():
    given = [r.lr for r in rates(40, warmup=0, floor=0.001, cycles=4)]
    one = [2.0 * warmup_cosine(step, 10, 0, 0.001) for step in range(10)]
    assert given == one * 4
    assert given[9] == given[-1] == pytest.approx(0.002)
    warmed = [r.lr for r in rates(40, warmup=5, floor=0.0, cycles=2)]
    assert warmed[4] == max(warmed) == 2.0
    assert warmed[20] > 0.98 * 2.0
    assert warmed[19] == warmed[-1] == 0.0
    # A length that the cycles do not divide: the last one is shorter and still ends at the floor.
    uneven = [r.lr for r in rates(10, warmup=0, floor=0.0, cycles=4)]
    assert [step for step, lr in enumerate(uneven) if lr == 0.0] == [2, 5, 8, 9]


def test_one_cycle_of_the_cosine_is_the_cosine():
    assert rates(50, warmup=5) == rates(50, warmup=5, cycles=1)
