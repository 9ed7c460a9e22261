// Landsat formulas against their definitions in float64, and values worked out by hand.
#include "deeplight/radiometry/landsat.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "deeplight/core/errors.hpp"
#include "deeplight/radiometry/indices.hpp"
#include "deeplight/radiometry/night_lights.hpp"
#include "deeplight/radiometry/temperature.hpp"

namespace rm = deeplight::radiometry;

TEST_CASE("level 2: scale, offset, fill and the end of the valid range") {
  CHECK(rm::level2_reflectance(1) == doctest::Approx(2.75e-5 - 0.2).epsilon(1e-14));
  CHECK(rm::level2_reflectance(18639) == doctest::Approx(0.3125725).epsilon(1e-12));
  CHECK(rm::level2_reflectance(65455) == doctest::Approx(1.6000125).epsilon(1e-12));
  CHECK(std::isnan(rm::level2_reflectance(0)));
  CHECK(std::isnan(rm::level2_reflectance(65456)));
  CHECK(rm::level2_temperature(44177) == doctest::Approx(299.99786954).epsilon(1e-9));
  CHECK(std::isnan(rm::level2_temperature(0)));
}

TEST_CASE("brightness temperature inverts Planck's law in the band") {
  for (const rm::ThermalBand& band : {rm::tirs_band10, rm::tirs_band11, rm::tm5_band6}) {
    for (const double kelvin : {250.0, 296.65, 330.0}) {
      const double radiance = band.k1 / (std::exp(band.k2 / kelvin) - 1.0);
      const double dn = (radiance - band.radiance.add) / band.radiance.multiply;
      CHECK(rm::brightness_temperature(dn, band) == doctest::Approx(kelvin).epsilon(1e-12));
    }
    CHECK(std::isnan(rm::brightness_temperature(0, band)));
  }
  CHECK(std::isnan(rm::brightness_temperature(-1.0, 607.76, 1260.56)));
}

TEST_CASE("reflectance at the top of the atmosphere divides by the sine of the elevation") {
  CHECK(rm::toa_reflectance(10000, rm::oli_reflectance_gain, 30) ==
        doctest::Approx(0.2).epsilon(1e-12));
  CHECK(rm::toa_reflectance(10000, rm::oli_reflectance_gain, 90) ==
        doctest::Approx(0.1).epsilon(1e-12));
  CHECK(std::isnan(rm::toa_reflectance(0, rm::oli_reflectance_gain, 30)));
  CHECK_THROWS_AS(rm::toa_reflectance(1, rm::oli_reflectance_gain, 0), deeplight::InvalidArgument);
  CHECK_THROWS_AS(rm::toa_reflectance(1, rm::oli_reflectance_gain, 91), deeplight::InvalidArgument);
}

TEST_CASE("Landsat 5 gains are those of Chander 2009, table 3") {
  // Published gain and bias, six digits and three.
  const double gains[] = {0.671339, 1.322205, 1.043976, 0.876024, 0.120354, 0.0, 0.065551};
  const double biases[] = {-2.19, -4.16, -2.21, -2.39, -0.49, 0.0, -0.22};
  for (const int band : {1, 2, 3, 4, 5, 7}) {
    const auto found = rm::tm5_band(band, 1988).radiance;
    CHECK(found.multiply == doctest::Approx(gains[band - 1]).epsilon(1e-6));
    CHECK(std::abs(found.add - biases[band - 1]) < 0.006);
  }
  CHECK(rm::tm5_band(1, 1992).radiance.multiply == doctest::Approx(0.765827).epsilon(1e-6));
  CHECK(rm::tm5_band(2, 1992).radiance.multiply == doctest::Approx(1.448189).epsilon(1e-6));
  CHECK_THROWS_AS(rm::tm5_band(6, 1988), deeplight::InvalidArgument);
  CHECK_THROWS_AS(rm::tm5_band(3, 1980), deeplight::InvalidArgument);
  const auto red = rm::reflectance_gain(rm::tm5_band(3, 1988), 1.0);
  CHECK(red.multiply == doctest::Approx(M_PI * 1.043976378 / 1536).epsilon(1e-9));
}

