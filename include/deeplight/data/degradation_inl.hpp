// Definitions of degradation.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/data/degradation.hpp"
#include "deeplight/data/patch_cut.hpp"
#include "deeplight/functional/torch_parallel.hpp"

namespace deeplight {
namespace detail {

/// A kernel as loops want it: taps by row, or a column and a row whose product it is.
struct KernelTaps {
  std::int64_t rows = 0, columns = 0;
  std::vector<double> taps;         // [rows][columns], turned by 180 degrees
  std::vector<double> column, row;  // empty where the kernel is no product

  explicit KernelTaps(const at::Tensor& kernel) : rows(kernel.size(0)), columns(kernel.size(1)) {
    const at::Tensor turned = kernel.flip({0, 1}).contiguous();
    const double* data = turned.const_data_ptr<double>();
    taps.assign(data, data + turned.numel());
    const at::Tensor down = turned.sum(1), across = turned.sum(0);  // the kernel's sum is 1
    if ((at::outer(down, across) - turned).abs().max().item<double>() > 1e-15) return;
    column.assign(down.const_data_ptr<double>(), down.const_data_ptr<double>() + rows);
    row.assign(across.const_data_ptr<double>(), across.const_data_ptr<double>() + columns);
  }
  bool product() const { return !column.empty(); }
};

/// Sums over the taps for a strip of rows; `light` and `weight` share every loop.
class Strip {
 public:
  Strip(const float* image, const bool* valid, std::int64_t height, std::int64_t width,
        const KernelTaps& kernel)
      : image_(image), valid_(valid), height_(height), width_(width), kernel_(kernel) {}

  /// Rows [begin, end) of the output.
  void run(std::int64_t begin, std::int64_t end, float* to) {
    const std::int64_t reach = kernel_.rows / 2;
    first_ = std::max<std::int64_t>(begin - reach, 0);
    const std::int64_t last = std::min(end + reach, height_);
    load(last - first_);
    if (kernel_.product()) across(last - first_);
    const auto size = static_cast<std::size_t>(width_);
    std::vector<double> light(size), weight(size);
    for (std::int64_t y = begin; y < end; ++y) {
      std::fill(light.begin(), light.end(), 0.0);
      std::fill(weight.begin(), weight.end(), 0.0);
      for (std::int64_t tap = 0; tap < kernel_.rows; ++tap) {
        const std::int64_t from = y + tap - reach;
        if (from < first_ || from >= last) continue;
        const auto row = static_cast<std::size_t>((from - first_) * width_);
        if (kernel_.product()) {
          add(kernel_.column[static_cast<std::size_t>(tap)], &light_[row], &weight_[row], 0, &light,
              &weight);
          continue;
        }
        const double* taps = &kernel_.taps[static_cast<std::size_t>(tap * kernel_.columns)];
        for (std::int64_t k = 0; k < kernel_.columns; ++k) {
          add(taps[k], &light_[row], &weight_[row], k - kernel_.columns / 2, &light, &weight);
        }
      }
      finish(y, light, weight, to);
    }
  }

 private:
  void load(std::int64_t rows) {
    const auto count = static_cast<std::size_t>(rows * width_);
    light_.resize(count);
    weight_.resize(count);
    const std::int64_t offset = first_ * width_;
    for (std::size_t i = 0; i < count; ++i) {
      const auto at = offset + static_cast<std::int64_t>(i);
      weight_[i] = valid_[at] ? 1.0 : 0.0;
      light_[i] = valid_[at] ? static_cast<double>(image_[at]) : 0.0;
    }
  }

  /// The horizontal pass of a product, in place.
  void across(std::int64_t rows) {
    const auto size = static_cast<std::size_t>(width_);
    std::vector<double> light(size), weight(size);
    for (std::int64_t y = 0; y < rows; ++y) {
      const auto row = static_cast<std::size_t>(y * width_);
      std::fill(light.begin(), light.end(), 0.0);
      std::fill(weight.begin(), weight.end(), 0.0);
      for (std::int64_t k = 0; k < kernel_.columns; ++k) {
        add(kernel_.row[static_cast<std::size_t>(k)], &light_[row], &weight_[row],
            k - kernel_.columns / 2, &light, &weight);
      }
      std::copy(light.begin(), light.end(), &light_[row]);
      std::copy(weight.begin(), weight.end(), &weight_[row]);
    }
  }

  /// sums[x] += tap * row[x + shift], inside the image.
  void add(double tap, const double* light, const double* weight, std::int64_t shift,
           std::vector<double>* light_sums, std::vector<double>* weight_sums) const {
    const std::int64_t begin = std::max<std::int64_t>(-shift, 0);
    const std::int64_t end = std::min(width_ - shift, width_);
    double* to_light = light_sums->data();
    double* to_weight = weight_sums->data();
    for (std::int64_t x = begin; x < end; ++x) {
      to_light[x] += tap * light[x + shift];
      to_weight[x] += tap * weight[x + shift];
    }
  }

  void finish(std::int64_t y, const std::vector<double>& light, const std::vector<double>& weight,
              float* to) const {
    for (std::int64_t x = 0; x < width_; ++x) {
      const auto i = static_cast<std::size_t>(x);
      const std::int64_t at = y * width_ + x;
      if (!valid_[at]) {
        to[at] = std::numeric_limits<float>::quiet_NaN();
      } else {
        to[at] = weight[i] > 0.0 ? static_cast<float>(light[i] / weight[i]) : image_[at];
      }
    }
  }

