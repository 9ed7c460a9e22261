"""Regression scores of several images: each by itself, averaged, and pooled; masked and not.

The definitions of specs for temperature: bias is prediction - truth, RSD takes standard deviations
with n - 1; written out once more in NumPy.
"""

import numpy as np
import pytest
import torch

from deeplight import metrics

NAMES = ("rmse", "mae", "bias", "cc", "rsd", "r2")


def defined(prediction, truth):
    error = prediction - truth
    deviations = prediction.std(ddof=1), truth.std(ddof=1)
    covariance = ((prediction - prediction.mean()) * (truth - truth.mean())).sum()
    return {
        "rmse": np.sqrt((error**2).mean()),
        "mae": np.abs(error).mean(),
        "bias": error.mean(),
        "cc": covariance / (len(error) - 1) / deviations[0] / deviations[1],
        "rsd": abs(deviations[0] - deviations[1]) / deviations[1],
        "r2": 1 - (error**2).sum() / ((truth - truth.mean()) ** 2).sum(),
    }


@pytest.fixture(params=["whole", "masked"])
def images(request):
    generator = np.random.default_rng(3)
    # Images of another level, spread and error each, so that pooling differs from averaging.
    truth = np.stack([280 + 10 * i + (1 + i) * generator.normal(size=(9, 11)) for i in range(3)])
    prediction = truth + np.array([0.2, 0.8, 2.0])[:, None, None] * generator.normal(
        0.3, 1, truth.shape
    )
    mask = generator.random(truth.shape) > 0.35 if request.param == "masked" else None
    return prediction, truth, mask


@pytest.mark.parametrize("name", NAMES)
def test_each_image_then_the_mean_and_all_pixels_together(images, name):
    prediction, truth, mask = images
    seen = np.ones(truth.shape, bool) if mask is None else mask
    given = {} if mask is None else {"mask": torch.tensor(mask)[:, None]}
    p, t = torch.tensor(prediction)[:, None], torch.tensor(truth)[:, None]
    score = getattr(metrics, name)
    one_by_one = [defined(prediction[i][seen[i]], truth[i][seen[i]])[name] for i in range(3)]
    pooled = defined(prediction[seen], truth[seen])[name]
    got = score(p, t, reduction="none", **given)
    np.testing.assert_allclose(got.numpy(), one_by_one, rtol=1e-9)
    mean = score(p, t, reduction="mean", **given).item()
    assert mean == pytest.approx(np.mean(one_by_one), rel=1e-9)
    together = score(p, t, reduction="pooled", **given).item()
    assert together == pytest.approx(pooled, rel=1e-9)
    if name in ("rmse", "cc", "rsd", "r2"):
        assert abs(mean - together) > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_what_the_mask_hides_is_never_read(images, name):
    prediction, truth, mask = images
    hidden = torch.zeros(3, 1, 9, 11, dtype=torch.bool)
    if mask is not None:
        hidden = torch.tensor(~mask)[:, None]
    p, t = torch.tensor(prediction)[:, None], torch.tensor(truth)[:, None]
    score = getattr(metrics, name)
    for reduction in ("none", "mean", "pooled"):
        expected = score(p, t, mask=~hidden, reduction=reduction)
        spoiled = score(
            p.masked_fill(hidden, torch.nan), t.masked_fill(hidden, 1e9), mask=~hidden,
            reduction=reduction,
        )  # fmt: skip
        assert torch.equal(spoiled, expected)
