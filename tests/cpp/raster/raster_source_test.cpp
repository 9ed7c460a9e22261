// Names and formats that are opened: inner file systems, mosaics and what they name, subdatasets,
// several files as one raster, quality bits.
#include "deeplight/raster/raster_source.hpp"

#include <cpl_string.h>
#include <doctest/doctest.h>

#include <cstdlib>

#include "deeplight/core/errors.hpp"
#include "deeplight/raster/alignment.hpp"
#include "deeplight/raster/quality_mask.hpp"
#include "deeplight/raster/raster_reader.hpp"
#include "raster/test_rasters.hpp"

using namespace deeplight;
using namespace deeplight::test;

namespace {

std::string mosaic_of(const std::string& source, const std::string& band = "VRTSourcedRasterBand",
                      const std::string& more = "") {
  return R"(<VRTDataset rasterXSize="4" rasterYSize="4"><VRTRasterBand dataType="Float32" band="1" subClass=")" +
         band + R"(">)" + more + R"(<SimpleSource><SourceFilename relativeToVRT="1">)" + source +
         R"(</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>)";
}

void copy_as(const std::filesystem::path& from, const std::string& to, const char* driver) {
  GDALDataset* source = GDALDataset::FromHandle(GDALOpen(from.c_str(), GA_ReadOnly));
  REQUIRE(source != nullptr);
  GDALDataset* copy = GetGDALDriverManager()->GetDriverByName(driver)->CreateCopy(
      to.c_str(), source, FALSE, nullptr, nullptr, nullptr);
  REQUIRE(copy != nullptr);
  GDALClose(copy);
  GDALClose(source);
}

}  // namespace

TEST_CASE("names: what reaches beyond files of this machine is refused") {
  for (const char* name :
       {"a.tif", "/data/vsizip_files/a.tif", "/vsizip/f.zip/a.tif", "/vsitar//vsigzip/f.gz/a.tif",
        "/vsizip/{/vsizip/{f.zip}/g.zip}/a.tif", "NETCDF:\"f.nc\":light", "hdf5:f.h5://light",
        "ZARR:\"/data/a.zarr\":/light", "GTIFF_DIR:2:a.tif", "/vsisubfile/10_20,a.tif"}) {
    CAPTURE(name);
    CHECK_NOTHROW(check_raster_name(name));
  }
  for (const char* name :
       {"", "<VRTDataset/>", "MEM:::DATAPOINTER=1,PIXELS=1,LINES=1", "vrt://a.tif", "WMS:x.xml",
        "/vsistdin/", "/vsicrypt/a.tif", "/vsizip//vsicrypt/a.zip", "PG:dbname=x", "memory://x"}) {
    CAPTURE(name);
    CHECK_THROWS_AS(check_raster_name(name), InvalidArgument);
  }
  const std::vector<const char*> remote{"/vsicurl/http://a.org/a.tif",
                                        "/vsizip//vsicurl/http://a.org/a.zip",
                                        "/vsis3/bucket/a.tif",
                                        "/vsigs_streaming/bucket/a.tif",
                                        "/vsizip/{/vsiaz/c/a.zip}/a.tif",
                                        "http://a.org/a.tif",
                                        "NETCDF:\"http://a.org/f.nc\":light",
                                        "ZARR:\"/vsis3/bucket/a.zarr\""};
  for (const char* name : remote) {
    CAPTURE(name);
    CHECK(contains(message_of<InvalidArgument>([&] { check_raster_name(name); }),
                   "DEEPLIGHT_NETWORK=1"));
  }
  allow_network(true);
  for (const char* name : remote) CHECK_NOTHROW(check_raster_name(name));
  allow_network(false);
}

TEST_CASE("archives: zip, gzip and tar are read in place") {
  const TemporaryFolder folder;
  make_raster(folder / "a.tif", {});
  const std::string at = folder.path().string();
  REQUIRE(std::system(("cd " + at +
                       " && tar cf a.tar a.tif && gzip -k a.tif && python3 -c \"import "
                       "zipfile; zipfile.ZipFile('a.zip', 'w').write('a.tif')\"")
                          .c_str()) == 0);
  const std::size_t files = folder.files();
  for (const std::string& name :
       {"/vsizip/" + at + "/a.zip/a.tif", "/vsitar/" + at + "/a.tar/a.tif",
        "/vsigzip/" + at + "/a.tif.gz"}) {
    CAPTURE(name);
    CHECK(RasterReader(name).read().values(0, 3, 2) == 32);
  }
  CHECK(folder.files() == files);  // nothing is written beside an archive
}

