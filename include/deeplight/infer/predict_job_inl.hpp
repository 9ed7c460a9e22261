// What a prediction's values depend on, as JSON: options, sizes, checksums of weights and inputs.
#pragma once

#include <c10/core/Device.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <map>
#include <vector>

#include "deeplight/core/sha256.hpp"
#include "deeplight/infer/predict.hpp"
#include "deeplight/infer/predict_checks_inl.hpp"
#include "deeplight/raster/tile_plan.hpp"

namespace deeplight::detail {

/// Names, shapes, types and values of parameters and buffers, in the order of their names.
inline std::string weights_checksum(const Network& network) {
  std::map<std::string, at::Tensor> tensors;
  for (const auto& item : network.named_parameters()) tensors[item.key()] = item.value();
  for (const auto& item : network.named_buffers()) tensors[item.key()] = item.value();
  Sha256 hash;
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.defined()) continue;
    const at::Tensor values = tensor.detach().cpu().contiguous();
    hash.update(concat(name, " ", values.scalar_type(), " ", values.sizes(), "\n"));
    hash.update(bytes_of(values.const_data_ptr(), values.nbytes()));
  }
  return hash.hex();
}

/// SHA-256 of a file up to 256 MiB. Of a larger one, its size and 256 blocks of 1 MiB at equal
/// distances: the whole would cost minutes. Of what is no plain file, or refers to others (VRT,
/// Zarr, /vsi), description and pixels of up to 64 windows.
inline std::string input_checksum(const RasterReader& reader) {
  constexpr std::uintmax_t block = std::uintmax_t{1} << 20, blocks = 256;
  const RasterInfo& info = reader.info();
  std::error_code error;
  Sha256 hash;
  const bool plain = std::filesystem::is_regular_file(info.path, error) && info.driver != "VRT";
  if (!plain) {
    const Grid& grid = info.grid;
    hash.update(concat(grid.text(), " ", info.bands.size()));
    constexpr std::int64_t side = 128, steps = 8;
    for (std::int64_t index = 0; index < steps * steps; ++index) {
      const std::int64_t rows = std::min(side, grid.rows), columns = std::min(side, grid.columns);
      const Window window{(grid.rows - rows) * (index / steps) / (steps - 1),
                          (grid.columns - columns) * (index % steps) / (steps - 1), rows, columns};
      const Block part = reader.read(window);
      hash.update(bytes_of(part.values.data(), part.values.size() * sizeof(float)));
      hash.update(bytes_of(part.valid.data(), part.valid.size()));
    }
    return "sampled pixels:sha256:" + hash.hex();
  }
  const std::uintmax_t size = std::filesystem::file_size(info.path, error);
  std::ifstream file(info.path, std::ios::binary);
  require<FileError>(file.good(), "'", info.path, "' cannot be read");
  std::vector<char> bytes(block);
  const auto take = [&](std::uintmax_t offset) {
    file.seekg(static_cast<std::streamoff>(offset));
    file.read(bytes.data(), static_cast<std::streamsize>(block));
    hash.update(bytes_of(bytes.data(), static_cast<std::size_t>(file.gcount())));
    require<FileError>(!file.bad(), "'", info.path, "' cannot be read");
    file.clear();
  };
  if (size <= block * blocks) {
    for (std::uintmax_t offset = 0; offset < size; offset += block) take(offset);
    return "sha256:" + hash.hex();
  }
  hash.update(concat(size, "\n"));
  for (std::uintmax_t index = 0; index < blocks; ++index) {
    take((size - block) / (blocks - 1) * index);
  }
  take(size - block);
  return "sampled file:sha256:" + hash.hex();
}

/// The part of a job's description that is the same for every raster of a request.
struct SharedDescription {
  Json weights;
  Json options;
  Json guides;
  std::vector<c10::Device> devices;
};

inline SharedDescription describe_shared(const Network& network, const Card& card,
                                         const PredictRequest& request, const PredictJob& job) {
  SharedDescription shared;
  const Json described = card;
  shared.weights = {{"name", card.name.empty() ? card.architecture : card.name},
                    {"architecture", network.architecture()},
                    {"options", network.options()},
                    {"sha256", weights_checksum(network)},
                    {"preprocessing", described.value("preprocessing", Json::object())}};
  const auto parameters = network.parameters();
  for (const std::string& name : request.devices) shared.devices.emplace_back(name);
  if (shared.devices.empty()) {
    shared.devices.push_back(parameters.empty() ? c10::Device(c10::kCPU)
                                                : parameters.front().device());
  }
  shared.options = {
      {"tile", request.tile},
      {"batch", request.batch},
      {"align", request.align},
      {"consistency", enum_to_string(request.consistency)},
      {"non_negative", request.non_negative},
      {"self_ensemble", request.self_ensemble || request.uncertainty},
      {"uncertainty", request.uncertainty},
      {"precision", enum_to_string(request.precision)},
      {"device", c10::DeviceTypeName(shared.devices.front().type(), /*lower_case=*/true)}};
  shared.guides = Json::object();
  for (const auto& [name, reader] : job.guides) {
    const auto given =
        std::find_if(request.guides.begin(), request.guides.end(),
                     [&, &key = name](const auto& pair) { return pair.first == key; });
    shared.guides[name] = {{"file", given->second.filename().string()},
                           {"checksum", input_checksum(RasterReader(given->second))}};
  }
  return shared;
}

/// Sizes that the tiles follow from.
struct TileGeometry {
  std::int64_t rows = 0, columns = 0;  // of the low resolution
  std::int64_t tile = 1, halo = 0, multiple = 1, scale = 1, bands = 1;
  TilePlan plan() const { return {rows, columns, tile, halo, multiple}; }
};
DEEPLIGHT_OPTIONS(TileGeometry, rows, columns, tile, halo, multiple, scale, bands)

inline Json describe_low_resolution(const PredictJob& job) {
  const std::filesystem::path path = job.low_resolution.info().path;
  Json low = {{"file", path.filename().string()}, {"checksum", job.checksum}};
  if (job.quality) {
    low["quality"] = {{"file", job.quality->path.filename().string()},
                      {"band", job.quality->band},
                      {"bits", job.quality->bit_list()}};
  }
  return low;
}

inline Json describe_job(const SharedDescription& shared, const TileGeometry& geometry,
                         const PredictJob& job) {
  return {{"journal", 1},
          {"version", version},
          {"weights", shared.weights},
          {"options", shared.options},
          {"geometry", geometry},
          {"low_resolution", describe_low_resolution(job)},
          {"guides", shared.guides}};
}

}  // namespace deeplight::detail
