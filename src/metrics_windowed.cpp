// The scores over sliding windows and blocks, compiled once.
#include "deeplight/metrics/ssim_inl.hpp"
#include "deeplight/metrics/uiqi_inl.hpp"
#include "deeplight/metrics/window_inl.hpp"
