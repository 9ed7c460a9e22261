"""The table of bad and degenerate input in docs/metrics.md, row by row."""

import math

import pytest
import torch

from deeplight import metrics

R = {"data_range": 255}
S = {"window_size": 8}

#: name -> score of (prediction, target, **mask and reduction)
PAIRS = {
    "psnr": lambda p, t, **k: metrics.psnr(p, t, **R, **k),
    "rmse": metrics.rmse,
    "mae": metrics.mae,
    "bias": metrics.bias,
    "rsd": metrics.rsd,
    "r2": metrics.r2,
    "cc": metrics.cc,
    "sam": lambda p, t, **k: metrics.sam(p, t, vectors="image", **k),
    "ergas": lambda p, t, **k: metrics.ergas(p, t, ratio=0.5, **k),
    "ssim": lambda p, t, **k: metrics.ssim(p, t, **R, **k),
    "uiqi": metrics.uiqi,
    "ms_ssim": lambda p, t, **k: metrics.ms_ssim(
        p, t, **R, weights=(0.5, 0.5), window_size=3, sigma=1, **k
    ),
    "gradient_error": metrics.gradient_error,
    "spectral_error": lambda p, t, **k: metrics.spectral_error(p, t, **S, **k),
    "log_spectral": lambda p, t, **k: metrics.spectral_error(p, t, **S, statistic="log", **k),
    "total_light_ratio": metrics.total_light_ratio,
    "lit_f1": lambda p, t, **k: metrics.lit_f1(p, t, threshold=1, **k),
    "saturated_core_error": lambda p, t, **k: metrics.saturated_core_error(p, t, saturation=1, **k),
}
SINGLES = {
    "piqe": metrics.piqe,
    "entropy": lambda x, **k: metrics.entropy(x, **R, **k),
    "average_gradient": metrics.average_gradient,
    "laplacian_variance": metrics.laplacian_variance,
}
EVERY = [*PAIRS, *SINGLES]


def call(name, p, t, **options):
    return PAIRS[name](p, t, **options) if name in PAIRS else SINGLES[name](p, **options)


def pair(seed=0, shape=(20, 20)):
    generator = torch.Generator().manual_seed(seed)
    t = torch.rand(shape, dtype=torch.double, generator=generator) * 200
    return t + torch.randn(shape, dtype=torch.double, generator=generator) * 9, t


@pytest.mark.parametrize("name", PAIRS)
def test_shapes(name):
    p, t = pair()
    with pytest.raises(ValueError, match=r"20, 20.*20, 19"):
        call(name, p, t[:, :19])
    with pytest.raises(ValueError, match="two dimensions"):
        call(name, p[0], t[0])
    with pytest.raises(ValueError, match="empty"):
        call(name, p[:, :0], t[:, :0])
    with pytest.raises(ValueError, match="real"):
        call(name, p.to(torch.complex128), t.to(torch.complex128))


@pytest.mark.parametrize("name", EVERY)
def test_masks(name):
    p, t = pair()
    with pytest.raises(ValueError, match="bool"):
        call(name, p, t, mask=torch.ones(20, 20))
    with pytest.raises(ValueError, match="broadcast"):
        call(name, p, t, mask=torch.ones(20, 7).bool())


@pytest.mark.parametrize("data_range", [None, 0, -1, math.inf, math.nan])
def test_data_range(data_range):
    p, t = pair()
    for function in (metrics.psnr, metrics.ssim, metrics.ms_ssim):
        with pytest.raises(ValueError, match="data_range must be"):
            function(p, t, data_range=data_range)
    with pytest.raises(ValueError, match="data_range must be"):
        metrics.entropy(p, data_range=data_range)
    with pytest.raises(ValueError, match="data_range"):
        metrics.piqe(p, stretch="range", data_range=data_range)
    with pytest.raises(ValueError, match="data_range must be"):
        metrics.niqe_features(p, data_range=data_range, block_size=8)


@pytest.mark.parametrize("name", PAIRS)
def test_unsigned_bytes_do_not_wrap(name):
    t = pair()[1].to(torch.uint8)
    p = t.where(t < 100, t - 1)
    got, expected = call(name, p, t).item(), call(name, p.double(), t.double()).item()
    assert got == expected
    if name == "bias":
        assert -1 < got < 0


