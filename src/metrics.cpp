// The scores on tensors, compiled once.
#include "deeplight/metrics/common_inl.hpp"
#include "deeplight/metrics/correlation_inl.hpp"
#include "deeplight/metrics/light_inl.hpp"
#include "deeplight/metrics/psnr_inl.hpp"
#include "deeplight/metrics/rmse_inl.hpp"
#include "deeplight/metrics/ssim_inl.hpp"
