"""NIQE against the authors' steps in NumPy and against pyiqa 0.1.16; models; pieces.

pyiqa's values are recorded, as ``pyiqa.archs.niqe_arch`` gave them with blocks of 32 x 32 on the
image below: the mean over blocks of ``compute_feature`` at both scales, and ``niqe(image, zeros(1,
36), eye(36), 32, 32)``. Its tables are in single precision, hence 1e-6.
"""

import json
import math
import pickle

import numpy as np
import pytest
import torch
from scipy import ndimage, special

from deeplight import _native, metrics

PYIQA_SCORE = 6.70433527894595
PYIQA_FEATURES = [
    *(8.1396667, 1.620654, 2.1388333, -0.23391008, 1.1096004, 0.72314753, 1.5495, -0.12650977),
    *(1.0516508, 0.86067364, 1.3776667, -0.065499234, 0.93227575, 0.83831328, 1.4323333),
    *(-0.054274053, 0.94845492, 0.87300307, 5.3141667, 1.4324706, 1.1291667, -0.14549361),
    *(0.64340693, 0.47073394, 1.238, 0.060555407, 0.56603795, 0.64473826, 1.1623333),
    *(-0.091402506, 0.60972234, 0.51445581, 1.0878333, -0.098408523, 0.5910058, 0.47856839),
]


def image(rows=64, columns=96):
    i, j = np.mgrid[0:rows, 0:columns]
    return ((i * i * 7 + j * 13 + i * j * 3) % 251).astype(float)


