// The raster floor, compiled once.
#include "deeplight/raster/alignment_inl.hpp"
#include "deeplight/raster/grid_inl.hpp"
#include "deeplight/raster/raster_reader_inl.hpp"
#include "deeplight/raster/raster_writer_inl.hpp"
