// Zones of a city-level regression, compiled once.
#include "deeplight/infer/zone_labels_inl.hpp"
