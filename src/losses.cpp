// The objectives, compiled once.
#include "deeplight/losses/auxiliary_bce_inl.hpp"
#include "deeplight/losses/deeplight_loss_inl.hpp"
#include "deeplight/losses/multi_scale_inl.hpp"
#include "deeplight/losses/pixel_loss_inl.hpp"
