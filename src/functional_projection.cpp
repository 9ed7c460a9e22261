#include "deeplight/functional/projection_conv_inl.hpp"
