"""The formulas over arrays, against NumPy in float64."""

import numpy as np
import pytest

from deeplight import radiometry as rm


@pytest.fixture(scope="module")
def dn():
    return np.arange(65536, dtype=np.uint16).reshape(256, 256)


def test_level2_over_all_numbers(dn):
    found = rm.level2_reflectance(dn)
    expected = np.where((dn >= 1) & (dn <= 65455), dn * 2.75e-5 - 0.2, np.nan)
    assert found.dtype == np.float64 and found.shape == dn.shape
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    expected = np.where(dn >= 1, dn * 0.00341802 + 149.0, np.nan)
    np.testing.assert_allclose(rm.level2_temperature(dn), expected, rtol=1e-13)


def test_level1_over_all_numbers(dn):
    gain, k1, k2 = rm.thermal_band("tirs_band10")
    with np.errstate(all="ignore"):
        expected = np.where(dn > 0, k2 / np.log(k1 / (3.342e-4 * dn + 0.1) + 1), np.nan)
    np.testing.assert_allclose(rm.brightness_temperature(dn, gain, k1, k2), expected, rtol=1e-13)
    expected = np.where(dn > 0, (2e-5 * dn - 0.1) / np.sin(np.deg2rad(41.5)), np.nan)
    found = rm.toa_reflectance(dn, rm.OLI_REFLECTANCE_GAIN, 41.5)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    with pytest.raises(ValueError, match="elevation must lie in"):
        rm.toa_reflectance(dn, rm.OLI_REFLECTANCE_GAIN, -3)
    with pytest.raises(ValueError, match="tirs_band10"):
        rm.thermal_band("tirs_band12")


def test_indices_against_their_definitions():
    nir, red, green = np.random.default_rng(0).uniform(0.01, 0.6, (3, 40, 50))
    np.testing.assert_allclose(rm.ndvi(nir, red), (nir - red) / (nir + red), rtol=1e-13)
    np.testing.assert_allclose(rm.ndwi(green, nir), (green - nir) / (green + nir), rtol=1e-13)
    below = nir + red - 0.02
    np.testing.assert_allclose(rm.ndmvi(nir, red, 0.01, 0.01), (nir - red) / below, rtol=1e-12)
    assert np.isnan(rm.ndvi(0.0, 0.0))
    # The sun's elevation and the distance cancel.
    np.testing.assert_allclose(rm.ndvi(nir * 0.7, red * 0.7), rm.ndvi(nir, red), rtol=1e-12)
    scaled = rm.ndmvi(nir * 0.7, red * 0.7, 0.007, 0.007)
    np.testing.assert_allclose(scaled, rm.ndmvi(nir, red, 0.01, 0.01), rtol=1e-9)


def test_quality_over_all_numbers(dn):
    plausible = ((dn & 1) == 1) | (((dn >> 6) & 1) != (((dn >> 1) & 1) | ((dn >> 3) & 1)))
    for value in dn[~plausible][:50]:
        with pytest.raises(ValueError, match=f"holds {value}, which is no value of QA_PIXEL"):
            rm.clear_sky(np.array([value]), "qa_pixel")
    kept = dn[plausible]
    np.testing.assert_array_equal(rm.clear_sky(kept, "qa_pixel"), (kept & 0b11111) == 0)
    kept = dn[((dn & 1) == 1) | (((dn >> 13) == 0) & (((dn >> 11) & 3) != 2))]
    confident = [((kept >> place) & 3) <= 1 for place in (5, 7, 11)]
    np.testing.assert_array_equal(
        rm.clear_sky(kept, "bqa"), ((kept & 0b11111) == 0) & np.logical_and.reduce(confident)
    )
    assert rm.quality_bits(21824, "qa_pixel")["clear"]
    with pytest.raises(ValueError, match="pixel_qa"):
        rm.quality_scheme("LC08_01_T1_pixel_qa.tif")


def test_night_lights():
    dn = np.array([0.0, 4.0, 100.0])
    np.testing.assert_allclose(rm.luojia_radiance(dn), dn**1.5 * 1e-10 * 0.52 * 1e5)
    spectral = rm.sdgsat_spectral_radiance(np.array([0, 10]), 0.02, 0.1)
    assert np.isnan(spectral[0]) and spectral[1] == pytest.approx(0.3)
    red = rm.band_radiance(spectral[1], rm.SDGSAT_BANDWIDTHS["red"])
    assert red == pytest.approx(0.3 * 0.294 * 1e9 / 1e4)
    assert np.isnan(rm.viirs_monthly_radiance(0.0, 0))
    assert rm.viirs_monthly_radiance(-1.2, 5) == -1.2
    np.testing.assert_array_equal(rm.dmsp_light(np.array([0, 63, 255])), [0, 63, np.nan])
    np.testing.assert_allclose(
        rm.black_marble_radiance(np.array([10, 65535]), 0.1, 65535), [1, np.nan]
    )


def test_temperature_units_are_never_guessed():
    assert rm.temperature_units("degrees_Celsius") == "celsius"
    assert rm.temperature_units("", "kelvin") == "kelvin"
    with pytest.raises(ValueError, match=r"'a.tif' states no units"):
        rm.temperature_units("", "", "a.tif")
    with pytest.raises(ValueError, match=r"'a.tif' is in 'm'"):
        rm.temperature_units("m", "", "a.tif")
    np.testing.assert_allclose(rm.to_kelvin(np.array([0.0, 20.0]), "celsius"), [273.15, 293.15])
    rm.check_kelvin(250, 320, "a.tif")
    with pytest.raises(ValueError, match=r"'a.tif' holds 0 to 320 K"):
        rm.check_kelvin(0, 320, "a.tif")


def test_mtl(tmp_path):
    path = tmp_path / "x_MTL.txt"
    path.write_text('GROUP = A\n  SPACECRAFT_ID = "LANDSAT_8"\nEND_GROUP = A\nEND\n')
    mtl = rm.Mtl(path)
    assert mtl.spacecraft == "LANDSAT_8" and "SPACECRAFT_ID" in mtl and "X" not in mtl
    with pytest.raises(ValueError, match="has no 'SUN_ELEVATION'"):
        mtl.sun_elevation  # noqa: B018
    with pytest.raises(OSError):
        rm.Mtl(tmp_path / "absent")
