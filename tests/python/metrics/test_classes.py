"""The torchmetrics classes equal the pooled functions, in collections and merged."""

import pickle

import torch
from torchmetrics import MetricCollection
from two_processes import in_two_processes

from deeplight import metrics
from deeplight.metrics import classes


def expected(p, t):
    pooled = {"reduction": "pooled"}
    return {
        "Psnr": metrics.psnr(p, t, data_range=255, **pooled),
        "Rmse": metrics.rmse(p, t, **pooled),
        "Cc": metrics.cc(p, t, **pooled),
        "R2": metrics.r2(p, t, **pooled),
        "LitF1": metrics.lit_f1(p, t, threshold=0.5, **pooled),
    }


def collection():
    return MetricCollection(
        [classes.Psnr(255), classes.Rmse(), classes.Cc(), classes.R2(), classes.LitF1(0.5)]
    )


def test_collection_equals_pooled_functions():
    torch.manual_seed(0)
    p, t = torch.rand(4, 1, 9, 11), torch.rand(4, 1, 9, 11)
    scores = collection()
    scores.update(t[:1], t[:1])  # identical first: states that agree by chance must not be shared
    for i in range(4):
        scores.update(p[i : i + 1], t[i : i + 1])
    want = expected(torch.cat([t[:1], p]), torch.cat([t[:1], t]))
    for name, value in scores.compute().items():
        torch.testing.assert_close(value, want[name], rtol=1e-12, atol=1e-14)
    scores.reset()
    assert scores["Rmse"].compute().isnan()


def test_merge_and_pickle():
    p, t = torch.rand(2, 1, 9, 11), torch.rand(2, 1, 9, 11)
    first, second = classes.Cc(), classes.Cc()
    first.update(p[0], t[0])
    second.update(p[1], t[1])
    first = pickle.loads(pickle.dumps(first))
    first.merge(second)
    want = metrics.cc(p, t, reduction="pooled")
    torch.testing.assert_close(first.compute(), want, rtol=1e-12, atol=1e-14)


def scores_of_part(rank):
    p, t = _images()
    scores = collection()
    scores.update(p[rank::2], t[rank::2])
    return {name: value.item() for name, value in scores.compute().items()}


def _images():
    generator = torch.Generator().manual_seed(3)
    return (torch.rand(5, 1, 9, 11, generator=generator) for _ in range(2))


def test_two_processes_give_the_value_of_the_whole(tmp_path):
    both = in_two_processes(scores_of_part, tmp_path)
    want = expected(*_images())
    for got in both:
        for name, value in got.items():
            assert abs(value - want[name].item()) < 1e-12
