"""
Sensor formulas, float64, NaN for fill.
"""
from __future__ import annotations
import collections.abc
import numpy
import numpy.typing
import os
import typing
__all__: list[str] = ['DMSP_SATURATION', 'Mtl', 'OLI_REFLECTANCE_GAIN', 'SDGSAT_BANDWIDTHS', 'band_radiance', 'black_marble_radiance', 'brightness_temperature', 'check_kelvin', 'clear_sky', 'dmsp_light', 'level2_reflectance', 'level2_temperature', 'luojia_radiance', 'ndmvi', 'ndvi', 'ndwi', 'normalized_difference', 'quality_bits', 'quality_scheme', 'sdgsat_spectral_radiance', 'temperature_units', 'thermal_band', 'tm5_reflectance_gain', 'to_kelvin', 'toa_reflectance', 'viirs_monthly_radiance']
class Mtl:
    """
    A Landsat MTL text file.
    """
    @staticmethod
    def parse(text: str, name: str = 'MTL') -> Mtl:
        ...
    def __contains__(self, key: str) -> bool:
        ...
    def __init__(self, path: os.PathLike | str | bytes) -> None:
        ...
    def number(self, key: str, groups: collections.abc.Sequence[str] = []) -> float:
        ...
    def reflectance(self, band: str) -> tuple[float, float]:
        """
        Level 1: the gain of toa_reflectance.
        """
    def text(self, key: str, groups: collections.abc.Sequence[str] = []) -> str:
        """
        A value; in the first of groups that has it, in any group where none is named.
        """
    def thermal(self, band: str) -> tuple[tuple[float, float], float, float]:
        """
        Level 1: (gain, k1, k2).
        """
    @property
    def collection(self) -> int:
        ...
    @property
    def name(self) -> str:
        ...
    @property
    def spacecraft(self) -> str:
        ...
    @property
    def sun_elevation(self) -> float:
        """
        Degrees.
        """
def band_radiance(spectral: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], bandwidth: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> typing.Any:
    """
    W m-2 sr-1 um-1 over a band (um) as nW cm-2 sr-1.
    """
def black_marble_radiance(stored: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], scale_factor: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], fill: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> typing.Any:
    """
    VNP46, scale and fill as the file states them.
    """
def brightness_temperature(dn: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], gain: tuple[typing.SupportsFloat, typing.SupportsFloat], k1: typing.SupportsFloat, k2: typing.SupportsFloat) -> typing.Any:
    """
    Level 1: K2 / ln(K1 / (DN * gain[0] + gain[1]) + 1), K; NaN at fill 0.
    """
def check_kelvin(minimum: typing.SupportsFloat, maximum: typing.SupportsFloat, file: str) -> None:
    """
    ValueError outside 100 to 400 K, naming the file.
    """
def clear_sky(values: typing.Annotated[numpy.typing.ArrayLike, numpy.uint16], scheme: str, file: str = 'quality band') -> typing.Any:
    """
    True where the ground is seen. uint16 of any shape; refuses values of another collection.
    """
def dmsp_light(dn: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> typing.Any:
    """
    0 to 63; NaN above (fill).
    """
def level2_reflectance(dn: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> typing.Any:
    """
    Landsat Collection 2 level 2: surface reflectance; NaN outside DN 1 to 65455.
    """
def level2_temperature(dn: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> typing.Any:
    """
    Landsat Collection 2 level 2: surface temperature of ST_B10, K; NaN at fill.
    """
def luojia_radiance(dn: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], bandwidth: typing.Annotated[numpy.typing.ArrayLike, numpy.float64] = 0.52) -> typing.Any:
    """
    Luojia-1 01, nW cm-2 sr-1.
    """
def ndmvi(near_infrared: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], red: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], least_near_infrared: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], least_red: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> typing.Any:
    """
    Mountain vegetation: NDVI corrected by the scene's smallest reflectances.
    """
def ndvi(near_infrared: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], red: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> typing.Any:
    """
    Vegetation: (N - R) / (N + R).
    """
def ndwi(green: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], near_infrared: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> typing.Any:
    """
    Open water: (G - N) / (G + N), McFeeters 1996.
    """
def normalized_difference(a: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], b: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> typing.Any:
    """
    (a - b) / (a + b); NaN where the sum is not above 0.
    """
def quality_bits(value: typing.SupportsInt, scheme: str) -> dict:
    """
    What the bits of one value say.
    """
def quality_scheme(file: str) -> str:
    """
    "qa_pixel" (Collection 2) or "bqa" (Collection 1 level 1), from a file's name.
    """
def sdgsat_spectral_radiance(dn: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], gain: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], bias: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> typing.Any:
    """
    SDGSAT-1 GLI, W m-2 sr-1 um-1; NaN at fill 0.
    """
def temperature_units(stated: str, option: str = '', file: str = 'raster') -> str:
    """
    "kelvin" or "celsius": what a file states, or the option; ValueError where neither says.
    """
def thermal_band(name: str) -> tuple[tuple[float, float], float, float]:
    """
    (gain, k1, k2) of a thermal band for scenes without an MTL file.
    """
def tm5_reflectance_gain(band: typing.SupportsInt, year: typing.SupportsInt, distance: typing.SupportsFloat = 1.0) -> tuple[float, float]:
    """
    Landsat 5 TM without an MTL file: the gain of toa_reflectance. distance: earth to sun, AU.
    """
def to_kelvin(values: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], units: str) -> typing.Any:
    ...
def toa_reflectance(dn: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], gain: tuple[typing.SupportsFloat, typing.SupportsFloat], sun_elevation: typing.SupportsFloat) -> typing.Any:
    """
    Level 1: (DN * gain[0] + gain[1]) / sin(sun elevation in degrees); NaN at fill 0.
    """
def viirs_monthly_radiance(value: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], cloud_free_observations: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> typing.Any:
    """
    NaN without an observation; negative values stay.
    """
DMSP_SATURATION: float = 63.0
OLI_REFLECTANCE_GAIN: tuple = (2e-05, -0.1)
SDGSAT_BANDWIDTHS: dict = {'red': 0.294, 'green': 0.106, 'blue': 0.102}
