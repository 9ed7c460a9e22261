// The raster floor, compiled once.
#include "deeplight/raster/alignment_inl.hpp"
#include "deeplight/raster/grid_inl.hpp"
#include "deeplight/raster/quality_mask_inl.hpp"
#include "deeplight/raster/raster_format_inl.hpp"
#include "deeplight/raster/raster_reader_inl.hpp"
#include "deeplight/raster/raster_source_inl.hpp"
#include "deeplight/raster/raster_writer_inl.hpp"
#include "deeplight/raster/sinks_inl.hpp"
