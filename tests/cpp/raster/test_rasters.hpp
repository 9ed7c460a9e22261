// A folder that lives as long as a test, and rasters made with GDAL's own calls.
#pragma once

#include <gdal_priv.h>
#include <ogr_spatialref.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

namespace deeplight::test {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    static std::atomic<int> counter{0};
    std::ostringstream name;
    name << "deeplight-test-" << ::getpid() << "-" << counter++;
    path_ = std::filesystem::temp_directory_path() / name.str();
    std::filesystem::create_directories(path_);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(path_), {}));
  }

 private:
  std::filesystem::path path_;
};

/// How a test raster is made; values come from `value(band, row, column)`.
struct Recipe {
  int rows = 4, columns = 4, bands = 1;
  GDALDataType type = GDT_Float32;
  int epsg = 32622;
  std::array<double, 6> geotransform{500000, 1000, 0, 9000000, 0, -1000};
  std::function<double(int, int, int)> value = [](int band, int row, int column) {
    return 100.0 * band + 10.0 * row + column;
  };
  std::vector<const char*> creation{};
  std::function<void(GDALDataset&)> finish = [](GDALDataset&) {};
  const char* driver = "GTiff";
};

inline void make_raster(const std::filesystem::path& path, const Recipe& recipe) {
  GDALAllRegister();
  std::vector<const char*> creation = recipe.creation;
  creation.push_back(nullptr);
  GDALDriver* driver = GetGDALDriverManager()->GetDriverByName(recipe.driver);
  GDALDataset* dataset = driver->Create(path.c_str(), recipe.columns, recipe.rows, recipe.bands,
                                        recipe.type, const_cast<char**>(creation.data()));
  if (dataset == nullptr) throw std::runtime_error("cannot create " + path.string());
  if (recipe.epsg != 0) {
    OGRSpatialReference crs;
    crs.importFromEPSG(recipe.epsg);
    dataset->SetSpatialRef(&crs);
    std::array<double, 6> geotransform = recipe.geotransform;
    dataset->SetGeoTransform(geotransform.data());
  }
  recipe.finish(*dataset);
  std::vector<double> line(static_cast<std::size_t>(recipe.columns));
  for (int band = 0; recipe.value && band < recipe.bands; ++band) {
    for (int row = 0; row < recipe.rows; ++row) {
      for (int column = 0; column < recipe.columns; ++column) {
        line[static_cast<std::size_t>(column)] = recipe.value(band, row, column);
      }
      if (dataset->GetRasterBand(band + 1)->RasterIO(GF_Write, 0, row, recipe.columns, 1,
                                                     line.data(), recipe.columns, 1, GDT_Float64, 0,
                                                     0, nullptr) != CE_None) {
        throw std::runtime_error("cannot write " + path.string());
      }
    }
  }
  GDALClose(dataset);
}

/// The message of the exception that `work` throws, "" when it throws none of that kind.
template <class Exception, class Work>
std::string message_of(Work&& work) {
  try {
    work();
  } catch (const Exception& error) {
    return error.what();
  }
  return "";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// What the work writes to the process's standard error.
template <class Work>
std::string standard_error_of(const TemporaryFolder& folder, Work&& work) {
  const std::filesystem::path path = folder / "stderr.txt";
  std::fflush(stderr);
  const int saved = ::dup(2);
  std::FILE* file = std::fopen(path.c_str(), "wb");
  ::dup2(::fileno(file), 2);
  work();
  std::fflush(stderr);
  ::dup2(saved, 2);
  ::close(saved);
  std::fclose(file);
  std::ifstream stream(path);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

}  // namespace deeplight::test