def lights(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return ndimage.gaussian_filter(rng.gamma(0.7, 60.0, shape), 0.7)


def numpy_aggd(values):
    shapes = 0.2 + 0.001 * np.arange(9801)
    ratios = special.gamma(2 / shapes) ** 2 / special.gamma(1 / shapes) / special.gamma(3 / shapes)
    left = math.sqrt((values[values < 0] ** 2).mean())
    right = math.sqrt((values[values > 0] ** 2).mean())
    g = left / right
    wanted = np.abs(values).mean() ** 2 / (values**2).mean() * (g**3 + 1) * (g + 1)
    shape = shapes[np.abs(ratios - wanted / (g * g + 1) ** 2).argmin()]
    scale = math.sqrt(special.gamma(1 / shape) / special.gamma(3 / shape))
    return shape, left * scale, right * scale


def numpy_features(x, size, data_range):
    """[rows, columns, 36], the steps of the authors' code with whole-image arrays."""
    x = x[: len(x) // size * size, : x.shape[1] // size * size] * 255 / data_range
    taps = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
    taps /= taps.sum()
    cubic = np.array([-0.01171875, -0.03515625, 0.11328125, 0.43359375])
    found = []
    for block in (size, size // 2):

        def blur(a):
            rows = ndimage.correlate1d(a, taps, 0, mode="nearest")
            return ndimage.correlate1d(rows, taps, 1, mode="nearest")

        mean = blur(x)
        z = (x - mean) / (np.sqrt(np.abs(blur(x * x) - mean * mean)) + 1)
        rows, columns = z.shape[0] // block, z.shape[1] // block
        features = np.empty((rows, columns, 18))
        for i in range(rows):
            for j in range(columns):
                b = z[i * block : (i + 1) * block, j * block : (j + 1) * block]
                shape, left, right = numpy_aggd(b.ravel())
                out = [shape, (left + right) / 2]
                for step in ((0, 1), (1, 0), (1, 1), (-1, 1)):
                    shape, left, right = numpy_aggd((b * np.roll(b, step, (0, 1))).ravel())
                    away = (right - left) * special.gamma(2 / shape) / special.gamma(1 / shape)
                    out += [shape, away, left, right]
                features[i, j] = out
        found.append(features)
        padded = np.pad(x, 3, "symmetric")
        taps8 = np.concatenate([cubic, cubic[::-1]])
        tall = sum(t * padded[k : k + x.shape[0] : 2] for k, t in enumerate(taps8))
        x = sum(t * tall[:, k : k + x.shape[1] : 2] for k, t in enumerate(taps8))
    return np.concatenate(found, -1)


@pytest.fixture(scope="module")
def model():
    return metrics.fit_niqe(
        [lights(160, 192), lights(128, 128, seed=1)], data_range=255, block_size=16, sharpness=0.3
    )


def test_features_are_numpy():
    x = lights(70, 101)
    got = metrics.niqe_features(x, data_range=200, block_size=16)
    assert got.features.shape == (4, 6, 36) and got.counted.all()
    np.testing.assert_allclose(got.features, numpy_features(x, 16, 200), rtol=1e-9, atol=1e-12)


def test_features_and_score_are_pyiqa():
    got = metrics.niqe_features(image(), data_range=255, round=True, block_size=32)
    np.testing.assert_allclose(got.features.mean((0, 1)), PYIQA_FEATURES, rtol=1e-6)
    standard = {
        "format": "deeplight niqe model 1",
        "options": {"data_range": 255.0, "round": True, "block_size": 32},
        "blocks": 100,
        "mean": [0.0] * 36,
        "covariance": np.eye(36).ravel().tolist(),
    }
    standard = _native.metrics.NiqeModel(json.dumps(standard))
    assert metrics.niqe(image(), model=standard).item() == pytest.approx(PYIQA_SCORE, rel=1e-6)


def test_score_is_the_formula(model):
    x = lights(96, 96, seed=3)
    features = metrics.niqe_features(x, data_range=255, block_size=16).features.reshape(-1, 36)
    features = features.numpy()
    step = model.mean.numpy() - features.mean(0)
    inverse = np.linalg.pinv((model.covariance.numpy() + np.cov(features.T)) / 2)
    expected = math.sqrt(step @ inverse @ step)
    assert metrics.niqe(x, model=model).item() == pytest.approx(expected, rel=1e-8)


def test_fit_takes_the_sharp_blocks():
    x = lights(160, 160)
    got = metrics.niqe_features(x, data_range=255, block_size=16)
    sharp = got.features[got.sharpness > 0.6 * got.sharpness.max()]
    model = metrics.fit_niqe(x, data_range=255, block_size=16, sharpness=0.6)
    assert model.blocks == len(sharp) > 36
    torch.testing.assert_close(model.mean, sharp.mean(0), rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(model.covariance, sharp.T.cov(), rtol=1e-9, atol=1e-12)


def test_worse_images_score_worse(model):
    good = lights(128, 128, seed=5)
    rng = np.random.default_rng(0)
    scores = [metrics.niqe(good, model=model).item()]
    scores += [
        metrics.niqe(ndimage.gaussian_filter(good, 2), model=model).item(),
        metrics.niqe(good + rng.normal(0, 60, good.shape), model=model).item(),
        metrics.niqe(rng.random(good.shape) * 255, model=model).item(),
    ]
    assert scores[0] < min(scores[1:])


def test_models_are_kept_as_json(model, tmp_path):
    path = tmp_path / "good.json"
    model.save(str(path))
    again = metrics.load_niqe_model(path)
    assert again.to_json() == model.to_json() == path.read_text().strip()
    assert json.loads(path.read_text())["mean"] == model.mean.tolist()
    assert pickle.loads(pickle.dumps(model)).to_json() == model.to_json()
    x = lights(64, 64)
    assert metrics.niqe(x, model=again).item() == metrics.niqe(x, model=model).item()
    for text, message in (
        ("{", "parse error"),
        ("[]", "no model of NIQE"),
        ('{"format": "deeplight niqe model 1"}', "options"),
        (path.read_text().replace('"mean":[', '"mean":[1,'), "37 numbers, expected 36"),
        (path.read_text().replace('"block_size":16', '"block_size":15'), "block_size must be even"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            metrics.load_niqe_model(path)
    with pytest.raises(OSError, match=r"none\.json"):
        metrics.load_niqe_model(tmp_path / "none.json")


def test_pieces_and_merges_are_the_whole(model):
    x = torch.tensor(lights(83, 70))
    mask = torch.ones(83, 70, dtype=torch.bool)
    mask[30, 40] = False
    x[30, 40] = math.nan
    expected = metrics.niqe(x, model=model, mask=mask).item()
    assert not math.isnan(expected)
    halves = [_native.metrics.NiqeAccumulator(model) for _ in range(2)]
    halves[0].update(x[:58, :64], bottom=10, mask=mask[:58, :64])
    halves[1].update(x[38:80, :64], top=10, mask=mask[38:80, :64])
    halves[0].merge(halves[1])
    assert halves[0].compute() == pytest.approx(expected, rel=1e-9)
    blocks = metrics.niqe_features(x, data_range=255, block_size=16, mask=mask)
    assert halves[0].count == int(blocks.counted.sum()) == 14
    with pytest.raises(ValueError, match="whole blocks of 16"):
        halves[0].update(x[:50, :64], bottom=10)


def test_masks_where_and_reductions(model):
    x = torch.tensor(np.stack([lights(64, 64, seed=s) for s in (0, 1)]))[:, None]
    none = metrics.niqe(x, model=model, reduction="none")
    assert none.shape == (2,)
    assert none[1].item() == metrics.niqe(x[1], model=model).item()
    assert metrics.niqe(x, model=model).item() == pytest.approx(none.mean().item())
    assert metrics.niqe(x, model=model, reduction="pooled").item() < none.max().item()
    left = torch.zeros(64, 64, dtype=torch.bool)
    left[:, :32] = True
    got = metrics.niqe(x[0], model=model, where=left).item()
    blocks = metrics.niqe_features(x[0], data_range=255, block_size=16, where=left)
    assert blocks.counted.sum() == 8 and got != none[0].item()
    # A crop at a block's edge has other pixels around it only where it is cut.
    mask = metrics.niqe_features(x[0], data_range=255, block_size=16, mask=left)
    assert mask.counted[..., :1].all() and not mask.counted[..., 1:].any()


def test_degenerate(model):
    dark = torch.zeros(64, 64)
    nothing = torch.zeros(64, 64, dtype=torch.bool)
    for x, mask in ((dark, None), (dark + 7, None), (torch.tensor(lights(64, 64)), nothing)):
        assert math.isnan(metrics.niqe(x, model=model, mask=mask).item())
    x = torch.tensor(lights(64, 64))
    x[5, 5] = math.nan
    assert math.isnan(metrics.niqe(x, model=model).item())
    both = torch.stack([dark, torch.tensor(lights(64, 64)).float()])[:, None]
    assert metrics.niqe(both, model=model).item() == metrics.niqe(both[1], model=model).item()
    with pytest.raises(ValueError, match="model must be given"):
        metrics.niqe(dark)
    with pytest.raises(ValueError, match="a block of 16x16"):
        metrics.niqe(torch.rand(8, 8), model=model)
    with pytest.raises(ValueError, match="data_range must be given"):
        metrics.niqe_features(dark, block_size=16)
    with pytest.raises(ValueError, match="more than 36 sharp blocks, got 0"):
        metrics.fit_niqe(dark, data_range=1, block_size=16)
    with pytest.raises(ValueError, match="holds NaN"):
        metrics.fit_niqe(x, data_range=1, block_size=16)
    with pytest.raises(ValueError, match="sharpness must lie in"):
        metrics.fit_niqe(x, data_range=1, sharpness=1)


def test_threads_and_types_do_not_show(model):
    x = torch.tensor(lights(96, 112)).float()
    before = torch.get_num_threads()
    try:
        got = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            got.append(metrics.niqe(x, model=model).item())
    finally:
        torch.set_num_threads(before)
    assert got[0] == got[1] == metrics.niqe(x.double(), model=model).item()
