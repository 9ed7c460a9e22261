// MTL files: both collections' groups, keys that stand in two groups, hostile text.
#include "deeplight/radiometry/mtl.hpp"

#include <doctest/doctest.h>

#include <string>

#include "deeplight/core/errors.hpp"
#include "temporary_folder.hpp"

using deeplight::FileError;
using deeplight::FormatError;
using deeplight::radiometry::Mtl;

namespace {

constexpr const char* level2 = R"(GROUP = LANDSAT_METADATA_FILE
  GROUP = PRODUCT_CONTENTS
    PROCESSING_LEVEL = "L2SP"
    COLLECTION_NUMBER = 02
  END_GROUP = PRODUCT_CONTENTS
  GROUP = IMAGE_ATTRIBUTES
    SPACECRAFT_ID = "LANDSAT_9"
    SUN_ELEVATION = 58.25
  END_GROUP = IMAGE_ATTRIBUTES
  GROUP = LEVEL2_SURFACE_REFLECTANCE_PARAMETERS
    REFLECTANCE_MULT_BAND_4 = 2.75e-05
    REFLECTANCE_ADD_BAND_4 = -0.2
  END_GROUP = LEVEL2_SURFACE_REFLECTANCE_PARAMETERS
  GROUP = LEVEL1_RADIOMETRIC_RESCALING
    RADIANCE_MULT_BAND_10 = 3.8000E-04
    RADIANCE_ADD_BAND_10 = 0.10000
    REFLECTANCE_MULT_BAND_4 = 2.0000E-05
    REFLECTANCE_ADD_BAND_4 = -0.100000
  END_GROUP = LEVEL1_RADIOMETRIC_RESCALING
  GROUP = LEVEL1_THERMAL_CONSTANTS
    K1_CONSTANT_BAND_10 = 799.0284
    K2_CONSTANT_BAND_10 = 1329.2405
  END_GROUP = LEVEL1_THERMAL_CONSTANTS
END_GROUP = LANDSAT_METADATA_FILE
END
)";

}  // namespace

TEST_CASE("values, gains and constants of a level-2 file are those of their groups") {
  const Mtl mtl = Mtl::parse(level2, "a_MTL.txt");
  CHECK(mtl.collection() == 2);
  CHECK(mtl.spacecraft() == "LANDSAT_9");
  CHECK(mtl.sun_elevation() == 58.25);
  CHECK(mtl.text("PROCESSING_LEVEL") == "L2SP");
  CHECK(mtl.reflectance("4").multiply == 2e-5);
  CHECK(mtl.reflectance("4").add == -0.1);
  CHECK(mtl.thermal("10").radiance.multiply == 3.8e-4);
  CHECK(mtl.thermal("10").k1 == 799.0284);
  CHECK_THROWS_WITH_AS(mtl.number("REFLECTANCE_MULT_BAND_4"),
                       doctest::Contains("LEVEL2_SURFACE_REFLECTANCE_PARAMETERS"), FormatError);
  CHECK_THROWS_WITH_AS(mtl.thermal("11"), doctest::Contains("RADIANCE_MULT_BAND_11"), FormatError);
  CHECK_THROWS_WITH_AS(mtl.number("SPACECRAFT_ID"), doctest::Contains("must be a number"),
                       FormatError);
}

TEST_CASE("the groups of collection 1, and Windows line ends") {
  std::string text =
      "GROUP = L1_METADATA_FILE\r\n  GROUP = METADATA_FILE_INFO\r\n    COLLECTION_NUMBER = 01\r\n"
      "  END_GROUP = METADATA_FILE_INFO\r\n  GROUP = RADIOMETRIC_RESCALING\r\n"
      "    RADIANCE_MULT_BAND_10 = 3.3420E-04\r\n    RADIANCE_ADD_BAND_10 = 0.10000\r\n"
      "  END_GROUP = RADIOMETRIC_RESCALING\r\n  GROUP = TIRS_THERMAL_CONSTANTS\r\n"
      "    K1_CONSTANT_BAND_10 = 774.8853\r\n    K2_CONSTANT_BAND_10 = 1321.0789\r\n"
      "  END_GROUP = TIRS_THERMAL_CONSTANTS\r\nEND_GROUP = L1_METADATA_FILE\r\nEND\r\n";
  const Mtl mtl = Mtl::parse(text, "a");
  CHECK(mtl.collection() == 1);
  CHECK(mtl.thermal("10").k2 == deeplight::radiometry::tirs_band10.k2);
}

TEST_CASE("text that is no MTL file is refused") {
  for (const char* text : {"", "\n\n", "END\n", "hello\n", "= 3\n", "GROUP = A\nX = 1\n",
                           "GROUP = A\nX = 1\nEND_GROUP = B\n", "X = 1\nEND_GROUP = A\n",
                           "GROUP = A\nEND_GROUP = A\n"}) {
    CHECK_THROWS_AS(Mtl::parse(text, "a"), FormatError);
  }
  CHECK_THROWS_AS(Mtl::parse(std::string((1 << 20) + 1, 'x'), "a"), FormatError);
  for (const char* text : {"X = 1e999", "X = nan", "X = 1 2", "X = "}) {
    CHECK_THROWS_AS(Mtl::parse(text, "a").number("X"), FormatError);
  }
  CHECK_THROWS_AS(Mtl::parse("COLLECTION_NUMBER = 3", "a").collection(), FormatError);
  CHECK_THROWS_AS(Mtl::read("/nowhere/a_MTL.txt"), FileError);
  const deeplight::testing::TemporaryFolder folder;
  CHECK_THROWS_AS(Mtl::read(folder / "."), FileError);
}
