"""Steps: accumulated batches, number formats, deterministic operators, averages over a run."""

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from tiny_run import CONFIG

from deeplight.training import load_config, load_data
from deeplight.training.distributed import World
from deeplight.training.guards import deterministic_operators
from deeplight.training.loop import Trainer
from deeplight.training.precision import Precision


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny") / "tiny.toml"
    path.write_text(CONFIG)
    return path, load_data(load_config(path))


def copied(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


class _Halves:
    """Items of the batches of another sampler, one at a time, in the same order."""

    def __init__(self, config, data):
        self._parts = [data.sampler(config, threads=1, first_item=i, items=1) for i in (0, 1)]

    def sample(self, number):
        return self._parts[number % 2].sample(number // 2)


def test_two_batches_of_one_are_a_batch_of_two(tiny, tmp_path):
    path, data = tiny
    # Every pixel counts the same where all are valid: the mean over two is the mean of the means.
    assert bool(data.valid.all())
    whole = Trainer(load_config(path), tmp_path / "whole", data)
    halves = Trainer(load_config(path, {"optimizer.accumulate": 2}), tmp_path / "halves", data)
    halves._step.sampler = _Halves(load_config(path), data)
    for step in range(3):
        first, second = whole._step.run(step), halves._step.run(step)
        assert first.keys() == second.keys()
        for name, value in first.items():
            assert second[name] == pytest.approx(value, rel=1e-5, abs=1e-6), name
        if step == 0:  # later ones pass AdamW, which blows rounding up where gradients vanish
            gradients = dict(halves.network.named_parameters())
            for name, parameter in whole.network.named_parameters():
                if parameter.grad is None:
                    assert gradients[name].grad is None
                    continue
                torch.testing.assert_close(
                    gradients[name].grad, parameter.grad, rtol=1e-4, atol=1e-6, msg=name
                )


class _Pair(World):
    """One of two threads that stand for two processes."""

    def with_partner(self, barrier, places):
        object.__setattr__(self, "meeting", (barrier, places))
        return self

    def _sum(self, mine):
        barrier, places = self.meeting
        places[self.rank] = mine
        barrier.wait()
        total = [a + b for a, b in zip(*places, strict=True)]
        barrier.wait()
        return total

    def average_(self, tensors):
        for tensor, total in zip(tensors, self._sum([t.clone() for t in tensors]), strict=True):
            tensor.copy_(total / 2)

    def any(self, *flags):
        return [bool(count) for count in self._sum(list(map(int, flags)))]


def with_holes(data):
    """Masks that differ much between items: the rarer valid pixels are, the further to the left."""
    kept = torch.linspace(0.0, 1.0, data.valid.shape[2]).square()
    drawn = torch.rand(data.valid.shape, generator=torch.Generator().manual_seed(1))
    return dataclasses.replace(data, valid=drawn < kept)


EVERY_TERM = {
    "ssim": 0.1, "ssim_range": 8.0, "gradient": 0.2, "total_variation": 0.1, "consistency": 0.3,
    "frequency": 0.1, "light_weight": 3.0, "light_threshold": 0.5,
}  # fmt: skip


def compared(whole, trainers, rows):
    """Terms and gradients of a step over shares against those of the whole batch."""
    expected = whole._step.run(0)
    for trainer, row in zip(trainers, rows(), strict=True):
        assert row.keys() == expected.keys()
        for name, value in expected.items():
            assert row[name] == pytest.approx(value, rel=1e-5, abs=1e-6), name
        gradients = dict(trainer.network.named_parameters())
        for name, parameter in whole.network.named_parameters():
            if parameter.grad is not None:
                torch.testing.assert_close(
                    gradients[name].grad, parameter.grad, rtol=1e-4, atol=2e-6, msg=name
                )


@pytest.mark.parametrize("terms", [{}, EVERY_TERM], ids=["plain", "every term"])
def test_masked_batches_weigh_what_they_hold(tiny, tmp_path, terms):
    path, data = tiny
    data, options = with_holes(data), {f"loss.{key}": value for key, value in terms.items()}
    whole = Trainer(load_config(path, options), tmp_path / "whole", data)
    counts = whole._step.sampler.sample(0).valid.sum((1, 2, 3))
    assert int(counts.max()) > 1.1 * int(counts.min())
    options["optimizer.accumulate"] = 2
    halves = Trainer(load_config(path, options), tmp_path / "halves", data)
    halves._step.sampler = _Halves(load_config(path), data)
    compared(whole, [halves], lambda: [halves._step.run(0)])


@pytest.mark.parametrize("terms", [{}, EVERY_TERM], ids=["plain", "every term"])
def test_masked_items_weigh_the_same_in_any_process(tiny, tmp_path, terms):
    path, data = tiny
    data, options = with_holes(data), {f"loss.{key}": value for key, value in terms.items()}
    config = load_config(path, options)
    whole = Trainer(config, tmp_path / "whole", data)
    meeting = threading.Barrier(2, timeout=120), [None, None]
    pair = [
        Trainer(config, tmp_path, data, world=_Pair(rank, 2).with_partner(*meeting))
        for rank in (0, 1)
    ]
    with ThreadPoolExecutor(2) as pool:
        compared(whole, pair, lambda: pool.map(lambda trainer: trainer._step.run(0), pair))


def test_an_accumulating_step_draws_its_own_batches(tiny, tmp_path):
    path, data = tiny
    trainer = Trainer(load_config(path, {"optimizer.accumulate": 3}), tmp_path, data)
    drawn = []

    class Recorder:
        def sample(self, number):
            drawn.append(number)
            return sampler.sample(number)

    sampler, trainer._step.sampler = trainer._step.sampler, Recorder()
    trainer._step.run(0)
    trainer._step.run(1)
    assert drawn == list(range(6))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_formats_stay_near_float32(tiny, tmp_path, precision):
    path, data = tiny
    rows = {}
    for name in ("float32", precision):
        options = {"run.precision": name, "run.steps": 4, "run.validate_every": 4}
        trainer = Trainer(load_config(path, options), tmp_path / name, data)
        trainer.run()
        rows[name] = trainer.journal.rows
        assert all(p.dtype == torch.float32 for p in trainer.network.parameters())
    assert ("skipped" in rows[precision][0]) == (precision == "fp16")
    for full, half in zip(rows["float32"], rows[precision], strict=True):
        assert half["loss"] == pytest.approx(full["loss"], rel=0.03)
        assert half["loss"] != full["loss"]
    assert rows[precision][-1]["gain"] == pytest.approx(rows["float32"][-1]["gain"], abs=0.1)


def test_float16_skips_what_overflows_and_gives_up_where_no_scale_helps():
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    precision = Precision("fp16", torch.device("cpu"))

    def step(gradient):
        optimizer.zero_grad()
        precision.backward((weight * gradient).sum())
        return precision.step(optimizer, [weight], 0.0)

    before = precision.state()["scaler"]["scale"]
    step(torch.tensor([1e38, 0.0]))  # finite, but not once it is scaled
    assert precision.skipped == 1
    assert weight.tolist() == [1.0, 1.0]
    assert precision.state()["scaler"]["scale"] == before / 2
    assert step(torch.tensor([3.0, 4.0])) == pytest.approx(5.0)
    assert weight.tolist() == [-2.0, -3.0]
    other = Precision("fp16", torch.device("cpu"))
    other.load(precision.state())
    assert other.state() == precision.state()
    with pytest.raises(FloatingPointError, match="float16 even with the loss scaled"):
        for _ in range(100):
            step(torch.tensor([torch.inf, 0.0]))
    assert weight.tolist() == [-2.0, -3.0]


@pytest.mark.parametrize("before", [False, True])
def test_deterministic_operators_restore_the_setting(before):
    torch.use_deterministic_algorithms(before)
    try:
        with deterministic_operators(True):
            assert torch.are_deterministic_algorithms_enabled()
        assert torch.are_deterministic_algorithms_enabled() is before
        with (
            pytest.raises(RuntimeError, match=r"run.deterministic: .*set it to false"),
            deterministic_operators(True),
        ):
            torch.zeros(3).put_(torch.tensor([0]), torch.ones(1), accumulate=False)
        assert torch.are_deterministic_algorithms_enabled() is before
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_deterministic_run_on_the_cpu(tiny, tmp_path):
    path, data = tiny
    options = {"run.deterministic": True, "run.steps": 2}
    inside = []
    trainer = Trainer(load_config(path, options), tmp_path, data)
    trainer.run(lambda _: inside.append(torch.are_deterministic_algorithms_enabled()))
    assert inside == [True, True]
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_tail_average_of_a_run_is_the_mean_of_its_last_weights(tiny, tmp_path):
    path, data = tiny
    options = {"run.averaging": "tail", "run.tail_share": 0.5, "run.steps": 6}
    trainer = Trainer(load_config(path, options), tmp_path, data)
    states = []
    trainer.run(lambda _: states.append(copied(trainer.network)))
    for name, _ in trainer.network.named_parameters():
        mean = sum(state[name].double() for state in states[-3:]) / 3
        torch.testing.assert_close(
            trainer.average.network.state_dict()[name].double(), mean, rtol=1e-5, atol=1e-7
        )


def test_processes_share_a_batch_evenly():
    assert [World(rank, 4).share(8) for rank in range(4)] == [(0, 2), (2, 2), (4, 2), (6, 2)]
    assert World().share(3) == (0, 3)
    with pytest.raises(ValueError, match="multiple of the 2 processes, got 3"):
        World(1, 2).share(3)
