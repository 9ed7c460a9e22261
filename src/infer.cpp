// The raster engine, compiled once.
#include "deeplight/infer/predict_inl.hpp"
#include "deeplight/infer/self_ensemble_inl.hpp"
