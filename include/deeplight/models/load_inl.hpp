// Definitions of load.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>
#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/core/nearest_name.hpp"
#include "deeplight/core/sha256.hpp"
#include "deeplight/models/load.hpp"
#include "deeplight/models/registry.hpp"
#include "deeplight/weights/safetensors.hpp"

namespace deeplight {
namespace detail {

DEEPLIGHT_INLINE at::ScalarType scalar_type(StorageType type) {
  switch (type) {
    case StorageType::f64:
      return at::kDouble;
    case StorageType::f32:
      return at::kFloat;
    case StorageType::f16:
      return at::kHalf;
    case StorageType::bf16:
      return at::kBFloat16;
    case StorageType::i64:
      return at::kLong;
    case StorageType::i32:
      return at::kInt;
    case StorageType::i16:
      return at::kShort;
    case StorageType::i8:
      return at::kChar;
    case StorageType::u8:
      return at::kByte;
    case StorageType::boolean:
      return at::kBool;
  }
  throw InvalidArgument("unknown storage type");
}

DEEPLIGHT_INLINE StorageType storage_type(at::ScalarType type) {
  for (const StorageType known :
       {StorageType::f64, StorageType::f32, StorageType::f16, StorageType::bf16, StorageType::i64,
        StorageType::i32, StorageType::i16, StorageType::i8, StorageType::u8,
        StorageType::boolean}) {
    if (scalar_type(known) == type) return known;
  }
  throw InvalidArgument(concat("tensors of type ", c10::toString(type), " cannot be stored"));
}

DEEPLIGHT_INLINE at::Tensor to_tensor(const StoredTensor& stored) {
  auto tensor = at::empty(stored.shape, at::TensorOptions().dtype(scalar_type(stored.type)));
  if (!stored.data.empty())
    std::memcpy(tensor.mutable_data_ptr(), stored.data.data(), stored.data.size());
  return tensor;
}

/// Parameters and buffers by their dotted names; the tensors share memory with the module.
DEEPLIGHT_INLINE std::vector<std::pair<std::string, at::Tensor>> state_of(
    const torch::nn::Module& module) {
  std::vector<std::pair<std::string, at::Tensor>> state;
  for (const auto& item : module.named_parameters()) state.emplace_back(item.key(), item.value());
  for (const auto& item : module.named_buffers()) state.emplace_back(item.key(), item.value());
  return state;
}

DEEPLIGHT_INLINE void fill_network(Network& network, const SafetensorsFile& file,
                                   const std::string& path) {
  const auto state = state_of(network);
  std::vector<std::string> problems;
  std::set<std::string> known;
  for (const auto& [name, tensor] : state) {
    known.insert(name);
    const StoredTensor* stored = file.find(name);
    if (stored == nullptr) {
      problems.push_back(concat(name, " ", tensor.sizes(), " is missing"));
    } else if (at::IntArrayRef(stored->shape) != tensor.sizes()) {
      problems.push_back(
          concat(name, " is ", at::IntArrayRef(stored->shape), ", expected ", tensor.sizes()));
    }
  }
  for (const StoredTensor& stored : file.tensors())
    if (!known.contains(stored.name)) problems.push_back(stored.name + " is unknown to it");
  constexpr std::size_t shown = 5;
  const std::string more =
      problems.size() > shown ? concat(", and ", problems.size() - shown, " more") : "";
  const std::size_t total = problems.size();
  problems.resize(std::min(total, shown));
  require<FormatError>(total == 0, path, " does not hold the weights of this ",
                       network.architecture(), ": ", joined(problems), more);
  const at::NoGradGuard no_grad;
  for (auto [name, tensor] : state) tensor.copy_(to_tensor(file.at(name)));
}

}  // namespace detail

DEEPLIGHT_INLINE void load_state(Network& network, const std::string& path) {
  detail::fill_network(network, SafetensorsFile::open(path), path);
}

DEEPLIGHT_INLINE void save_state(const Network& network, const std::string& path, bool half,
                                 const std::map<std::string, std::string>& metadata) {
  std::vector<at::Tensor> kept;  // owns the bytes that the entries point into
  std::vector<StoredTensor> entries;
  for (const auto& [name, tensor] : detail::state_of(network)) {
    auto stored = tensor.detach().cpu();
    if (half && stored.is_floating_point()) stored = stored.to(at::kHalf);
    stored = stored.contiguous();
    kept.push_back(stored);
    entries.push_back(
        {.name = name,
         .type = detail::storage_type(stored.scalar_type()),
         .shape = stored.sizes().vec(),
         .begin = 0,
         .end = 0,
         .data = {static_cast<const std::byte*>(stored.const_data_ptr()), stored.nbytes()}});
  }
  write_safetensors(path, std::move(entries), metadata);
}

DEEPLIGHT_INLINE LoadedModel load(const std::string& path) {
  LoadedModel model{nullptr, read_card(card_path_for(path))};
  model.network = create_model(model.card.architecture, model.card.options);
  require<FormatError>(model.card.scale == model.network->scale(), card_path_for(path),
                       " states scale ", model.card.scale,
                       ", its options build a network of scale ", model.network->scale());
  const SafetensorsFile file = SafetensorsFile::open(path);
  const std::string& expected = model.card.weights_sha256;
  require<FormatError>(expected.empty() || sha256_hex(file.bytes()) == expected, path,
                       " is not the file that its card describes: its SHA-256 is ",
                       sha256_hex(file.bytes()), ", the card says ", expected);
  detail::fill_network(*model.network, file, path);
  model.network->eval();
  return model;
}

DEEPLIGHT_INLINE std::int64_t parameter_count(const torch::nn::Module& module) {
  std::int64_t count = 0;
  for (const at::Tensor& parameter : module.parameters()) count += parameter.numel();
  return count;
}

}  // namespace deeplight
