// The scores over sliding windows and blocks, compiled once.
#include "deeplight/metrics/gradient_error_inl.hpp"
#include "deeplight/metrics/ms_ssim_inl.hpp"
#include "deeplight/metrics/piqe_inl.hpp"
#include "deeplight/metrics/sharpness_inl.hpp"
#include "deeplight/metrics/ssim_inl.hpp"
#include "deeplight/metrics/uiqi_inl.hpp"
#include "deeplight/metrics/window_inl.hpp"
