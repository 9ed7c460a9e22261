"""The data floor as Python sees it: preprocessor, sampler, split."""

import json

import pytest
import torch

from deeplight import _native


def image(**changes):
    return {
        "units": "", "transform": "linear", "transform_scale": 1.0, "mean": 0.0, "std": 32.0,
        "minimum": 0.0, "maximum": 255.0, **changes,
    }  # fmt: skip


def preprocessing(**changes):
    guide = {"name": "dmo", "bands": 2, "mean": [1.0, 2.0], "std": [2.0, 4.0]}
    return {
        "low_resolution": image(), "output": image(),
        "guides": [{**guide, "contrast": "difference"}], "contrast_windows": [5], **changes,
    }  # fmt: skip


def make(**changes):
    return _native.Preprocessor(json.dumps(preprocessing(**changes)), 8)


def test_light_goes_there_and_back():
    values = torch.rand(2, 1, 5, 7) * 200
    preprocessor = make()
    torch.testing.assert_close(preprocessor.low_resolution(values), values / 32)
    torch.testing.assert_close(preprocessor.restore(preprocessor.target(values)), values)


def test_invalid_pixels_become_zero():
    values = torch.tensor([[[[64.0, float("nan"), 32.0]]]])
    valid = torch.tensor([[[[True, True, False]]]])
    assert make().low_resolution(values, valid).flatten().tolist() == [2.0, 0.0, 0.0]


def test_contrast_by_difference_against_torch():
    values = torch.randn(1, 2, 30, 20).double()
    x = (values - torch.tensor([1.0, 2.0]).view(1, 2, 1, 1)) / torch.tensor([2.0, 4.0]).view(
        1, 2, 1, 1
    )
    around = torch.nn.functional.avg_pool2d(x, 5, 1, 2, count_include_pad=False)
    got = make().guide("dmo", values)
    torch.testing.assert_close(got, torch.cat([x, x - around], 1).float(), rtol=1e-5, atol=1e-5)
    assert make().network_guides == {"dmo": 4}
    assert make().margin == 1


def test_standardised_contrast_against_torch():
    guide = {"name": "dmo", "bands": 2, "contrast": "standardised"}
    spread = [[0.5, 2.0], [1.0, 3.0]]
    preprocessor = make(guides=[{**guide, "contrast_spread": spread}], contrast_windows=[17, 5])
    x = torch.randn(1, 2, 30, 20).double()
    expected = [x]
    for window, of_window in zip((17, 5), spread, strict=True):

        def box(image, side=window):
            return torch.nn.functional.avg_pool2d(
                image, side, 1, side // 2, count_include_pad=False
            )

        contrast = x - box(x)
        deviation = box(contrast.square()).sqrt()
        expected.append(contrast / (deviation + torch.tensor(of_window).view(1, 2, 1, 1) / 2))
    got = preprocessor.guide("dmo", x)
    torch.testing.assert_close(got, torch.cat(expected, 1).float(), rtol=1e-5, atol=1e-5)
    assert preprocessor.network_guides == {"dmo": 6}
    assert preprocessor.margin == 2


def test_json_is_read_strictly():
    with pytest.raises(ValueError, match="did you mean 'contrast_windows'"):
        make(contrast_window=[5])
    with pytest.raises(ValueError, match="must be odd and positive, got 4"):
        make(contrast_windows=[5, 4])
    with pytest.raises(ValueError, match="not JSON"):
        _native.Preprocessor("{", 8)
    with pytest.raises(ValueError, match="did you mean 'dmo'"):
        make().guide("dm", torch.zeros(1, 2, 8, 8))


def sampler(threads=0, **options):
    generator = torch.Generator().manual_seed(3)
    target = torch.rand(1, 80, 96, generator=generator)
    guides = {"dmo": torch.rand(3, 80, 96, generator=generator)}
    options = {"scale": 8, "patch": 3, "batch": 4, "seed": 5, "threads": threads, **options}
    return _native.PatchSampler(
        target, guides, [(0, 0, 80, 40), (8, 50, 60, 46)], options=json.dumps(options)
    )


def test_sampler_is_a_function_of_seed_and_step():
    alone, threaded = sampler(0), sampler(2)
    for step in (0, 1, 5, 2, 3):
        a, b = alone.sample(step), threaded.sample(step)
        assert a.windows == b.windows
        assert torch.equal(a.target, b.target)
        assert torch.equal(a.guides["dmo"], b.guides["dmo"])
    assert sampler(seed=6).sample(0).windows != alone.sample(0).windows


def test_low_resolution_is_the_block_mean():
    batch = sampler().sample(0)
    mean = torch.nn.functional.avg_pool2d(batch.target, 8)
    torch.testing.assert_close(batch.low_resolution, mean)
    assert batch.auxiliary is None
    assert batch.target.shape == (4, 1, 24, 24)
    assert batch.guides["dmo"].shape == (4, 3, 24, 24)


def test_options_are_strict():
    with pytest.raises(ValueError, match="did you mean 'patch'"):
        sampler(patches=3)
    with pytest.raises(ValueError, match="no region holds a patch of 800x800"):
        sampler(patch=100)


def test_split_that_leaks_is_refused():
    with pytest.raises(ValueError, match="1 cells apart, closer than the buffer of 2"):
        _native.check_split([(0, 0, 8, 4)], [(0, 5, 8, 2)], [], 8, 8, 2)
    _native.check_split([(0, 0, 8, 4)], [(0, 6, 8, 2)], [], 8, 8, 2)
