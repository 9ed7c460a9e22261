// Quality bits: each bit against its place in the format documents; collections are not mixed.
#include "deeplight/radiometry/landsat_quality.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

namespace rm = deeplight::radiometry;
using rm::QualityScheme;

TEST_CASE("QA_PIXEL: every bit") {
  const auto read = [](int value) {
    return rm::quality(static_cast<std::uint16_t>(value), QualityScheme::qa_pixel);
  };
  CHECK(read(1).fill);
  CHECK(read(2).dilated_cloud);
  CHECK(read(4).cirrus);
  CHECK(read(8).cloud);
  CHECK(read(16).shadow);
  CHECK(read(32).snow);
  CHECK(read(64).clear);
  CHECK(read(128).water);
  CHECK(read(3 << 8).cloud_confidence == 3);
  CHECK(read(2 << 10).shadow_confidence == 2);
  CHECK(read(1 << 12).snow_confidence == 1);
  CHECK(read(3 << 14).cirrus_confidence == 3);
}

TEST_CASE("QA_PIXEL: the values that USGS lists (LSDS-1619, table 6-3)") {
  const auto clear = [](int value) {
    return rm::clear_sky(static_cast<std::uint16_t>(value), QualityScheme::qa_pixel);
  };
  // Land, water, snow, land with medium confidence of cloud; fill, clouds, shadow, cirrus.
  for (const int value : {21824, 21952, 30048, 22080}) CHECK(clear(value));
  for (const int value : {1, 22280, 23888, 54596}) CHECK_FALSE(clear(value));
  CHECK_FALSE(rm::clear_sky(21824, QualityScheme::qa_pixel, 4));  // a saturated band
}

TEST_CASE("BQA: every bit, and what hides the ground") {
  const auto read = [](int value) {
    return rm::quality(static_cast<std::uint16_t>(value), QualityScheme::bqa);
  };
  CHECK(read(1).fill);
  CHECK(read(2).occluded);
  CHECK(read(2 << 2).saturated_bands == 2);
  CHECK(read(16).cloud);
  CHECK(read(2 << 5).cloud_confidence == 2);
  CHECK(read(3 << 7).shadow);
  CHECK(read(3 << 9).snow);
  CHECK(read(3 << 11).cirrus);
  const auto clear = [](int value) {
    return rm::clear_sky(static_cast<std::uint16_t>(value), QualityScheme::bqa);
  };
  CHECK(clear(2720));  // all confidences low
  CHECK(clear(2720 | 3 << 9));
  for (const int hidden : {1, 2, 4, 16, 3 << 5, 3 << 7, 3 << 11}) CHECK_FALSE(clear(2720 | hidden));
}

TEST_CASE("a band of one collection is refused as the other") {
  const std::vector<std::uint16_t> first{2720, 2800};
  const std::vector<std::uint16_t> second{21824, 5440};
  CHECK_NOTHROW(rm::check_quality(first.data(), 2, QualityScheme::bqa, "a"));
  CHECK_NOTHROW(rm::check_quality(second.data(), 2, QualityScheme::qa_pixel, "a"));
  CHECK_THROWS_WITH_AS(rm::check_quality(first.data(), 2, QualityScheme::qa_pixel, "a_QA.TIF"),
                       doctest::Contains("'a_QA.TIF' holds 2720"), deeplight::InvalidArgument);
  for (const std::uint16_t value : second) {
    CHECK_FALSE(rm::quality_plausible(value, QualityScheme::bqa));
  }
}

TEST_CASE("the name says which collection") {
  CHECK(rm::quality_scheme("d/LC08_L2SP_195025_20200707_20200912_02_T1_QA_PIXEL.TIF") ==
        QualityScheme::qa_pixel);
  CHECK(rm::quality_scheme("LC08_L1TP_195025_20130707_20170503_01_T1_BQA.TIF") ==
        QualityScheme::bqa);
  CHECK(rm::quality_scheme("d/bqa.tif") == QualityScheme::bqa);
  for (const char* name :
       {"LC08_L1TP_195025_20130707_01_T1_pixel_qa.tif", "quality.tif", "QA_PIXEL_and_BQA.tif",
        "LC08_195025_20130707_02_T1_BQA.TIF", "LC08_195025_20130707_01_RT_QA_PIXEL.TIF"}) {
    CHECK_THROWS_AS(rm::quality_scheme(name), deeplight::InvalidArgument);
  }
}