TEST_CASE("mosaics: sources are held to the same rules") {
  const TemporaryFolder folder;
  make_raster(folder / "a.tif", {});
  std::ofstream(folder / "good.vrt") << mosaic_of("a.tif");
  CHECK(RasterReader(folder / "good.vrt").read().values(0, 3, 2) == 32);
  std::ofstream(folder / "nested.vrt") << mosaic_of("good.vrt");
  CHECK(RasterReader(folder / "nested.vrt").read().values(0, 3, 2) == 32);

  const auto refusal = [&](const std::string& text) {
    std::ofstream(folder / "bad.vrt") << text;
    return message_of<FormatError>([&] { RasterReader(folder / "bad.vrt"); });
  };
  make_raster(folder / "a.kro", {.bands = 3, .type = GDT_Byte, .epsg = 0, .driver = "KRO"});
  CHECK(contains(refusal(mosaic_of("a.kro")), "in the format KRO"));
  CHECK(contains(refusal(mosaic_of("gone.tif")), "missing or not a raster"));
  CHECK(contains(refusal(mosaic_of("/vsicurl/http://a.org/a.tif")), "DEEPLIGHT_NETWORK"));
  CHECK(contains(refusal(mosaic_of("a.tif", "VRTRawRasterBand")), "raw band"));
  CHECK(contains(refusal(mosaic_of("a.tif", "VRTDerivedRasterBand",
                                   "<PixelFunctionLanguage>Python</PixelFunctionLanguage>")),
                 "code of its own"));
  std::ofstream(folder / "inner.vrt") << mosaic_of("a.kro");
  CHECK(contains(refusal(mosaic_of("inner.vrt")), "inner.vrt' reads"));
  std::ofstream(folder / "self.vrt") << mosaic_of("self.vrt");
  CHECK_THROWS_AS(RasterReader(folder / "self.vrt").read(), FormatError);
  std::string previous = "a.tif";
  for (int depth = 0; depth < 10; ++depth) {
    const std::string name = "deep" + std::to_string(depth) + ".vrt";
    std::ofstream(folder / name) << mosaic_of(previous);
    previous = name;
  }
  CHECK(
      contains(message_of<FormatError>([&] { RasterReader(folder / previous); }), "deeper than 8"));
}

TEST_CASE("containers: Zarr, NetCDF and HDF5 subdatasets") {
  const TemporaryFolder folder;
  make_raster(folder / "a.tif", {.rows = 6, .columns = 5, .finish = [](GDALDataset& dataset) {
                                   dataset.GetRasterBand(1)->SetNoDataValue(-1);
                                   dataset.GetRasterBand(1)->SetMetadataItem("long_name", "light");
                                   dataset.SetMetadataItem("long_name", "light");
                                 }});
  const Block expected = RasterReader(folder / "a.tif").read();
  for (const auto& [driver, file] : {std::pair{"netCDF", "a.nc"}, std::pair{"Zarr", "a.zarr"}}) {
    if (GetGDALDriverManager()->GetDriverByName(driver) == nullptr) continue;
    CAPTURE(driver);
    copy_as(folder / "a.tif", (folder / file).string(), driver);
    const RasterReader reader(folder / file);
    CHECK(reader.info().driver == driver);
    CHECK(reader.info().bands[0].name == "light");
    CHECK(reader.read().values == expected.values);
    CHECK(reader.grid().geotransform == RasterReader(folder / "a.tif").grid().geotransform);
    CHECK(same_crs(reader.grid().crs_wkt, RasterReader(folder / "a.tif").grid().crs_wkt));
  }
  const std::string netcdf = "NETCDF:\"" + (folder / "a.nc").string() + "\":Band1";
  CHECK(RasterReader(netcdf).read().values == expected.values);
  const std::string zarr = "ZARR:\"" + (folder / "a.zarr").string() + "\":/a";
  CHECK(RasterReader(zarr).read().values == expected.values);
  CHECK_THROWS_AS(RasterReader("NETCDF:\"" + (folder / "gone.nc").string() + "\":Band1"),
                  FormatError);
}

