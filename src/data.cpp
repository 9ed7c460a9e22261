// The data floor, compiled once.
#include "deeplight/data/degradation_inl.hpp"
#include "deeplight/data/patch_sampler_inl.hpp"
#include "deeplight/data/preprocessor_inl.hpp"
