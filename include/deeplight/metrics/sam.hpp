// SAM: the spectral angle, arccos(<p, t> / (|p| |t|)), per pixel over bands or of whole images.
//
// Kruse et al. 1993, doi:10.1016/0034-4257(93)90013-N. The arc cosine itself loses half of the
// digits of a small angle; 2 atan2(|u - v|, |u + v|) of the unit vectors (Kahan) keeps them.
#pragma once

#include "deeplight/metrics/accumulator.hpp"
#include "deeplight/metrics/common.hpp"

namespace deeplight::metrics {

/// What the vectors are whose angle is taken.
enum class SamVectors {
  bands,  ///< one vector per pixel, its bands; the mean angle (torchmetrics, sewar)
  image,  ///< one vector per image, all its values: the convention of the DeepLight paper's tables
};
DEEPLIGHT_ENUM(SamVectors, {{SamVectors::bands, "bands"}, {SamVectors::image, "image"}})

enum class AngleUnit { radians, degrees };
DEEPLIGHT_ENUM(AngleUnit, {{AngleUnit::radians, "radians"}, {AngleUnit::degrees, "degrees"}})

struct SamOptions {
  SamVectors vectors = SamVectors::bands;
  AngleUnit unit = AngleUnit::radians;
  /// With one band a pixel's angle is 0, or pi where the signs differ: an error unless wanted.
  bool allow_one_band = false;
  /// Valid pixels; over bands, a pixel counts when it is valid in every band.
  std::optional<at::Tensor> mask = {};
  Reduction reduction = Reduction::mean;
};

/// Spectral angle. Differentiable.
/// @param prediction  [..., C, H, W], [C, H, W] or [H, W], any real type; computed in float64
/// @param target      the same shape
/// @return  float64 in [0, pi], or in degrees: a scalar, or with Reduction::none one value per
///          image. Two zero vectors enclose 0, a zero vector and another one pi / 2. NaN without a
///          valid pixel, or when a valid pixel is NaN. Reduction::pooled over bands is the mean
///          over all pixels of the batch, of images one vector of the whole batch; Reduction::map,
///          over bands only, gives [..., H, W]. Angles of images are exact to about 1e-8 near 0.
/// @throws InvalidArgument  shapes differ, mask not boolean, one band over bands without
///         `allow_one_band`, Reduction::map of images
at::Tensor sam(const at::Tensor& prediction, const at::Tensor& target,
               const SamOptions& options = {});

/// The policy of `sam` over bands; sums pixels and angles.
struct Sam {
  using State = SumState<2>;
  static constexpr const char* name = "sam";
  AngleUnit unit = AngleUnit::radians;
  bool allow_one_band = false;

  at::Tensor statistics(const Part& part) const;
  at::Tensor score(const at::Tensor& state) const;
};

/// The policy of `sam` of whole images; sums values, squares of both sides, squared differences.
struct ImageSam {
  using State = SumState<4>;
  static constexpr const char* name = "sam";
  AngleUnit unit = AngleUnit::radians;

  at::Tensor statistics(const Part& part) const;
  at::Tensor score(const at::Tensor& state) const;
};

}  // namespace deeplight::metrics

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/metrics/sam_inl.hpp"
#endif
