// Guides taken over from window to window equal those prepared anew, bit for bit.
#include "deeplight/infer/guide_windows_inl.hpp"

#include <doctest/doctest.h>

#include <limits>

#include "raster/test_rasters.hpp"

using namespace deeplight;
using namespace deeplight::test;

namespace {

constexpr int rows = 40, columns = 30, scale = 8;

/// Values with gaps, in blocks that divide nothing evenly.
RasterReader guide_of(const TemporaryFolder& folder, const std::string& name, int bands,
                      const std::vector<const char*>& creation) {
  make_raster(folder / name,
              {.rows = scale * rows,
               .columns = scale * columns,
               .bands = bands,
               .geotransform = {500000, 125, 0, 9000000, 0, -125},
               .value =
                   [](int band, int row, int column) {
                     const int place = row * 31 + column * 17 + band * 5;
                     if (place % 41 == 0) return -7.0;
                     if (place % 43 == 0) return double(INFINITY);
                     return place % 251 + 0.3;
                   },
               .creation = creation,
               .finish = [](GDALDataset& data) { data.GetRasterBand(1)->SetNoDataValue(-7); }});
  return RasterReader(folder / name);
}

Preprocessing card_of(ValueTransform transform, GuideContrast contrast) {
  GuideDescription three{.name = "three", .bands = 3, .mean = {90, 100, 110}, .std = {40, 50, 60}};
  three.transform = transform;
  three.transform_scale = transform == ValueTransform::linear ? 1.0 : 3.0;
  if (transform != ValueTransform::linear) three.mean = {2, 3, 4}, three.std = {1, 2, 3};
  three.contrast = contrast;
  three.contrast_spread = {{0.5, 0.4, 0.3}, {0.2, 0.3, 0.4}};
  GuideDescription one{.name = "one", .bands = 1, .mean = {100}, .std = {50}};
  one.transform_scale = 2.0;
  Preprocessing card;
  card.guides = {three, one};
  card.contrast_windows = {3, 9};
  return card;
}

}  // namespace

TEST_CASE("guide windows: what is taken over is what the whole raster gives") {
  const TemporaryFolder folder;
  const std::vector<std::pair<std::string, RasterReader>> guides{
      {"three", guide_of(folder, "three.tif", 3,
                         {"TILED=YES", "BLOCKXSIZE=48", "BLOCKYSIZE=80", "COMPRESS=DEFLATE"})},
      {"one", guide_of(folder, "one.tif", 1, {"BLOCKYSIZE=7"})}};
  // Beside each other, the same again, the next row, elsewhere, inside of it, around it.
  const std::vector<Window> windows{{0, 0, 20, 12},  {0, 6, 20, 16},  {0, 6, 20, 16},
                                    {0, 14, 20, 16}, {9, 0, 24, 12},  {31, 22, 9, 8},
                                    {33, 24, 4, 3},  {30, 20, 10, 10}};
  for (const auto& [transform, contrast] :
       {std::pair{ValueTransform::linear, GuideContrast::none},
        std::pair{ValueTransform::log1p, GuideContrast::none},
        std::pair{ValueTransform::linear, GuideContrast::standardised},
        std::pair{ValueTransform::asinh, GuideContrast::difference}}) {
    const Preprocessor preprocessor(card_of(transform, contrast), scale);
    GuideTensors whole;
    for (const auto& [name, reader] : guides) {
      Block block = reader.read();
      const auto view = [&](auto& array, at::ScalarType type) {
        return at::from_blob(
            array.data(),
            {1, static_cast<std::int64_t>(array.shape(0)), scale * rows, scale * columns}, type);
      };
      whole[name] =
          preprocessor.guide(name, view(block.values, at::kFloat), view(block.valid, at::kByte))
              .clone();
    }
    for (const at::MemoryFormat layout :
         {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
      deeplight::detail::GuideWindows from_one_to_the_next(preprocessor, guides, layout);
      for (const Window& window : windows) {
        const GuideTensors made = from_one_to_the_next(window);
        const Window fine = window.refined(scale);
        for (const auto& [name, guide] : whole) {
          const at::Tensor expected =
              guide.narrow(2, fine.row, fine.rows).narrow(3, fine.column, fine.columns);
          CAPTURE(name);
          CAPTURE(window.row);
          CAPTURE(window.column);
          CHECK(made.at(name).is_contiguous(layout));
          CHECK(at::equal(made.at(name), expected));
        }
      }
    }
  }
}

TEST_CASE("guide windows: the same window gives the same tensors") {
  const TemporaryFolder folder;
  const std::vector<std::pair<std::string, RasterReader>> guides{
      {"one", guide_of(folder, "one.tif", 1, {})}};
  Preprocessing card;
  card.guides = {{.name = "one", .bands = 1, .mean = {100}, .std = {50}}};
  const Preprocessor preprocessor(card, scale);
  deeplight::detail::GuideWindows windows(preprocessor, guides, at::MemoryFormat::Contiguous);
  const at::Tensor first = windows({0, 0, 9, 9}).at("one");
  CHECK(windows({0, 0, 9, 9}).at("one").is_same(first));
  CHECK_FALSE(windows({0, 1, 9, 9}).at("one").is_same(first));
}

TEST_CASE("guide windows: parts of a rectangle cover it once and end where blocks end") {
  RasterInfo info;
  info.block_rows = 7;
  info.block_columns = 100;
  info.bands.resize(2);
  const Window rectangle{5, 33, 60, 611};
  std::vector<int> seen(static_cast<std::size_t>(rectangle.rows * rectangle.columns));
  deeplight::detail::for_each_chunk(rectangle, info, 256, 2 * 300 * 15, [&](const Window& part) {
    CHECK(part.rows * part.columns <= 300 * 15);
    const std::int64_t bottom = part.row + part.rows, right = part.column + part.columns;
    CHECK((bottom % 7 == 0 || bottom == 65));
    CHECK((right % 100 == 0 || right == 644));
    for (std::int64_t row = part.row; row < bottom; ++row) {
      for (std::int64_t column = part.column; column < right; ++column) {
        ++seen[static_cast<std::size_t>((row - 5) * rectangle.columns + column - 33)];
      }
    }
  });
  CHECK(std::all_of(seen.begin(), seen.end(), [](int times) { return times == 1; }));
}
