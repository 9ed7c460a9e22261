// Definitions of losses/frequency.hpp.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/fft_rfft2.h>

#include <optional>

#include "deeplight/core/errors.hpp"
#include "deeplight/losses/frequency.hpp"
#include "deeplight/losses/pixel_loss.hpp"

namespace deeplight::losses {

DEEPLIGHT_INLINE at::Tensor frequency(const at::Tensor& prediction, const at::Tensor& target,
                                      Spectrum spectrum, const std::optional<at::Tensor>& mask) {
  require(prediction.sizes() == target.sizes(), "frequency loss: prediction is ",
          prediction.sizes(), ", target is ", target.sizes(), "; both must have one shape");
  require(prediction.dim() >= 2 && prediction.numel() > 0,
          "frequency loss: images have at least two dimensions and one pixel, got ",
          prediction.sizes());
  at::Tensor x = detail::at_least_single(prediction);
  at::Tensor y = target.to(x.scalar_type());
  if (mask) {
    const at::Tensor invalid =
        detail::valid_pixels("frequency loss", *mask, prediction).logical_not();
    x = x.masked_fill(invalid, 0.0);
    y = y.masked_fill(invalid, 0.0);
  }
  const auto transform = [](const at::Tensor& image) {
    return at::fft_rfft2(image, std::nullopt, {-2, -1}, "ortho");
  };
  const at::Tensor cost = spectrum == Spectrum::complex
                              ? transform(x - y).abs()
                              : (transform(x).abs() - transform(y).abs()).abs();
  // A real image's spectrum is stored by half: columns with a mirror image stand for two.
  const std::int64_t columns = prediction.size(-1);
  const std::int64_t mirrored = (columns - 1) / 2;
  at::Tensor sum = cost.sum();
  if (mirrored > 0) sum = sum + cost.narrow(-1, 1, mirrored).sum();
  return (sum / static_cast<double>(prediction.numel())).to(prediction.scalar_type());
}

}  // namespace deeplight::losses