@pytest.mark.parametrize("name", EVERY)
def test_half_precision_is_widened(name):
    p, t = (x.half() for x in pair())
    assert call(name, p, t).item() == call(name, p.double(), t.double()).item()


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "uint64", "int16", "int64", "bool"])
@pytest.mark.parametrize("name", EVERY)
def test_integers_of_every_kind_are_widened(name, dtype):
    """Satellite products come as uint16, for which torch itself has little."""
    kind = getattr(torch, dtype)
    p, t = (x.clip(0, 255).long().to(kind) for x in pair())
    mask = metrics.lit_mask(t, 5)
    assert torch.equal(mask, t.double() > 5)
    for more in ({}, {"mask": mask}):
        got, want = call(name, p, t, **more), call(name, p.double(), t.double(), **more)
        assert torch.equal(got.nan_to_num(-9), want.nan_to_num(-9))


@pytest.mark.parametrize("name", EVERY)
def test_what_a_mask_hides_is_never_seen(name):
    p, t = pair()
    mask = torch.ones(20, 20, dtype=torch.bool)
    mask[16:] = False
    hidden = [call(name, *(x.masked_fill(~mask, v) for x in (p, t)), mask=mask).item()
              for v in (0.0, 7.0, math.nan, math.inf)]  # fmt: skip
    # PIQE of one block within reach of the hidden rows: nothing is left.
    nothing = name == "piqe"
    assert all(math.isnan(h) if nothing else h == hidden[0] for h in hidden)
    assert nothing or not math.isnan(hidden[0])


@pytest.mark.parametrize("name", EVERY)
def test_nan_at_a_valid_pixel_shows(name):
    p, t = pair(shape=(2, 1, 20, 20))
    p[0, 0, 9, 9] = math.nan
    scores = call(name, p, t, reduction="none")
    assert scores[0].isnan() and not scores[1].isnan()
    assert call(name, p, t).isnan() and call(name, p, t, reduction="pooled").isnan()


@pytest.mark.parametrize("name", EVERY)
def test_no_valid_pixel(name):
    p, t = pair(shape=(2, 1, 20, 20))
    mask = torch.ones(2, 1, 20, 20, dtype=torch.bool)
    mask[0] = False
    scores = call(name, p, t, mask=mask, reduction="none")
    assert scores[0].isnan()
    assert scores[1].item() == pytest.approx(call(name, p, t, mask=mask).item(), nan_ok=True)
    assert call(name, p[0], t[0], mask=mask[0]).isnan()


@pytest.mark.parametrize("name", EVERY)
def test_negative_radiance_is_defined(name):
    p, t = (x - 100 for x in pair())
    assert not call(name, p, t).isnan()


def test_negative_radiance_goes_to_the_first_bin():
    x = torch.tensor([[-5.0, -1.0], [200.0, 200.0]])
    assert metrics.entropy(x, data_range=255).item() == 1


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("level", [0.0, 7.0])
def test_constant_images(name, level):
    x = torch.full((20, 20), level, dtype=torch.double)
    best = {"psnr": math.inf, "ssim": 1, "uiqi": 1, "ms_ssim": 1, "r2": 1, "lit_f1": 1}
    best |= {"total_light_ratio": 1, "saturated_core_error": math.nan if level == 0 else 0}
    got = call(name, x, x).item()
    assert got == pytest.approx(best.get(name, 0), abs=1e-12, nan_ok=True)


def test_constant_single_images():
    for level in (0.0, 7.0):
        x = torch.full((20, 20), level)
        assert [SINGLES[name](x).item() for name in SINGLES] == [100, 0, 0, 0]


def test_one_pixel():
    one = torch.full((1, 1), 3.0)
    defined = {"psnr": math.inf, "rmse": 0, "mae": 0, "bias": 0, "r2": 1, "cc": 0, "sam": 0}
    defined |= {"rsd": 0, "ergas": 0, "total_light_ratio": 1, "lit_f1": 1}
    for name, value in defined.items():
        assert call(name, one, one).item() == pytest.approx(value, abs=1e-12, nan_ok=True), name
    for name in ("gradient_error", "average_gradient", "laplacian_variance"):
        assert call(name, one, one).isnan()
    for name in ("ssim", "uiqi", "ms_ssim", "spectral_error"):
        with pytest.raises(ValueError, match="1x1"):
            call(name, one, one)
    assert metrics.piqe(one).item() == 100 and metrics.entropy(one, **R).item() == 0
