// The radiometry floor, compiled once.
#include "deeplight/radiometry/mtl_inl.hpp"
