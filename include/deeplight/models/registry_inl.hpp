// Definitions of registry.hpp.
#pragma once

#include "deeplight/core/nearest_name.hpp"
#include "deeplight/models/deeplight_sr.hpp"
#include "deeplight/models/mocolsk_net.hpp"
#include "deeplight/models/registry.hpp"

namespace deeplight {
namespace detail {

template <class Model>
RegisteredNetwork network_entry(std::string name, std::string summary, std::string citation,
                                std::vector<std::int64_t> scales, bool interpretation) {
  using Options = typename Model::Options;
  return {std::move(name),
          std::move(summary),
          std::move(citation),
          std::move(scales),
          interpretation,
          options_to_json(Options{}),
          [](const Json& options) -> std::shared_ptr<Network> {
            return Model(options_from_json<Options>(options)).ptr();
          }};
}

}  // namespace detail

DEEPLIGHT_INLINE const std::vector<RegisteredNetwork>& registered_networks() {
  static const std::vector<RegisteredNetwork> networks{
      detail::network_entry<DeepLightSR>(
          "deeplight_sr", "night-light super-resolution with daytime and elevation guides",
          "DeepLight, arXiv 2402.15659", {2, 4, 8}, true),
      detail::network_entry<MoCoLSKNet>(
          "mocolsk_net", "guided downscaling of land-surface temperature",
          "GrokLST / MoCoLSK-Net, arXiv 2409.19835", {2, 4, 8}, false),
  };
  return networks;
}

DEEPLIGHT_INLINE const RegisteredNetwork& registered_network(const std::string& name) {
  std::vector<std::string> known;
  for (const RegisteredNetwork& network : registered_networks()) {
    if (network.name == name) return network;
    known.push_back(network.name);
  }
  throw InvalidArgument(concat("unknown network '", name, "'; did you mean '",
                               nearest_name(name, known), "'? Known: ", joined(known)));
}

DEEPLIGHT_INLINE std::shared_ptr<Network> create_model(const std::string& name,
                                                       const Json& options) {
  return registered_network(name).create(options);
}

}  // namespace deeplight
