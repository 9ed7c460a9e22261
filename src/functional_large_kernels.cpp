// 3x3, depthwise, dynamic and large selective kernels, compiled once.
#include "deeplight/functional/conv3x3_inl.hpp"
#include "deeplight/functional/depthwise_conv_inl.hpp"
#include "deeplight/functional/dynamic_conv_inl.hpp"
#include "deeplight/functional/large_selective_kernel_composed_inl.hpp"
#include "deeplight/functional/large_selective_kernel_inl.hpp"
