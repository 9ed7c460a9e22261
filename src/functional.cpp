#include "deeplight/functional/affine_warp_inl.hpp"
#include "deeplight/functional/block_mean_inl.hpp"
#include "deeplight/functional/deform_conv_inl.hpp"
#include "deeplight/functional/torch_parallel_inl.hpp"
