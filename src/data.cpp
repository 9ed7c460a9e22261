// The data floor, compiled once.
#include "deeplight/data/preprocessor_inl.hpp"
