// Every read, write, flush, truncation, open and close that GDAL makes, failing one at a time: a
// typed error and no output, or the right result. Never a wrong one.
#include <doctest/doctest.h>

#include <random>

#include "deeplight/core/errors.hpp"
#include "deeplight/raster/raster_reader.hpp"
#include "deeplight/raster/raster_writer.hpp"
#include "raster/fault_cases.hpp"

using namespace deeplight;
using namespace deeplight::test;

TEST_CASE("faults: reading gives an error that names the file, or the right values") {
  for (const ReadCase& kind : read_cases()) {
    CAPTURE(kind.name);
    const FaultCounts counts = fail_every_read(kind, 1);
    CHECK(counts.injected > 8);
    CHECK(counts.refused > 0);
    CHECK(counts.silent == 0);
    CHECK(counts.untyped == 0);
  }
}

TEST_CASE("faults: writing gives an error and no output, or the right raster") {
  for (const WriteCase& kind : write_cases()) {
    CAPTURE(kind.name);
    const FaultCounts counts = fail_every_write(kind, 1);
    CHECK(counts.injected > 8);
    CHECK(counts.refused > 0);
    CHECK(counts.silent == 0);
    CHECK(counts.untyped == 0);
    CHECK(counts.leftovers == 0);
  }
}

TEST_CASE("damage: truncated at every block edge, and single bits flipped") {
  std::mt19937_64 random(7);
  for (const ReadCase& kind : read_cases()) {
    CAPTURE(kind.name);
    const FaultCounts cut = truncate_at_block_edges(kind);
    CHECK(cut.injected >= 12);
    CHECK(cut.refused == cut.injected);
    const TemporaryFolder folder;
    make_case(folder / "whole.tif", kind);
    const FaultCounts flipped = damage(folder / "whole.tif", folder / "damaged.tif", random, 150);
    CHECK(flipped.silent == 0);
    CHECK(flipped.untyped == 0);
    CHECK(flipped.refused > 0);
  }
}
