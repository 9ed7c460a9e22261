// Night-light sensors: digital numbers to radiance, fill values, saturation. float64, NaN for fill.
//
// Radiances are in nW cm-2 sr-1 unless a name says spectral (W m-2 sr-1 um-1). Constants: the
// producers' format documents, named at each.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

namespace deeplight::radiometry {

inline constexpr double no_value = std::numeric_limits<double>::quiet_NaN();

/// Width of Luojia-1 01's band, 460 to 980 nm, um.
inline constexpr double luojia_bandwidth = 0.52;
/// Widths of SDGSAT-1 GLI's red, green and blue bands, um.
inline constexpr double sdgsat_red_bandwidth = 0.294;
inline constexpr double sdgsat_green_bandwidth = 0.106;
inline constexpr double sdgsat_blue_bandwidth = 0.102;

/// W m-2 sr-1 um-1 over a band of `bandwidth` um, as nW cm-2 sr-1.
constexpr double band_radiance(double spectral, double bandwidth) {
  return spectral * bandwidth * 1e5;  // 1 W m-2 = 1e9 nW / 1e4 cm2
}

/// Luojia-1 01: L = DN^1.5 * 1e-10 W m-2 sr-1 um-1 (Luojia-1 data users' guide). NaN below 0.
inline double luojia_spectral_radiance(double dn) {
  return dn < 0 ? no_value : dn * std::sqrt(dn) * 1e-10;
}
inline double luojia_radiance(double dn, double bandwidth = luojia_bandwidth) {
  return band_radiance(luojia_spectral_radiance(dn), bandwidth);
}

/// SDGSAT-1 GLI: L = DN * gain + bias, W m-2 sr-1 um-1, gain and bias of a scene's calibration file
/// (RADIANCE_GAIN_BAND_*, RADIANCE_BIAS_BAND_*). DN 0 is fill.
constexpr double sdgsat_spectral_radiance(double dn, double gain, double bias) {
  return dn == 0 ? no_value : dn * gain + bias;
}

/// VIIRS DNB monthly composites (EOG): radiance as stored where cloud-free observations exist.
/// Negative values are noise and kept; a pixel without an observation is not dark, it is unknown.
constexpr double viirs_monthly_radiance(double value, double cloud_free_observations) {
  return cloud_free_observations > 0 ? value : no_value;
}

/// Black Marble VNP46, from what the file states (`scale_factor`, `_FillValue`). Collection 1 has
/// uint16 x 0.1 and fill 65535, Collection 2 floats.
constexpr double black_marble_radiance(double stored, double scale_factor, double fill) {
  return stored == fill ? no_value : stored * scale_factor;
}
/// VNP46A4 quality: 0 good, 1 poor, 2 gap-filled, 255 fill.
constexpr bool black_marble_usable(std::uint8_t quality, bool poor = false, bool filled = false) {
  return quality == 0 || (poor && quality == 1) || (filled && quality == 2);
}

/// DMSP-OLS stable lights v4: 0 to 63, uncalibrated, 255 fill.
inline constexpr double dmsp_saturation = 63.0;
constexpr double dmsp_light(double dn) {
  return dn > dmsp_saturation ? no_value : dn;
}
constexpr bool dmsp_saturated(double dn) {
  return dn == dmsp_saturation;
}

}  // namespace deeplight::radiometry
