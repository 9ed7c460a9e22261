"""Bicubic against a written-out kernel, the ridge against a direct solve."""

import json
import math

import numpy as np
import pytest
import torch

from deeplight import baselines


def test_bicubic_is_the_keys_kernel_at_half_pixel_centres():
    rng = np.random.default_rng(0)
    row = rng.gamma(1, 5, 9)

    def kernel(x, a=-0.75):
        x = abs(x)
        if x <= 1:
            return (a + 2) * x**3 - (a + 3) * x**2 + 1
        return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0

    expected = []
    for i in range(72):
        centre = (i + 0.5) / 8 - 0.5
        first = math.floor(centre) - 1
        expected.append(
            sum(kernel(centre - k) * row[min(max(k, 0), 8)] for k in range(first, first + 4))
        )
    image = torch.tensor(row)[None].repeat(5, 1)
    got = baselines.bicubic(image, 8, clamp=False)
    assert got.shape == (40, 72)
    np.testing.assert_allclose(got[17], expected, atol=1e-12)
    clamped = baselines.bicubic(image[None], 8)
    assert clamped.shape == (1, 40, 72) and clamped.min() >= 0
    torch.testing.assert_close(clamped[0], got.clamp_min(0))


@pytest.fixture
def scene():
    """A scene whose light follows a guide, 16 x 24 low-resolution pixels at scale 4."""
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(16, 24, generator=generator, dtype=torch.float64) * 100
    guides = torch.rand(3, 64, 96, generator=generator) * 50
    guides[2] = 7
    contrast = guides[0].double() - baselines._box_mean(guides.double(), 5)[0]
    target = baselines.bicubic(low, 4) * (1 + contrast / 80).clamp_min(0)
    training = torch.zeros(64, 96, dtype=torch.bool)
    training[:, :60] = True
    validation = torch.zeros_like(training)
    validation[:, 68:] = True
    return low, guides, target, training, validation


def direct_features(low, guides, spread, windows):
    base = baselines.bicubic(low, 4, clamp=False).numpy()
    features = [np.ones_like(base), base]
    for window, typical in zip(windows, spread, strict=True):
        for guide, one in zip(guides.double().numpy(), typical, strict=True):
            pad = window // 2
            contrast, deviation = np.empty_like(guide), np.empty_like(guide)
            for out, image in ((contrast, guide), (deviation, None)):
                image = contrast**2 if image is None else image
                for i in range(guide.shape[0]):
                    for j in range(guide.shape[1]):
                        box = image[max(0, i - pad) : i + pad + 1, max(0, j - pad) : j + pad + 1]
                        out[i, j] = box.mean()
                if out is contrast:
                    contrast[:] = guide - contrast
            features.append(base * contrast / (np.sqrt(deviation) + 0.5 * one))
    return np.stack(features)


def test_ridge_is_the_direct_solution(scene):
    low, guides, target, training, validation = scene
    ridge = baselines.fit_guide_ridge(
        low, guides, target, scale=4, training=training, validation=validation, windows=(3, 5)
    )
    features = direct_features(low, guides, ridge.spread, (3, 5))
    x = features[:, training.numpy()].T
    y = target[training].numpy()
    penalty = np.sqrt(ridge.penalty * (x**2).sum(0))
    penalty[:2] = 0
    penalty[penalty == 0] = 0
    augmented = np.concatenate([x, np.diag(penalty)])
    expected = np.linalg.lstsq(augmented, np.concatenate([y, np.zeros(x.shape[1])]), rcond=None)[0]
    got = np.einsum("f,fij->ij", ridge.weights, features)
    np.testing.assert_allclose(got, np.einsum("f,fij->ij", expected, features), atol=1e-6)
    np.testing.assert_allclose(ridge.predict(low, guides), got.clip(0), atol=1e-9)


def test_ridge_beats_bicubic_where_a_guide_tells_and_blocks_do_not_matter(scene):
    low, guides, target, training, validation = scene
    ridge = baselines.fit_guide_ridge(
        low, guides, target, scale=4, training=training, validation=validation
    )
    error = (ridge.predict(low, guides) - target)[validation].square().mean()
    plain = (baselines.bicubic(low, 4) - target)[validation].square().mean()
    assert error < 0.5 * plain
    pieces = [c for _, c, _ in baselines._row_blocks(guides, (5, 17), rows=7)]
    whole = [c for _, c, _ in baselines._row_blocks(guides, (5, 17), rows=64)]
    for index in range(2):
        joined = torch.cat([piece[index] for piece in pieces], 1)
        torch.testing.assert_close(joined, whole[0][index], rtol=0, atol=1e-12)


def test_ridge_survives_a_file(scene, tmp_path):
    low, guides, target, training, validation = scene
    ridge = baselines.fit_guide_ridge(
        low, guides, target, scale=4, training=training, validation=validation
    )
    ridge.save(tmp_path / "ridge.json")
    again = baselines.GuideRidge.load(tmp_path / "ridge.json")
    assert again == ridge
    values = json.loads((tmp_path / "ridge.json").read_text())
    values["weights"].pop()
    (tmp_path / "ridge.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match=r"ridge.json' has 7 weights, expected 8"):
        baselines.GuideRidge.load(tmp_path / "ridge.json")
    (tmp_path / "ridge.json").write_text("[1, 2")
    with pytest.raises(ValueError, match="is no saved guide ridge"):
        baselines.GuideRidge.load(tmp_path / "ridge.json")


def test_wrong_use_is_named(scene):
    low, guides, target, training, validation = scene
    masks = {"training": training, "validation": validation}
    with pytest.raises(ValueError, match=r"guides are \(3, 63, 96\), expected \(3, 64, 96\)"):
        baselines.fit_guide_ridge(low, guides[:, :-1], target, scale=4, **masks)
    with pytest.raises(ValueError, match="validation selects no pixel"):
        masks["validation"] = torch.zeros_like(validation)
        baselines.fit_guide_ridge(low, guides, target, scale=4, **masks)
    with pytest.raises(ValueError, match="penalties must be above 0"):
        baselines.fit_guide_ridge(low, guides, target, scale=4, **masks, penalties=[0])


def test_bilinear_between_cell_centres():
    low = torch.tensor([[0.0, 4.0]], dtype=torch.float64)
    # Centres of the fine cells at 1/4 and 3/4 of a coarse one; the edge is repeated.
    expected = torch.tensor([[0.0, 1.0, 3.0, 4.0]] * 2, dtype=torch.float64)
    torch.testing.assert_close(baselines.bilinear(low, 2), expected)


def test_least_squares_gain():
    x = torch.tensor([1.0, 2.0, float("nan"), 3.0])
    y = torch.tensor([2.0, 5.0, 1.0, 5.0])
    expected = np.linalg.lstsq(np.array([[1.0], [2.0], [3.0]]), [2.0, 5.0, 5.0])[0][0]
    assert baselines.least_squares_gain(x, y) == pytest.approx(expected)
    with pytest.raises(ValueError, match="0 everywhere"):
        baselines.least_squares_gain(x * 0, y)
    with pytest.raises(ValueError, match="above 0, fitted -"):
        baselines.least_squares_gain(x, -y)
