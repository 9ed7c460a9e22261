// Spectral indices of two reflectances, float64.
//
// NaN where an index is not defined: a band is not finite, or the denominator is not above 0. The
// second happens at 0/0 (two black pixels) and where atmospheric correction leaves negative
// reflectance, whose ratio means nothing.
#pragma once

#include <cmath>
#include <limits>

namespace deeplight::radiometry {

/// (a - b) / (a + b), in [-1, 1] for non-negative a and b; NaN as the file's head says.
inline double normalized_difference(double a, double b) {
  const double sum = a + b;
  if (!std::isfinite(sum) || !(sum > 0)) return std::numeric_limits<double>::quiet_NaN();
  return (a - b) / sum;
}

/// Normalised difference vegetation index (Rouse et al. 1974).
inline double ndvi(double near_infrared, double red) {
  return normalized_difference(near_infrared, red);
}

/// Normalised difference water index of open water (McFeeters 1996, doi:10.1080/01431169608948714).
inline double ndwi(double green, double near_infrared) {
  return normalized_difference(green, near_infrared);
}

/// Normalised difference mountain vegetation index: NDVI with the darkest values of the scene added
/// to its numerator and taken from its denominator, so that shade counts less.
///
/// ((N - R) + (N0 - R0)) / ((N + R) - (N0 + R0)), N0 and R0 the scene's smallest reflectances. An
/// interpretation: the definition was not at hand in its source. It leaves [-1, 1] near the darkest
/// pixels; NaN where the denominator is not above 0.
inline double ndmvi(double near_infrared, double red, double least_near_infrared,
                    double least_red) {
  const double above = (near_infrared - red) + (least_near_infrared - least_red);
  const double below = (near_infrared + red) - (least_near_infrared + least_red);
  if (!std::isfinite(above) || !std::isfinite(below) || !(below > 0)) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  return above / below;
}

}  // namespace deeplight::radiometry
