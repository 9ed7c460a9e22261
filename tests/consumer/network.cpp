#include "network.hpp"

#include <deeplight/models/load.hpp>
#include <deeplight/models/registry.hpp>

std::int64_t parameters_of_the_default_network() {
  return deeplight::parameter_count(*deeplight::create_model("deeplight_sr"));
}
