"""Accumulating tables (bins of brightness, cities, sources) equal the functions; all classes."""

import copy
import inspect
import math
import pickle

import pytest
import torch
from torchmetrics import MetricCollection
from two_processes import in_two_processes

from deeplight import _native, metrics
from deeplight.metrics import classes

pytestmark = pytest.mark.filterwarnings("ignore:The ``compute`` method")

EDGES = (0.0, 20.0, 100.0, 400.0)
NAMES = ("ErrorsByBrightness", "CityRegression", "SourceWidths")


def images(number=4, side=64, seed=0):
    """Isolated lights on a dark ground, and the same blurred and dimmed."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.arange(side)[:, None], torch.arange(side)[None]
    truth = torch.zeros(number, 1, side, side, dtype=torch.double)
    blurred = torch.zeros_like(truth)
    for image in range(number):
        for top in range(10, side - 8, 22):
            for left in range(10, side - 8, 22):
                shift = torch.rand(3, generator=generator)
                square = (rows - top - shift[0]) ** 2 + (columns - left - shift[1]) ** 2
                peak = 80 + 200 * shift[2]
                truth[image, 0] += peak * torch.exp(-square / (2 * 1.2**2))
                blurred[image, 0] += 0.5 * peak * torch.exp(-square / (2 * 1.8**2))
    return blurred, truth


def zones(side=64):
    return (torch.arange(side)[:, None] // 22 * 3 + torch.arange(side) // 22).int()


def mask(number=4, side=64):
    # Few holes: a source with one in its neighbourhood is not isolated.
    valid = torch.ones(number, 1, side, side, dtype=torch.bool)
    valid[0, 0, 3, 5] = valid[1, 0, 33, 33] = False
    return valid


def scores(**options):
    return {
        "ErrorsByBrightness": classes.ErrorsByBrightness(EDGES, **options),
        "CityRegression": classes.CityRegression(8, **options),
        "SourceWidths": classes.SourceWidths(50, **options),
    }


def expected(p, t, valid):
    return {
        "ErrorsByBrightness": metrics.errors_by_brightness(p, t, EDGES, mask=valid),
        "CityRegression": metrics.city_regression(p, t, zones(), mask=valid),
        "SourceWidths": metrics.source_width_means(
            metrics.source_widths(p, t, min_peak=50, mask=valid)
        ),
    }


def check(got, want):
    assert type(got) is type(want)
    for name, a, b in zip(want._fields, got, want, strict=True):
        torch.testing.assert_close(
            a, b.double(), rtol=1e-11, atol=1e-12, equal_nan=True, check_device=False, msg=name
        )


@pytest.mark.parametrize("name", NAMES)
def test_updates_and_merges_are_the_function(name):
    p, t = images()
    valid = mask()
    score, other = scores()[name], scores()[name]
    more = {"zones": zones()} if name == "CityRegression" else {}
    score.update(p[:1], t[:1], valid[:1], **more)
    other.update(p[1:3], t[1:3], valid[1:3], **more)
    other.update(p[3:], t[3:], valid[3:], **more)
    score = pickle.loads(pickle.dumps(score))
    score.merge(copy.deepcopy(other))
    want = expected(p, t, valid)[name]
    check(score.compute(), want)
    assert not math.isnan(want[1].flatten()[0])
    score.reset()
    assert math.isnan(score.compute()[2].flatten()[0])
    first = score(p[:2], t[:2], valid[:2], **more)
    check(first, expected(p[:2], t[:2], valid[:2])[name])
    score(p[2:], t[2:], valid[2:], **more)
    check(score.compute(), want)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_bins_of_images(reduction):
    p, t = images()
    t[2] = t[2].clamp_max(90)  # an image without the last bin has no vote there
    score = classes.ErrorsByBrightness(EDGES, reduction=reduction)
    assert score.compute().rmse.shape == ((0, 3) if reduction == "none" else (3,))
    other = classes.ErrorsByBrightness(EDGES, reduction=reduction)
    score.update(p[:1], t[:1])
    other.update(p[1:], t[1:])
    score.merge(other)
    want = metrics.errors_by_brightness(p, t, EDGES, reduction=reduction)
    check(score.compute(), want)
    if reduction == "mean":
        assert want.pixels.tolist() == [4, 4, 3]


def test_lit_bins_and_cities():
    p, t = images()
    lit = metrics.lit_mask(t, 30)
    bins = classes.ErrorsByBrightness(EDGES, lit_threshold=30)
    bins.update(p, t)
    check(bins.compute(), metrics.errors_by_brightness(p, t, EDGES, mask=lit))
    cities = classes.CityRegression(range(1, 9), lit_threshold=30)
    cities.update(p, t, zones=zones())
    check(cities.compute(), metrics.city_regression(p, t, zones(), mask=lit))


def test_sources_of_pieces_are_those_of_the_whole():
    p, t = images(1)
    whole = metrics.source_width_means(metrics.source_widths(p, t, min_peak=50))
    assert whole.sources == whole.measured == 9 and whole.prediction > whole.target
    pieces = _native.metrics.SourceWidthAccumulator(50)
    halo = pieces.halo
    for first, last in ((0, 9), (9, 30), (30, 31), (31, 64)):
        top, bottom = min(halo, first), min(halo, 64 - last)
        rows = slice(first - top, last + bottom)
        part = _native.metrics.SourceWidthAccumulator(50)
        part.update(p[..., rows, :], t[..., rows, :], top=top, bottom=bottom)
        pieces.merge(part)
    for a, b in zip(pieces.compute(), whole, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=0)
    with pytest.raises(ValueError, match="state"):
        pieces.state = torch.zeros(3, dtype=torch.double)


def test_sources_whose_width_is_not_known_are_counted_apart():
    p, t = images(1)
    p[..., :30, :30] = 0
    widths = metrics.source_widths(p, t, min_peak=50)
    means = metrics.source_width_means(widths)
    known = ~widths.prediction.isnan()
    assert means.sources == 9 and means.measured == known.sum() == 8
    assert means.prediction == pytest.approx(widths.prediction[known].mean().item(), rel=1e-13)
    difference = (widths.prediction - widths.target)[known]
    assert means.rmse == pytest.approx(difference.square().mean().sqrt().item(), rel=1e-13)
    nothing = metrics.source_width_means(metrics.source_widths(t * 0, t * 0, min_peak=50))
    assert nothing.sources == 0 and nothing.prediction.isnan() and nothing.rmse.isnan()


def test_wrong_use_is_named():
    p, t = images(1)
    with pytest.raises(ValueError, match="zones are needed"):
        classes.CityRegression(3).update(p, t)
    with pytest.raises(ValueError, match="ascend"):
        classes.CityRegression([3, 2])
    with pytest.raises(ValueError, match="at least one"):
        classes.CityRegression(0)
    with pytest.raises(ValueError, match="ascend"):
        classes.ErrorsByBrightness([3, 2])
    with pytest.raises(ValueError, match="leave reduction out"):
        classes.SourceWidths(50, reduction="mean")
    with pytest.raises(ValueError, match="leave lit_threshold out"):
        classes.SourceWidths(50, lit_threshold=3)
    with pytest.raises(ValueError, match="radius"):
        classes.SourceWidths(50, radius=1)
    with pytest.raises(TypeError, match="widht"):
        classes.SourceWidths(50, widht=1)
    with pytest.raises(ValueError, match="same class and options"):
        classes.SourceWidths(50).merge(classes.SourceWidths(60))


def everything():
    """Every class there is, with what its constructor must have."""
    generator = torch.Generator().manual_seed(2)
    noise = torch.rand(3, 1, 64, 64, dtype=torch.double, generator=generator)
    good = images(3, seed=5)[1] + 50 * noise
    given = {
        "data_range": 300.0,
        "threshold": 30.0,
        "saturation": 150.0,
        "ratio": 0.25,
        "edges": EDGES,
        "labels": 8,
        "min_peak": 50.0,
        "model": metrics.fit_niqe(good, data_range=300, block_size=16, sharpness=0),
    }
    special = {
        "MsSsim": {"weights": (0.4, 0.6), "window_size": 5, "sigma": 1.0},
        "Sam": {"vectors": "image"},
        "SpectralError": {"window_size": 16},
    }
    made = []
    for name in classes.__all__:
        cls = getattr(classes, name)
        needed = [
            p.name
            for p in inspect.signature(cls).parameters.values()
            if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
        ]
        made.append(cls(**{n: given[n] for n in needed}, **special.get(name, {})))
    return made


def test_a_collection_of_every_class():
    p, t = images()
    p = p + torch.rand(p.shape, dtype=p.dtype, generator=torch.Generator().manual_seed(1)) * 9
    whole, parts = MetricCollection(everything()), MetricCollection(everything())
    whole.update(p, t, mask=mask(), zones=zones())
    for i in range(4):
        parts.update(p[i : i + 1], t[i : i + 1], mask=mask()[i : i + 1], zones=zones())
    got, want = parts.compute(), whole.compute()
    assert set(got) == set(classes.__all__)
    for name, value in want.items():
        for a, b in zip(
            got[name] if isinstance(value, tuple) else [got[name]],
            value if isinstance(value, tuple) else [value],
            strict=True,
        ):
            assert not b.isnan().any(), name
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12, msg=f"{name}: {a} and {b}")
    for score, want in zip(everything(), whole.values(), strict=True):
        assert type(score) is type(want)
        assert score.to("cpu").compute() is not None


def test_infinite_scores_have_an_infinite_mean():
    _, t = images(2)
    score = classes.Psnr(300, reduction="mean")
    for _ in range(3):
        score.update(t, t)
    assert score.compute() == math.inf
    score.update(t + 1, t)
    assert score.compute() == math.inf


def scores_of_part(rank):
    p, t = images()
    together = MetricCollection(list(scores().values()))
    part = slice(3 * rank, 3 + rank)  # three images and one
    together.update(p[part], t[part], mask=mask()[part], zones=zones())
    return {name: [v.tolist() for v in value] for name, value in together.compute().items()}


def test_two_processes_give_the_table_of_the_whole(tmp_path):
    both = in_two_processes(scores_of_part, tmp_path)
    p, t = images()
    for name, table in expected(p, t, mask()).items():
        for got in both:
            for a, b in zip(got[name], table, strict=True):
                assert a == pytest.approx(b.tolist(), rel=1e-11, abs=1e-12)
