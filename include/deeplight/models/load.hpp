// Weights files <-> networks: a safetensors file and the JSON card beside it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "deeplight/core/config.hpp"
#include "deeplight/models/network.hpp"
#include "deeplight/weights/card.hpp"

namespace deeplight {

/// A network with the card that says what it was trained for.
struct LoadedModel {
  std::shared_ptr<Network> network;  ///< in evaluation mode, float32
  Card card;
};

/// Builds the card's architecture and fills it.
/// @param path  a .safetensors file; its card is the .json of the same name
/// @throws FileError        a file is missing or unreadable
/// @throws FormatError      a file is damaged, is not the one whose hash the card states, or holds
///                          tensors of another architecture
/// @throws InvalidArgument  the card names an unknown architecture or option
LoadedModel load(const std::string& path);

/// Copies the tensors of a safetensors file into the network's parameters and buffers, by name.
/// Half-precision storage is widened. Nothing is changed when the file does not fit.
/// @throws FormatError  a tensor is missing, unknown, or of another shape; all are named
void load_state(Network& network, const std::string& path);

/// Writes parameters and buffers; `half` stores floating tensors as float16.
/// @throws FileError  the file cannot be written; nothing is left behind
void save_state(const Network& network, const std::string& path, bool half = false,
                const std::map<std::string, std::string>& metadata = {});

/// Number of trainable values.
std::int64_t parameter_count(const torch::nn::Module& module);

}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/models/load_inl.hpp"
#endif
