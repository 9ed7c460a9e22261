// PIQE, a score without a reference: Venkatanath et al. 2015, doi:10.1109/NCC.2015.7084843, with
// the steps, constants and quirks of MATLAB's `piqe`. 0 is best, 100 worst.
//
// What it rewards: local structure. Blocks of 16 x 16 that are active (normalised variance above
// 0.1) are charged for flat stretches on their edges and for noise-like centres. An image without
// any active block scores 100, the worst, so an all-dark image does, and so does a night image
// whose darkness swallows its lights: report the score over lit blocks (`where`) beside it. Adding
// noise to a dark image makes blocks active and can improve the score.
#pragma once

#include "deeplight/kernels/piqe_cpu.hpp"
#include "deeplight/metrics/window.hpp"

namespace deeplight::metrics {

/// How pixel values become the 0 ... 255 that PIQE's constants are made for.
enum class PiqeStretch {
  maximum,  ///< 255 / the image's largest valid value, MATLAB's for all but uint8; one hot pixel
            ///< rescales everything
  range,    ///< 255 / data_range: scores of different images and of tiles are comparable
  none,     ///< values as they are, MATLAB's for uint8
};
DEEPLIGHT_ENUM(PiqeStretch, {{PiqeStretch::maximum, "maximum"},
                             {PiqeStretch::range, "range"},
                             {PiqeStretch::none, "none"}})

/// Which columns of a block the noise criterion calls its surround.
enum class PiqeSurround {
  reference,  ///< all but columns 8 and 10 (from 1): the reference code removes 8, then the 9th of
              ///< what is left
  centred,    ///< all but the two centre columns 8 and 9, as the paper says
};
DEEPLIGHT_ENUM(PiqeSurround,
               {{PiqeSurround::reference, "reference"}, {PiqeSurround::centred, "centred"}})

struct PiqeOptions {
  /// Valid pixels. A block is dropped if an invalid pixel lies in it or within 3 pixels of it; the
  /// stretch does not see invalid pixels either.
  std::optional<at::Tensor> mask = {};
  /// Only blocks that hold a true pixel count: the lit PIQE with where = lit_mask(image).
  std::optional<at::Tensor> where = {};
  Reduction reduction = Reduction::mean;  ///< map: one value per block, what it adds to the sum D
  PiqeStretch stretch = PiqeStretch::maximum;
  double data_range = 0.0;  ///< peak of the units, read with stretch range
  bool round = true;        ///< stretched values to integers, halves away from zero, as in MATLAB
  PiqeSurround surround = PiqeSurround::reference;
  double activity_threshold = 0.1;
  double artifact_threshold = 0.1;
};
DEEPLIGHT_OPTIONS(PiqeOptions, stretch, data_range, round, surround, activity_threshold,
                  artifact_threshold)

/// Verdicts on the blocks of every plane, each [..., ceil(H / 16), ceil(W / 16)].
struct PiqeBlocks {
  at::Tensor distortion;  ///< float64; 0 for inactive blocks, NaN where the block does not count
  at::Tensor counted;     ///< boolean: not touched by an invalid pixel, and chosen by `where`
  at::Tensor active;      ///< boolean
  at::Tensor artifact;    ///< boolean: a flat segment on an edge of an active block
  at::Tensor noise;       ///< boolean: noise-like centre of an active block
};

/// PIQE: 100 (D + 1) / (active blocks + 1), D the distortion of the active blocks.
/// @param image  [..., C, H, W], [C, H, W] or [H, W], any real type, any size from 1 x 1; computed
///               in float64. The blocks of all bands of an image are judged together; the maximum
///               of the stretch is the image's.
/// @return  float64: a scalar, or with Reduction::none one value per image. Not bounded by 100 from
///          above. 100 where no block is active (all dark, constant, one pixel); NaN where no block
///          counts, and where a counted block holds NaN.
/// @throws InvalidArgument  stretch range without a data_range above 0, mask or where not boolean
at::Tensor piqe(const at::Tensor& image, const PiqeOptions& options = {});

/// The verdicts behind the score; `reduction` is not read.
PiqeBlocks piqe_blocks(const at::Tensor& image, const PiqeOptions& options = {});

/// Pixels around a block of an image that comes in pieces.
struct PiqeHalo {
  std::int64_t top = 0, left = 0, bottom = 0, right = 0;
};

/// PIQE of an image that comes in pieces. A piece's region begins at multiples of 16 and ends at
/// multiples of 16 or with the image. Around it come `halo()` more pixels on every side where the
/// image goes on, none where the image ends. A piece that ends with the image has at least 16 rows
/// and columns, or all that there are: they fill up the last block. Any order, one value.
class PiqeAccumulator {
 public:
  /// @throws InvalidArgument  stretch maximum, which no piece can know
  explicit PiqeAccumulator(PiqeOptions options);

  static constexpr std::int64_t halo() { return 3; }

  /// @param piece  [..., h, w], region and halo; mask and where have its shape
  /// @throws InvalidArgument  no room for the halo, too few rows to fill up the last block
  void update(const at::Tensor& piece, PiqeHalo halo, const std::optional<at::Tensor>& mask = {},
              const std::optional<at::Tensor>& where = {});
  void merge(const PiqeAccumulator& other);
  /// Forgets everything seen.
  void reset() { *this = PiqeAccumulator(options_); }

  /// The score of all pieces so far; NaN where no block counted.
  double compute() const;

  /// Blocks that counted.
  std::int64_t count() const { return count_; }

  /// (high, low, active, count) and back.
  std::array<double, 4> state() const;
  void load_state(const std::array<double, 4>& state);

 private:
  PiqeOptions options_;
  kernels::ExactSum distortion_;
  std::int64_t active_ = 0, count_ = 0;
};

}  // namespace deeplight::metrics

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/metrics/piqe_inl.hpp"
#endif
