// Multi-scale structural similarity: Wang, Simoncelli, Bovik 2003, doi:10.1109/ACSSC.2003.1292216.
//
// Convention: scales halve by the mean of 2 x 2 pixels, an odd last row or column is dropped; at
// every scale but the last the contrast and structure term is averaged over the map, at the last
// one the whole SSIM; the product of their powers. Only windows wholly inside. The authors' code
// filters with a symmetric border instead before it takes every second pixel, which is the same
// away from the border.
#pragma once

#include "deeplight/metrics/ssim.hpp"

namespace deeplight::metrics {

/// What a negative mean at a scale becomes before a fractional power is taken.
enum class NegativeScale {
  clamp,  ///< 0, and with it the score
  nan,    ///< NaN, as the formula has no value
};
DEEPLIGHT_ENUM(NegativeScale, {{NegativeScale::clamp, "clamp"}, {NegativeScale::nan, "nan"}})

struct MsSsimOptions {
  std::optional<double> data_range = {};  ///< peak R in the images' units; needed, never guessed
  /// Valid pixels; a coarse pixel is valid where all four of its pixels are.
  std::optional<at::Tensor> mask = {};
  /// Window centres that count; a coarse pixel counts where any of its four pixels does.
  std::optional<at::Tensor> where = {};
  Reduction reduction = Reduction::mean;  ///< pooled: means over the windows of all images; not map
  std::vector<double> weights = {0.0448, 0.2856, 0.3001, 0.2363, 0.1333};  ///< fine to coarse
  NegativeScale negative = NegativeScale::clamp;
  std::int64_t window_size = 11;
  double sigma = 1.5;
  double k1 = 0.01;
  double k2 = 0.03;
};
DEEPLIGHT_OPTIONS(MsSsimOptions, weights, negative, window_size, sigma, k1, k2)

/// Multi-scale SSIM. Differentiable.
/// @param prediction  [..., C, H, W], [C, H, W] or [H, W], any real type; computed in float64
/// @param target      the same shape; sides at least window_size at the last scale: 176 pixels with
///                    the defaults
/// @return  float64, at most 1: a scalar, or with Reduction::none one value per image; 1 for
///          identical images. NaN where no window is left at some scale.
/// @throws InvalidArgument  shapes differ, data_range absent or not above 0, image too small for
///         the number of scales, no weight or one below 0, mask not boolean, reduction map
at::Tensor ms_ssim(const at::Tensor& prediction, const at::Tensor& target,
                   const MsSsimOptions& options);

/// MS-SSIM over the windows of all images that it is given.
class MsSsimAccumulator {
 public:
  /// @throws InvalidArgument  as `ms_ssim`. `mask`, `where` and `reduction` are not read.
  explicit MsSsimAccumulator(MsSsimOptions options);

  /// Adds whole images [..., C, H, W], [C, H, W] or [H, W].
  void update(const at::Tensor& prediction, const at::Tensor& target,
              const std::optional<at::Tensor>& mask = {},
              const std::optional<at::Tensor>& where = {});
  void merge(const MsSsimAccumulator& other);

  /// Forgets everything seen.
  void reset() { scales_.assign(scales_.size(), WindowMean()); }
  /// NaN where a scale has no window.
  double compute() const;
  /// Windows at the finest scale.
  std::int64_t count() const { return scales_.front().count(); }

  /// (high, low, count) of every scale, and back.
  std::vector<double> state() const;
  /// @throws InvalidArgument  not as many numbers
  void load_state(const std::vector<double>& state);

 protected:
  void add(std::size_t scale, const at::Tensor& prediction, const at::Tensor& target,
           const std::optional<at::Tensor>& mask, const std::optional<at::Tensor>& where);

  MsSsimOptions options_;
  std::vector<WindowMean> scales_;
};

/// MS-SSIM of one image that comes as rows of its full width, from the top down.
class MsSsimRows : public MsSsimAccumulator {
 public:
  explicit MsSsimRows(MsSsimOptions options);

  /// The next rows [..., h, W]; `where` with all rows of an image or with none.
  void update(const at::Tensor& prediction, const at::Tensor& target, const at::Tensor& mask,
              const std::optional<at::Tensor>& where = {});

  /// Forgets everything seen; another image may come.
  void reset() { *this = MsSsimRows(options_); }

 private:
  struct Rows {
    at::Tensor prediction, target, mask;  // [..., h, W]
    std::optional<at::Tensor> where;
    bool defined() const { return mask.defined(); }
    Rows part(std::int64_t first, std::int64_t count) const;
    Rows below(const Rows& above) const;
  };
  // Of every scale: rows that windows to come still need, and a row without its pair.
  std::vector<Rows> tails_, odd_;
};

}  // namespace deeplight::metrics

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/metrics/ms_ssim_inl.hpp"
#endif
