// Networks by name: what `create_model`, `list_models`, the card and `deeplight info` go through.
// A new network is one file beside this one and one line in registry_inl.hpp.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/core/options.hpp"
#include "deeplight/models/network.hpp"

namespace deeplight {

/// One architecture that can be created by name.
struct RegisteredNetwork {
  std::string name;
  std::string summary;
  std::string citation;
  std::vector<std::int64_t> scales;
  bool interpretation = false;  ///< the paper does not fix every layer
  Json default_options;
  std::function<std::shared_ptr<Network>(const Json& options)> create;
};

/// Every registered architecture, sorted by name.
const std::vector<RegisteredNetwork>& registered_networks();

/// @throws InvalidArgument  unknown name, with the nearest known one
const RegisteredNetwork& registered_network(const std::string& name);

/// @param options  a JSON object; absent keys keep their defaults
/// @throws InvalidArgument  unknown name or option, or a value that breaks a rule
std::shared_ptr<Network> create_model(const std::string& name,
                                      const Json& options = Json::object());

}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/models/registry_inl.hpp"
#endif
