// The raster engine, compiled once.
#include "deeplight/infer/non_negative_inl.hpp"
#include "deeplight/infer/owner_lock_inl.hpp"
#include "deeplight/infer/predict_inl.hpp"
#include "deeplight/infer/predict_shards_inl.hpp"
#include "deeplight/infer/raster_scores_inl.hpp"
#include "deeplight/infer/score_rasters_inl.hpp"
#include "deeplight/infer/self_ensemble_inl.hpp"
#include "deeplight/infer/tile_store_inl.hpp"
