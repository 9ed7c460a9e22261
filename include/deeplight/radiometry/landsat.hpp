// Landsat: digital numbers to reflectance and kelvin, float64. NaN for fill and what is out of
// range.
//
// Level 2: Landsat Collection 2 Level 2 Science Product Guide (LSDS-1619). Level 1: the scene's MTL
// file (mtl.hpp); the constants below are for scenes without one. TM: Chander, Markham and Helder
// 2009, doi:10.1016/j.rse.2009.01.007, tables 3 and 5; its band 6 in the rounding of USGS's MTL
// files. TIRS: Landsat 8 Data Users Handbook (LSDS-1574).
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <string>

#include "deeplight/core/errors.hpp"

namespace deeplight::radiometry {

/// value = DN * multiply + add.
struct LinearGain {
  double multiply = 1.0;
  double add = 0.0;

  constexpr double operator()(double dn) const { return dn * multiply + add; }
};

/// Radiance of a thermal band (W m-2 sr-1 um-1) and the constants of Planck's law in it.
struct ThermalBand {
  LinearGain radiance;
  double k1 = 0.0;  ///< W m-2 sr-1 um-1
  double k2 = 0.0;  ///< K
};

// ---- Collection 2, level 2 ----------------------------------------------------------------------

inline constexpr LinearGain level2_reflectance_gain{2.75e-5, -0.2};
inline constexpr LinearGain level2_temperature_gain{0.00341802, 149.0};
inline constexpr double level2_least_dn = 1;        ///< 0 is fill
inline constexpr double level2_largest_dn = 65455;  ///< of reflectance

/// Surface reflectance; slightly negative and above 1 occur and are kept.
constexpr double level2_reflectance(double dn) {
  const bool valid = dn >= level2_least_dn && dn <= level2_largest_dn;
  return valid ? level2_reflectance_gain(dn) : std::numeric_limits<double>::quiet_NaN();
}

/// Surface temperature of ST_B10 (ST_B6 for TM and ETM+), K.
constexpr double level2_temperature(double dn) {
  return dn >= 1 && dn <= 65535 ? level2_temperature_gain(dn)
                                : std::numeric_limits<double>::quiet_NaN();
}

// ---- Level 1
// -------------------------------------------------------------------------------------

/// Landsat 8 reflectance at the top of the atmosphere, before the sun's angle.
inline constexpr LinearGain oli_reflectance_gain{2e-5, -0.1};

inline constexpr ThermalBand tirs_band10{{3.342e-4, 0.1}, 774.8853, 1321.0789};  ///< Landsat 8
inline constexpr ThermalBand tirs_band11{{3.342e-4, 0.1}, 480.8883, 1201.1442};  ///< Landsat 8
inline constexpr ThermalBand tm5_band6{{0.055375, 1.18243}, 607.76, 1260.56};    ///< Landsat 5

/// Landsat 5 TM, a reflective band: radiance, and the sun's irradiance in it (W m-2 um-1).
struct ReflectiveBand {
  LinearGain radiance;
  double irradiance = 0.0;
};

/// Landsat 5 TM bands 1 to 5 and 7 of scenes acquired until 1991 and processed since 2003.
///
/// (LMAX - LMIN) / 254 per DN; bands 1 and 2 had LMAX 193 and 365 from 1992.
/// @throws InvalidArgument  another band, or another time
inline ReflectiveBand tm5_band(int band, int year) {
  require((band >= 1 && band <= 5) || band == 7,
          "Landsat 5 TM has reflective bands 1 to 5 and 7, got ", band);
  require(year >= 1984 && year <= 2013, "Landsat 5 observed from 1984 to 2013, got ", year);
  struct Row {
    double least, largest, irradiance;
  };
  constexpr std::array<Row, 7> rows{{{-1.52, 193.0, 1983.0},
                                     {-2.84, 365.0, 1796.0},
                                     {-1.17, 264.0, 1536.0},
                                     {-1.51, 221.0, 1031.0},
                                     {-0.37, 30.2, 220.0},
                                     {0.0, 0.0, 0.0},
                                     {-0.15, 16.5, 83.44}}};
  Row row = rows[static_cast<std::size_t>(band - 1)];
  if (year <= 1991 && band == 1) row.largest = 169.0;
  if (year <= 1991 && band == 2) row.largest = 333.0;
  const double multiply = (row.largest - row.least) / 254.0;  // DN 1 to 255
  return {{multiply, row.least - multiply}, row.irradiance};
}

inline double sine_of_elevation(double degrees) {
  require(degrees > 0 && degrees <= 90, "the sun's elevation must lie in (0, 90] degrees, got ",
          degrees);
  return std::sin(degrees * std::numbers::pi / 180.0);
}

/// Reflectance at the top of the atmosphere: gain(DN) / sin(sun elevation). DN 0 is fill.
/// @throws InvalidArgument  elevation outside (0, 90] degrees
inline double toa_reflectance(double dn, const LinearGain& gain, double sun_elevation) {
  const double sine = sine_of_elevation(sun_elevation);
  return dn > 0 ? gain(dn) / sine : std::numeric_limits<double>::quiet_NaN();
}

/// The gain that makes `toa_reflectance` of a radiance gain: pi d^2 L / (ESUN sin(elevation)).
/// @param distance  earth to sun, astronomical units
inline LinearGain reflectance_gain(const ReflectiveBand& band, double distance) {
  const double factor = std::numbers::pi * distance * distance / band.irradiance;
  return {band.radiance.multiply * factor, band.radiance.add * factor};
}

/// Brightness temperature of a radiance, K: K2 / ln(K1 / L + 1). NaN where L is not above 0.
inline double brightness_temperature(double radiance, double k1, double k2) {
  if (!(radiance > 0)) return std::numeric_limits<double>::quiet_NaN();
  return k2 / std::log(k1 / radiance + 1.0);
}

/// Brightness temperature of a digital number, K. DN 0 is fill.
inline double brightness_temperature(double dn, const ThermalBand& band) {
  if (!(dn > 0)) return std::numeric_limits<double>::quiet_NaN();
  return brightness_temperature(band.radiance(dn), band.k1, band.k2);
}

}  // namespace deeplight::radiometry
