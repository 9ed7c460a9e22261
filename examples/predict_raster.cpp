// Super-resolves a raster: predict_raster WEIGHTS.safetensors LOW.tif OUT.tif [NAME=GUIDE.tif ...]
#include <deeplight/infer/predict.hpp>
#include <deeplight/models/load.hpp>

#include <cstdio>
#include <exception>
#include <string>

int main(int argc, char** argv) try {
  if (argc < 4) {
    std::fprintf(stderr, "usage: predict_raster WEIGHTS LOW OUT [NAME=GUIDE ...]\n");
    return 2;
  }
  deeplight::PredictRequest request{.low_resolution = {argv[2]}, .outputs = {argv[3]}};
  request.overwrite = true;
  for (int i = 4; i < argc; ++i) {
    const std::string argument = argv[i];
    const auto equals = argument.find('=');
    deeplight::require(equals != std::string::npos, "expected NAME=GUIDE, got '", argument, "'");
    request.guides.emplace_back(argument.substr(0, equals), argument.substr(equals + 1));
  }

  const deeplight::LoadedModel model = deeplight::load(argv[1]);
  const auto report = deeplight::predict(*model.network, model.card, request);
  for (const std::string& warning : report.warnings) std::fprintf(stderr, "%s\n", warning.c_str());
  std::printf("light out / in: %.4f\n", report.rasters.front().light_ratio);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "predict_raster: %s\n", error.what());
  return 1;
}