TEST_CASE("stack: bands of several files read as one raster") {
  const TemporaryFolder folder;
  make_raster(folder / "a.tif", {.bands = 2});
  make_raster(
      folder / "b.tif",
      {.type = GDT_UInt16,
       .value = [](int, int row, int) { return row == 0 ? 0 : 7; },
       .finish = [](GDALDataset& dataset) { dataset.GetRasterBand(1)->SetNoDataValue(0); }});
  const std::string both = (folder / "b.tif").string() + "," + (folder / "a.tif").string();
  const RasterReader stack(both);
  REQUIRE(stack.info().bands.size() == 3);
  CHECK(stack.info().bands[0].dtype == "uint16");
  const Block block = stack.read({0, 1, 2, 3});
  CHECK(block.valid(0, 0, 0) == 0);
  CHECK(block.values(0, 1, 0) == 7);
  CHECK(block.values(1, 1, 0) == 11);
  CHECK(block.values(2, 1, 2) == 113);
  const Block chosen = stack.read({1, 0, 1, 1}, {2, 0});
  CHECK(chosen.values(0, 0, 0) == 110);
  CHECK(chosen.values(1, 0, 0) == 7);
  CHECK_THROWS_AS(stack.read({0, 0, 1, 1}, {3}), InvalidArgument);

  make_raster(folder / "small.tif", {.rows = 3});
  make_raster(folder / "moved.tif", {.geotransform = {500100, 1000, 0, 9000000, 0, -1000}});
  for (const char* other : {"small.tif", "moved.tif"}) {
    const std::string pair = (folder / "a.tif").string() + "," + (folder / other).string();
    CHECK(contains(message_of<GridMismatch>([&] { RasterReader reader(pair); }), other));
  }
  CHECK_THROWS_AS(RasterReader((folder / "a.tif").string() + ","), InvalidArgument);
  CHECK_THROWS_AS(RasterReader((folder / "a.tif").string() + ",gone.tif"), FileError);
  make_raster(folder / "comma,name.tif", {});
  CHECK(RasterReader(folder / "comma,name.tif").info().bands.size() == 1);

  // Aligned file by file.
  make_raster(folder / "low.tif",
              {.rows = 2, .columns = 2, .geotransform = {500000, 2000, 0, 9000000, 0, -2000}});
  const RasterReader low(folder / "low.tif");
  const RasterReader aligned = align_guide(both, low.grid(), 2);
  CHECK(aligned.read().values == stack.read().values);
}

TEST_CASE("quality: chosen bits make pixels of every band missing") {
  const QualityMask parsed = QualityMask::parse("/a:b/qa.tif:0,4-6,31");
  CHECK(parsed.path == "/a:b/qa.tif");
  CHECK(parsed.bits == ((1U << 0) | (7U << 4) | (1U << 31)));
  CHECK(parsed.band == 0);
  CHECK(parsed.bit_list() == "0,4,5,6,31");
  const QualityMask third = QualityMask::parse("/a@b/qa.tif@2:1");
  CHECK(third.path == "/a@b/qa.tif");
  CHECK(third.band == 2);
  CHECK(QualityMask::parse("night@sea.tif:1").path == "night@sea.tif");
  CHECK(QualityMask::parse("@3:1").path == "@3");
  for (const char* text : {"qa.tif", "qa.tif:", ":1", "qa.tif:32", "qa.tif:3-1", "qa.tif:1,",
                           "qa.tif:1;2", "qa.tif:-1", "qa.tif:x"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(QualityMask::parse(text), InvalidArgument);
  }
  const TemporaryFolder folder;
  make_raster(folder / "light.tif", {.bands = 2});
  // Bit 25 cannot be told from bit 24 + 1 in float32: bits are read as integers.
  const auto flags = [](int, int row, int column) {
    if (row == 0) return column == 0 ? double{1U << 24} + 1 : double{1U << 24};
    return row == 3 ? 255.0 : 2.0;
  };
  make_raster(folder / "qa.tif",
              {.type = GDT_UInt32, .value = flags, .finish = [](GDALDataset& dataset) {
                 dataset.GetRasterBand(1)->SetNoDataValue(255);
               }});
  const RasterReader light(folder / "light.tif");
  const Block block = mask_by_quality(light, {folder / "qa.tif", 1}).read();
  for (int band = 0; band < 2; ++band) {
    for (int row = 0; row < 4; ++row) {
      for (int column = 0; column < 4; ++column) {
        const bool bad = row == 3 || (row == 0 && column == 0);
        CHECK(block.valid(band, row, column) == (bad ? 0 : 1));
        if (bad) CHECK(block.values(band, row, column) == 0);
      }
    }
  }
  const Block second = mask_by_quality(light, {folder / "qa.tif", 2}).read({1, 0, 2, 4}, {1});
  CHECK(std::count(second.valid.begin(), second.valid.end(), 1) == 0);
  make_raster(folder / "byte.tif", {.type = GDT_Byte});
  CHECK(contains(message_of<InvalidArgument>(
                     [&] { mask_by_quality(light, {folder / "byte.tif", (1U << 3) | (1U << 8)}); }),
                 "holds uint8, bits 0 to 7; asked for 3,8"));
  make_raster(folder / "float.tif", {});
  CHECK_THROWS_AS(mask_by_quality(light, {folder / "float.tif", 1}), InvalidArgument);
  CHECK_THROWS_AS(mask_by_quality(light, {folder / "qa.tif", 0}), InvalidArgument);
  CHECK_THROWS_AS(mask_by_quality(light, {folder / "qa.tif", 1, 1}), InvalidArgument);
  make_raster(folder / "small.tif", {.rows = 3, .type = GDT_Byte});
  CHECK_THROWS_AS(mask_by_quality(light, {folder / "small.tif", 1}), GridMismatch);
}
