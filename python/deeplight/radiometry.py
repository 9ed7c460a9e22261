"""Digital numbers to physical units, over NumPy arrays of any shape: float64, NaN for fill.

Formulas and constants, with their sources, are those of ``include/deeplight/radiometry/``.
"""

from __future__ import annotations

from ._native.radiometry import (
    DMSP_SATURATION,
    OLI_REFLECTANCE_GAIN,
    SDGSAT_BANDWIDTHS,
    Mtl,
    band_radiance,
    black_marble_radiance,
    brightness_temperature,
    check_kelvin,
    clear_sky,
    dmsp_light,
    level2_reflectance,
    level2_temperature,
    luojia_radiance,
    ndmvi,
    ndvi,
    ndwi,
    normalized_difference,
    quality_bits,
    quality_scheme,
    sdgsat_spectral_radiance,
    temperature_units,
    thermal_band,
    tm5_reflectance_gain,
    to_kelvin,
    toa_reflectance,
    viirs_monthly_radiance,
)

__all__ = [
    "DMSP_SATURATION",
    "OLI_REFLECTANCE_GAIN",
    "SDGSAT_BANDWIDTHS",
    "Mtl",
    "band_radiance",
    "black_marble_radiance",
    "brightness_temperature",
    "check_kelvin",
    "clear_sky",
    "dmsp_light",
    "level2_reflectance",
    "level2_temperature",
    "luojia_radiance",
    "ndmvi",
    "ndvi",
    "ndwi",
    "normalized_difference",
    "quality_bits",
    "quality_scheme",
    "sdgsat_spectral_radiance",
    "temperature_units",
    "thermal_band",
    "tm5_reflectance_gain",
    "to_kelvin",
    "toa_reflectance",
    "viirs_monthly_radiance",
]