TEST_CASE("indices: values, signs, and no value without a positive denominator") {
  CHECK(rm::ndvi(0.5, 0.1) == doctest::Approx(0.4 / 0.6));
  CHECK(rm::ndwi(0.1, 0.3) == doctest::Approx(-0.5));
  CHECK(std::isnan(rm::ndvi(0, 0)));
  CHECK(std::isnan(rm::ndvi(-0.2, 0.1)));
  CHECK(std::isnan(rm::ndvi(NAN, 0.1)));
  CHECK(std::isnan(rm::ndvi(INFINITY, 0.1)));
  CHECK(rm::ndmvi(0.5, 0.1, 0.0, 0.0) == doctest::Approx(rm::ndvi(0.5, 0.1)));
  CHECK(rm::ndmvi(0.5, 0.1, 0.05, 0.01) == doctest::Approx(0.44 / 0.54));
  CHECK(std::isnan(rm::ndmvi(0.05, 0.01, 0.05, 0.01)));
}

TEST_CASE("night lights: units, fill, saturation") {
  CHECK(rm::luojia_spectral_radiance(10000) == doctest::Approx(1e-4));
  CHECK(rm::luojia_radiance(10000) == doctest::Approx(1e-4 * 0.52 * 1e5));
  CHECK(std::isnan(rm::luojia_radiance(-1)));
  CHECK(rm::sdgsat_spectral_radiance(7, 0.5, 0.25) == doctest::Approx(3.75));
  CHECK(std::isnan(rm::sdgsat_spectral_radiance(0, 0.5, 0.25)));
  CHECK(rm::viirs_monthly_radiance(-0.7, 3) == -0.7);
  CHECK(std::isnan(rm::viirs_monthly_radiance(0.0, 0)));
  CHECK(rm::black_marble_radiance(123, 0.1, 65535) == doctest::Approx(12.3));
  CHECK(std::isnan(rm::black_marble_radiance(65535, 0.1, 65535)));
  CHECK(rm::black_marble_usable(0));
  CHECK_FALSE(rm::black_marble_usable(1));
  CHECK(rm::black_marble_usable(1, true));
  CHECK_FALSE(rm::black_marble_usable(255, true, true));
  CHECK(rm::dmsp_light(63) == 63);
  CHECK(rm::dmsp_saturated(63));
  CHECK(std::isnan(rm::dmsp_light(255)));
}

TEST_CASE("temperatures: units are read or given, never guessed") {
  using rm::TemperatureUnits;
  for (const char* text : {"K", "kelvin", " Kelvins ", "degK", "\xc2\xb0K"}) {
    CHECK(rm::temperature_units(text) == TemperatureUnits::kelvin);
  }
  for (const char* text : {"C", "degC", "Celsius", "degrees_Celsius", "degree Celsius",
                           "\xc2\xb0"
                           "C"}) {
    CHECK(rm::temperature_units(text) == TemperatureUnits::celsius);
  }
  for (const char* text : {"", "m", "kg", "F", "DN", "nW cm-2 sr-1"}) {
    CHECK_FALSE(rm::temperature_units(text).has_value());
  }
  CHECK(rm::settle_temperature_units("K", "", "a.tif") == TemperatureUnits::kelvin);
  CHECK(rm::settle_temperature_units("", "celsius", "a.tif") == TemperatureUnits::celsius);
  CHECK_THROWS_WITH_AS(rm::settle_temperature_units("", "", "a.tif"),
                       doctest::Contains("'a.tif' states no units"), deeplight::InvalidArgument);
  CHECK_THROWS_WITH_AS(rm::settle_temperature_units("K", "celsius", "a.tif"),
                       doctest::Contains("the option says"), deeplight::InvalidArgument);
  CHECK_THROWS_AS(rm::settle_temperature_units("m", "", "a.tif"), deeplight::InvalidArgument);
  CHECK(rm::to_kelvin(20, TemperatureUnits::celsius) == doctest::Approx(293.15));
  CHECK(rm::from_kelvin(rm::to_kelvin(20, TemperatureUnits::celsius), TemperatureUnits::celsius) ==
        doctest::Approx(20));
  CHECK_NOTHROW(rm::check_kelvin(242.5, 322.3, "a.tif"));
  CHECK_THROWS_WITH_AS(rm::check_kelvin(20, 30, "a.tif"), doctest::Contains("'a.tif' holds 20 to"),
                       deeplight::InvalidArgument);
  CHECK_THROWS_AS(rm::check_kelvin(290, 401, "a.tif"), deeplight::InvalidArgument);
  CHECK_THROWS_AS(rm::check_kelvin(NAN, NAN, "a.tif"), deeplight::InvalidArgument);
}
