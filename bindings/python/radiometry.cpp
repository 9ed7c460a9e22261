// Radiometry as Python sees it: formulas over NumPy arrays of any shape, in float64, NaN for fill.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "deeplight/radiometry/indices.hpp"
#include "deeplight/radiometry/landsat.hpp"
#include "deeplight/radiometry/landsat_quality.hpp"
#include "deeplight/radiometry/mtl.hpp"
#include "deeplight/radiometry/night_lights.hpp"
#include "deeplight/radiometry/temperature.hpp"

namespace deeplight::python {
namespace {

namespace py = pybind11;
namespace rm = deeplight::radiometry;
using namespace py::literals;
using QualityArray = py::array_t<std::uint16_t, py::array::c_style>;
using Gain = std::pair<double, double>;

rm::LinearGain to_gain(const Gain& gain) {
  return {gain.first, gain.second};
}
Gain from_gain(const rm::LinearGain& gain) {
  return {gain.multiply, gain.add};
}
rm::QualityScheme to_scheme(const std::string& name) {
  return enum_from_string<rm::QualityScheme>(name);
}

void bind_landsat(py::module_& module) {
  module.def("level2_reflectance", py::vectorize(rm::level2_reflectance), "dn"_a,
             "Landsat Collection 2 level 2: surface reflectance; NaN outside DN 1 to 65455.");
  module.def("level2_temperature", py::vectorize(rm::level2_temperature), "dn"_a,
             "Landsat Collection 2 level 2: surface temperature of ST_B10, K; NaN at fill.");
  module.def(
      "toa_reflectance",
      [](const py::array_t<double>& dn, const Gain& gain, double sun_elevation) {
        rm::sine_of_elevation(sun_elevation);  // refused once, not for each pixel
        return py::vectorize([&](double value) {
          return rm::toa_reflectance(value, to_gain(gain), sun_elevation);
        })(dn);
      },
      "dn"_a, "gain"_a, "sun_elevation"_a,
      "Level 1: (DN * gain[0] + gain[1]) / sin(sun elevation in degrees); NaN at fill 0.");
  module.def(
      "brightness_temperature",
      [](const py::array_t<double>& dn, const Gain& gain, double k1, double k2) {
        const rm::ThermalBand band{to_gain(gain), k1, k2};
        return py::vectorize([&](double value) { return rm::brightness_temperature(value, band); })(
            dn);
      },
      "dn"_a, "gain"_a, "k1"_a, "k2"_a,
      "Level 1: K2 / ln(K1 / (DN * gain[0] + gain[1]) + 1), K; NaN at fill 0.");
  module.def(
      "thermal_band",
      [](const std::string& name) {
        const auto plain = [](const rm::ThermalBand& band) {
          return std::make_tuple(from_gain(band.radiance), band.k1, band.k2);
        };
        if (name == "tirs_band10") return plain(rm::tirs_band10);
        if (name == "tirs_band11") return plain(rm::tirs_band11);
        if (name == "tm5_band6") return plain(rm::tm5_band6);
        throw InvalidArgument(
            "thermal bands with known constants: tirs_band10, tirs_band11, "
            "tm5_band6; got '" +
            name + "'");
      },
      "name"_a, "(gain, k1, k2) of a thermal band for scenes without an MTL file.");
  module.def(
      "tm5_reflectance_gain",
      [](int band, int year, double distance) {
        return from_gain(rm::reflectance_gain(rm::tm5_band(band, year), distance));
      },
      "band"_a, "year"_a, "distance"_a = 1.0,
      "Landsat 5 TM without an MTL file: the gain of toa_reflectance. distance: earth to sun, AU.");
  module.attr("OLI_REFLECTANCE_GAIN") = from_gain(rm::oli_reflectance_gain);
}

void bind_quality(py::module_& module) {
  module.def(
      "quality_scheme",
      [](const std::string& file) { return enum_to_string(rm::quality_scheme(file)); }, "file"_a,
      "\"qa_pixel\" (Collection 2) or \"bqa\" (Collection 1 level 1), from a file's name.");
  module.def(
      "clear_sky",
      [](const QualityArray& values, const std::string& scheme, const std::string& file) {
        const rm::QualityScheme known = to_scheme(scheme);
        rm::check_quality(values.data(), static_cast<std::size_t>(values.size()), known, file);
        return py::vectorize([known](std::uint16_t value) { return rm::clear_sky(value, known); })(
            values);
      },
      "values"_a, "scheme"_a, "file"_a = "quality band",
      "True where the ground is seen. uint16 of any shape; refuses values of another collection.");
  module.def(
      "quality_bits",
      [](std::uint16_t value, const std::string& scheme) {
        const rm::Quality q = rm::quality(value, to_scheme(scheme));
        py::dict bits;
        bits["fill"] = q.fill;
        bits["cloud"] = q.cloud;
        bits["dilated_cloud"] = q.dilated_cloud;
        bits["cirrus"] = q.cirrus;
        bits["shadow"] = q.shadow;
        bits["snow"] = q.snow;
        bits["clear"] = q.clear;
        bits["water"] = q.water;
        bits["occluded"] = q.occluded;
        bits["saturated_bands"] = q.saturated_bands;
        bits["cloud_confidence"] = q.cloud_confidence;
        bits["shadow_confidence"] = q.shadow_confidence;
        bits["snow_confidence"] = q.snow_confidence;
        bits["cirrus_confidence"] = q.cirrus_confidence;
        return bits;
      },
      "value"_a, "scheme"_a, "What the bits of one value say.");
}

void bind_mtl(py::module_& module) {
  const std::vector<std::string> any;
  py::class_<rm::Mtl>(module, "Mtl", py::module_local(), "A Landsat MTL text file.")
      .def(py::init([](const std::filesystem::path& path) { return rm::Mtl::read(path); }),
           "path"_a)
      .def_static("parse", &rm::Mtl::parse, "text"_a, "name"_a = "MTL")
      .def_property_readonly("name", &rm::Mtl::name)
      .def("text", &rm::Mtl::text, "key"_a, "groups"_a = any,
           "A value; in the first of groups that has it, in any group where none is named.")
      .def("number", &rm::Mtl::number, "key"_a, "groups"_a = any)
      .def(
          "__contains__",
          [](const rm::Mtl& self, const std::string& key) {
            for (const auto& entry : self.entries()) {
              if (entry.key == key) return true;
            }
            return false;
          },
          "key"_a)
      .def_property_readonly("collection", &rm::Mtl::collection)
      .def_property_readonly("spacecraft", &rm::Mtl::spacecraft)
      .def_property_readonly("sun_elevation", &rm::Mtl::sun_elevation, "Degrees.")
      .def(
          "reflectance",
          [](const rm::Mtl& self, const std::string& band) {
            return from_gain(self.reflectance(band));
          },
          "band"_a, "Level 1: the gain of toa_reflectance.")
      .def(
          "thermal",
          [](const rm::Mtl& self, const std::string& band) {
            const rm::ThermalBand t = self.thermal(band);
            return std::make_tuple(from_gain(t.radiance), t.k1, t.k2);
          },
          "band"_a, "Level 1: (gain, k1, k2).");
}

void bind_indices(py::module_& module) {
  module.def("normalized_difference", py::vectorize(rm::normalized_difference), "a"_a, "b"_a,
             "(a - b) / (a + b); NaN where the sum is not above 0.");
  module.def("ndvi", py::vectorize(rm::ndvi), "near_infrared"_a, "red"_a,
             "Vegetation: (N - R) / (N + R).");
  module.def("ndwi", py::vectorize(rm::ndwi), "green"_a, "near_infrared"_a,
             "Open water: (G - N) / (G + N), McFeeters 1996.");
  module.def("ndmvi", py::vectorize(rm::ndmvi), "near_infrared"_a, "red"_a, "least_near_infrared"_a,
             "least_red"_a,
             "Mountain vegetation: NDVI corrected by the scene's smallest reflectances.");
}

void bind_night_lights(py::module_& module) {
  module.def("luojia_radiance", py::vectorize(rm::luojia_radiance), "dn"_a,
             "bandwidth"_a = rm::luojia_bandwidth, "Luojia-1 01, nW cm-2 sr-1.");
  module.def("sdgsat_spectral_radiance", py::vectorize(rm::sdgsat_spectral_radiance), "dn"_a,
             "gain"_a, "bias"_a, "SDGSAT-1 GLI, W m-2 sr-1 um-1; NaN at fill 0.");
  module.def("band_radiance", py::vectorize(rm::band_radiance), "spectral"_a, "bandwidth"_a,
             "W m-2 sr-1 um-1 over a band (um) as nW cm-2 sr-1.");
  module.def("viirs_monthly_radiance", py::vectorize(rm::viirs_monthly_radiance), "value"_a,
             "cloud_free_observations"_a, "NaN without an observation; negative values stay.");
  module.def("black_marble_radiance", py::vectorize(rm::black_marble_radiance), "stored"_a,
             "scale_factor"_a, "fill"_a, "VNP46, scale and fill as the file states them.");
  module.def("dmsp_light", py::vectorize(rm::dmsp_light), "dn"_a, "0 to 63; NaN above (fill).");
  module.attr("DMSP_SATURATION") = rm::dmsp_saturation;
  module.attr("SDGSAT_BANDWIDTHS") =
      py::dict("red"_a = rm::sdgsat_red_bandwidth, "green"_a = rm::sdgsat_green_bandwidth,
               "blue"_a = rm::sdgsat_blue_bandwidth);
}

void bind_temperature(py::module_& module) {
  module.def(
      "temperature_units",
      [](const std::string& stated, const std::string& option, const std::string& file) {
        return enum_to_string(rm::settle_temperature_units(stated, option, file));
      },
      "stated"_a, "option"_a = "", "file"_a = "raster",
      "\"kelvin\" or \"celsius\": what a file states, or the option; ValueError where neither "
      "says.");
  module.def(
      "to_kelvin",
      [](const py::array_t<double>& values, const std::string& units) {
        const auto known = enum_from_string<rm::TemperatureUnits>(units);
        return py::vectorize([known](double v) { return rm::to_kelvin(v, known); })(values);
      },
      "values"_a, "units"_a);
  module.def("check_kelvin", &rm::check_kelvin, "minimum"_a, "maximum"_a, "file"_a,
             "ValueError outside 100 to 400 K, naming the file.");
}

}  // namespace

void bind_radiometry(py::module_& module) {
  auto radiometry = module.def_submodule("radiometry", "Sensor formulas, float64, NaN for fill.");
  bind_landsat(radiometry);
  bind_quality(radiometry);
  bind_mtl(radiometry);
  bind_indices(radiometry);
  bind_night_lights(radiometry);
  bind_temperature(radiometry);
}

}  // namespace deeplight::python