  const float* image_;
  const bool* valid_;
  std::int64_t height_, width_;
  const KernelTaps& kernel_;
  std::int64_t first_ = 0;              // row of the image that the buffers begin with
  std::vector<double> light_, weight_;  // rows of the strip and its surroundings
};

inline void check_band(const at::Tensor& image, const char* role) {
  require(image.dim() == 3 && image.size(0) == 1, role, " must be [1, height, width], got ",
          image.sizes());
}

inline at::Tensor valid_pixels(const at::Tensor& image, const at::Tensor& valid) {
  const at::Tensor finite = at::isfinite(image);
  if (!valid.defined()) return finite;
  require(valid.sizes() == image.sizes(), "valid must be ", image.sizes(), ", got ", valid.sizes());
  return finite.logical_and(valid.to(at::kBool)).contiguous();
}

/// Cuts values above `saturation`; 0: leaves them. NaN stays.
inline void saturate(float* values, std::int64_t count, double saturation) {
  if (saturation <= 0.0) return;
  const auto limit = static_cast<float>(saturation);
  for (std::int64_t i = 0; i < count; ++i) {
    if (values[i] > limit) values[i] = limit;
  }
}

}  // namespace detail

DEEPLIGHT_INLINE at::Tensor gaussian_kernel(double sigma) {
  require(sigma > 0 && sigma <= 256, "the sigma of a Gaussian must be in (0, 256] pixels, got ",
          sigma);
  const auto reach = static_cast<double>(static_cast<std::int64_t>(4.0 * sigma + 0.5));
  const at::Tensor distance = at::arange(-reach, reach + 1, at::kDouble) / sigma;
  const at::Tensor side = (distance.square() * -0.5).exp();
  return at::outer(side, side) / side.sum().square();
}

DEEPLIGHT_INLINE at::Tensor point_spread_kernel(const at::Tensor& measured) {
  require(measured.dim() == 2 && measured.size(0) % 2 == 1 && measured.size(1) % 2 == 1,
          "a point-spread kernel must have two odd sides, got ", measured.sizes());
  const at::Tensor kernel = measured.detach().to(at::kCPU, at::kDouble);
  require(at::isfinite(kernel).all().item<bool>(), "a point-spread kernel must be finite");
  const double smallest = kernel.min().item<double>();
  require(smallest >= 0, "a point-spread kernel must not be negative, got ", smallest);
  const double sum = kernel.sum().item<double>();
  require(sum > 0 && std::isfinite(sum), "a point-spread kernel must have a positive sum, got ",
          sum);
  return kernel / sum;
}

DEEPLIGHT_INLINE at::Tensor point_spread(const at::Tensor& image, const at::Tensor& valid,
                                         const at::Tensor& kernel) {
  detail::check_band(image, "the image of a point spread");
  const at::Tensor plain = image.detach().to(at::kCPU, at::kFloat).contiguous();
  const at::Tensor mask = detail::valid_pixels(plain, valid);
  const detail::KernelTaps taps(point_spread_kernel(kernel));
  at::Tensor blurred = at::empty_like(plain);
  const std::int64_t height = plain.size(1);
  const std::int64_t rows = std::max<std::int64_t>(64, 2 * taps.rows);  // per strip
  const float* from = plain.const_data_ptr<float>();
  const bool* usable = mask.const_data_ptr<bool>();
  float* to = blurred.mutable_data_ptr<float>();
  functional::torch_parallel_for(0, (height + rows - 1) / rows, 1,
                                 [&](std::int64_t begin, std::int64_t end) {
                                   detail::Strip strip(from, usable, height, plain.size(2), taps);
                                   for (std::int64_t i = begin; i < end; ++i) {
                                     strip.run(i * rows, std::min((i + 1) * rows, height), to);
                                   }
                                 });
  return blurred;
}

DEEPLIGHT_INLINE at::Tensor simulate_low_resolution(const at::Tensor& target,
                                                    const at::Tensor& valid,
                                                    const at::Tensor& kernel, std::int64_t scale,
                                                    double saturation) {
  detail::check_band(target, "the target");
  require(scale >= 1, "the scale must be at least 1, got ", scale);
  require(saturation >= 0, "saturation must not be negative, got ", saturation);
  const std::int64_t height = target.size(1), width = target.size(2);
  require(height % scale == 0 && width % scale == 0, "the sides ", height, "x", width,
          " of the target must be multiples of the scale ", scale);
  const at::Tensor plain = target.detach().to(at::kCPU, at::kFloat).contiguous();
  const at::Tensor mask = detail::valid_pixels(plain, valid);
  const at::Tensor seen = kernel.defined() ? point_spread(plain, mask, kernel) : plain;
  at::Tensor low = at::empty({1, height / scale, width / scale}, plain.options());
  float* to = low.mutable_data_ptr<float>();
  detail::block_mean(seen.const_data_ptr<float>(), mask.const_data_ptr<bool>(), height, width,
                     scale, to);
  detail::saturate(to, low.numel(), saturation);
  return low;
}

}  // namespace deeplight
