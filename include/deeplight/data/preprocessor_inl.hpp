// Definitions of preprocessor.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <set>

#include "deeplight/core/errors.hpp"
#include "deeplight/core/nearest_name.hpp"
#include "deeplight/data/preprocessor.hpp"
#include "deeplight/data/standardise.hpp"
#include "deeplight/functional/torch_parallel.hpp"

namespace deeplight {
namespace detail {

inline void check_image_description(const ImageDescription& image, const char* role) {
  require(image.std > 0, "standard deviation of the ", role, " must be positive, got ", image.std);
  require(image.transform_scale > 0, "transform scale of the ", role, " must be positive, got ",
          image.transform_scale);
}

inline at::Tensor finite_where_valid(const at::Tensor& values, const at::Tensor& valid) {
  const at::Tensor finite = at::isfinite(values);
  return valid.defined() ? finite.logical_and(valid.to(at::kBool)) : finite;
}

inline void check_image_shape(const at::Tensor& values, const char* role) {
  require(values.dim() == 4 && values.size(1) == 1, "the ", role,
          " must be [batch, 1, height, width], got ", values.sizes());
}

/// T(x / scale); 0 stays 0. @param role  of the raster, for messages
inline at::Tensor transformed(at::Tensor x, ValueTransform transform, double scale,
                              const std::string& role) {
  if (scale != 1.0) x = x / scale;
  if (transform == ValueTransform::log1p) {
    if (x.numel() > 0) {
      const double smallest = x.min().item<double>();
      require(smallest > -1, role, " holds ", smallest * scale, "; log1p needs values above ",
              -scale);
    }
    return x.log1p();
  }
  return transform == ValueTransform::asinh ? x.asinh() : x;
}

inline at::Tensor normalised_image(const at::Tensor& values, const at::Tensor& valid,
                                   const ImageDescription& image, const char* role) {
  check_image_shape(values, role);
  const at::Tensor usable = finite_where_valid(values, valid);
  const at::Tensor x = transformed(at::where(usable, values.to(at::kDouble), 0.0), image.transform,
                                   image.transform_scale, concat("the ", role));
  return at::where(usable, (x - image.mean) / image.std, 0.0).to(at::kFloat);
}

/// Whether `standardised` can take these: a guide in CPU memory that nothing differentiates.
inline bool is_plain(const at::Tensor& values, const at::Tensor& valid) {
  const auto plain = [](const at::Tensor& x) { return x.device().is_cpu() && x.is_contiguous(); };
  const bool mask = !valid.defined() ||
                    (plain(valid) && valid.sizes() == values.sizes() && valid.element_size() == 1);
  return plain(values) && values.scalar_type() == at::kFloat && !values.requires_grad() && mask;
}

/// A guide of linear values, in parallel.
inline at::Tensor standardised(const at::Tensor& values, const at::Tensor& valid,
                               const GuideDescription& guide) {
  at::Tensor result = at::empty_like(values);
  const std::int64_t bands = values.size(1), pixels = values.size(2) * values.size(3);
  const float* from = values.const_data_ptr<float>();
  const auto* mask =
      valid.defined() ? static_cast<const std::uint8_t*>(valid.const_data_ptr()) : nullptr;
  float* to = result.mutable_data_ptr<float>();
  constexpr std::int64_t grain = std::int64_t{1} << 15;
  for (std::int64_t plane = 0; plane < values.size(0) * bands; ++plane) {
    functional::torch_parallel_for(
        plane * pixels, (plane + 1) * pixels, grain, [&](std::int64_t first, std::int64_t last) {
          standardise(from + first, mask == nullptr ? nullptr : mask + first, last - first, guide,
                      static_cast<std::size_t>(plane % bands), to + first);
        });
  }
  return result;
}

/// [1, bands or 1, 1, 1] float64; `standard` where the card says nothing.
inline at::Tensor per_band(const std::vector<double>& list, double standard,
                           const at::Tensor& like) {
  const auto options = like.options().dtype(at::kDouble);
  return list.empty() ? at::full({1, 1, 1, 1}, standard, options)
                      : at::tensor(list, options).view({1, -1, 1, 1});
}

/// Sums over an odd window along one dimension, zeros outside; [B, C, H, W] float64.
inline at::Tensor box_sum(const at::Tensor& values, std::int64_t window) {
  const std::int64_t half = window / 2;
  at::Tensor rows = at::avg_pool2d(values, {window, 1}, {1, 1}, {half, 0}, false, true, 1);
  return at::avg_pool2d(rows, {1, window}, {1, 1}, {0, half}, false, true, 1);
}

inline void check_contrast(const GuideDescription& guide,
                           const std::vector<std::int64_t>& windows) {
  require(!windows.empty(), "guide '", guide.name, "' has contrast but contrast_windows is empty");
  for (const std::int64_t window : windows) {
    require(window > 0 && window % 2 == 1, "contrast_windows must be odd and positive, got ",
            window);
  }
  if (guide.contrast != GuideContrast::standardised) return;
  require(guide.contrast_spread.size() == windows.size(), "guide '", guide.name,
          "' needs one list of contrast_spread for each of ", windows.size(),
          " contrast windows, got ", guide.contrast_spread.size());
  for (const std::vector<double>& spread : guide.contrast_spread) {
    require(spread.size() == static_cast<std::size_t>(guide.bands), "guide '", guide.name, "' has ",
            guide.bands, " bands but ", spread.size(), " contrast spreads");
    for (const double value : spread) {
      require(value > 0, "contrast spreads of guide '", guide.name, "' must be positive, got ",
              value);
    }
  }
}

}  // namespace detail

DEEPLIGHT_INLINE at::Tensor masked_box_mean(const at::Tensor& values, const at::Tensor& valid,
                                            std::int64_t window) {
  require(window > 0 && window % 2 == 1, "the window of a box mean must be odd and positive, got ",
          window);
  require(values.dim() == 4, "values must be [batch, bands, height, width], got ", values.sizes());
  at::Tensor weight = valid.defined() ? valid.to(at::kDouble)
                                      : at::ones({1, 1, values.size(2), values.size(3)},
                                                 values.options().dtype(at::kDouble));
  const at::Tensor x = at::where(weight > 0, values.to(at::kDouble), 0.0);
  return detail::box_sum(x, window) / detail::box_sum(weight, window).clamp_min(1.0);
}

DEEPLIGHT_INLINE Preprocessor::Preprocessor(const Preprocessing& preprocessing, std::int64_t scale)
    : preprocessing_(preprocessing), scale_(scale) {
  require(scale >= 1, "the scale must be at least 1, got ", scale);
  detail::check_image_description(preprocessing_.low_resolution, "low-resolution image");
  detail::check_image_description(preprocessing_.output, "output image");
  std::set<std::string> names;
  for (const GuideDescription& guide : preprocessing_.guides) {
    require(names.insert(guide.name).second, "guide '", guide.name, "' is described twice");
    const auto bands = static_cast<std::size_t>(guide.bands);
    const auto matches = [&](const std::vector<double>& list) {
      return list.empty() || list.size() == bands;
    };
    require(guide.bands >= 1 && matches(guide.mean) && matches(guide.std), "guide '", guide.name,
            "' has ", guide.bands, " bands but ", guide.mean.size(), " means and ",
            guide.std.size(), " standard deviations");
    require(guide.transform_scale > 0, "transform scale of guide '", guide.name,
            "' must be positive, got ", guide.transform_scale);
    for (const double deviation : guide.std) {
      require(deviation > 0, "standard deviations of guide '", guide.name,
              "' must be positive, got ", deviation);
    }
    if (guide.contrast != GuideContrast::none) {
      detail::check_contrast(guide, preprocessing_.contrast_windows);
    }
  }
}

DEEPLIGHT_INLINE const GuideDescription& Preprocessor::description(const std::string& name) const {
  std::vector<std::string> known;
  for (const GuideDescription& guide : preprocessing_.guides) {
    if (guide.name == name) return guide;
    known.push_back(guide.name);
  }
  require(!known.empty(), "guide '", name, "' is not known: these weights take no guides");
  throw InvalidArgument(concat("guide '", name, "' is not known; did you mean '",
                               nearest_name(name, known), "'? Known: ", joined(known)));
}

DEEPLIGHT_INLINE at::Tensor Preprocessor::low_resolution(const at::Tensor& values,
                                                         const at::Tensor& valid) const {
  return detail::normalised_image(values, valid, preprocessing_.low_resolution,
                                  "low-resolution image");
}

DEEPLIGHT_INLINE at::Tensor Preprocessor::target(const at::Tensor& values,
                                                 const at::Tensor& valid) const {
  return detail::normalised_image(values, valid, preprocessing_.output, "high-resolution image");
}

DEEPLIGHT_INLINE at::Tensor Preprocessor::guide(const std::string& name, const at::Tensor& values,
                                                const at::Tensor& valid) const {
  const GuideDescription& guide = description(name);
  require(values.dim() == 4 && values.size(1) == guide.bands, "guide '", name, "' must be [batch, ",
          guide.bands, ", height, width], got ", values.sizes());
  if (guide.transform == ValueTransform::linear && guide.contrast == GuideContrast::none &&
      detail::is_plain(values, valid)) {
    return detail::standardised(values, valid, guide);
  }
  const at::Tensor mean = detail::per_band(guide.mean, 0.0, values);
  const at::Tensor std = detail::per_band(guide.std, 1.0, values);
  const at::Tensor usable = detail::finite_where_valid(values, valid);
  const at::Tensor known =
      detail::transformed(at::where(usable, values.to(at::kDouble), 0.0), guide.transform,
                          guide.transform_scale, concat("guide '", name, "'"));
  const at::Tensor x = at::where(usable, (known - mean) / std, 0.0);
  std::vector<at::Tensor> channels{x.to(at::kFloat)};
  if (guide.contrast == GuideContrast::none) return channels.front();
  for (std::size_t i = 0; i < preprocessing_.contrast_windows.size(); ++i) {
    const std::int64_t window = preprocessing_.contrast_windows[i];
    at::Tensor contrast = at::where(usable, x - masked_box_mean(x, usable, window), 0.0);
    if (guide.contrast == GuideContrast::standardised) {
      const at::Tensor spread = detail::per_band(guide.contrast_spread[i], 0.0, values);
      const at::Tensor around = masked_box_mean(contrast.square(), usable, window).sqrt();
      contrast = contrast / (around + 0.5 * spread);
    }
    channels.push_back(contrast.to(at::kFloat));
  }
  return at::cat(channels, 1);
}

DEEPLIGHT_INLINE GuideTensors Preprocessor::guides(const GuideTensors& values,
                                                   const GuideTensors& valid) const {
  GuideTensors normalised;
  for (const auto& [name, tensor] : values) {
    const auto mask = valid.find(name);
    normalised[name] = guide(name, tensor, mask == valid.end() ? at::Tensor{} : mask->second);
  }
  for (const GuideDescription& needed : preprocessing_.guides) {
    require(normalised.count(needed.name) == 1, "guide '", needed.name, "' (", needed.bands,
            " bands) is missing");
  }
  return normalised;
}

DEEPLIGHT_INLINE at::Tensor Preprocessor::restore(const at::Tensor& image) const {
  const ImageDescription& output = preprocessing_.output;
  at::Tensor x = image.to(at::kDouble) * output.std + output.mean;
  if (output.transform == ValueTransform::log1p) x = x.expm1();
  if (output.transform == ValueTransform::asinh) x = x.sinh();
  return (x * output.transform_scale).to(at::kFloat);
}

DEEPLIGHT_INLINE std::int64_t Preprocessor::margin() const {
  const std::vector<std::int64_t>& windows = preprocessing_.contrast_windows;
  std::int64_t reach = 0;  // output pixels
  for (const GuideDescription& guide : preprocessing_.guides) {
    if (guide.contrast == GuideContrast::none) continue;
    const std::int64_t boxes = guide.contrast == GuideContrast::standardised ? 2 : 1;
    reach = std::max(reach, boxes * (*std::max_element(windows.begin(), windows.end()) / 2));
  }
  return (reach + scale_ - 1) / scale_;
}

DEEPLIGHT_INLINE std::vector<Guide> Preprocessor::network_guides() const {
  std::vector<Guide> guides;
  for (const GuideDescription& guide : preprocessing_.guides) {
    const auto windows = static_cast<std::int64_t>(preprocessing_.contrast_windows.size());
    const bool contrast = guide.contrast != GuideContrast::none;
    guides.push_back({guide.name, (contrast ? 1 + windows : 1) * guide.bands});
  }
  return guides;
}

}  // namespace deeplight
