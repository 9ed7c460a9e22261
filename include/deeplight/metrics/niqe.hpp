// NIQE, a score without a reference: Mittal, Soundararajan, Bovik 2013,
// doi:10.1109/LSP.2012.2227726.
//
// A multivariate normal is fitted to 36 features (kernels/niqe_cpu.hpp) of the sharp blocks of
// images that are known to be good; the score of an image is the distance of the normal of its own
// blocks from that model. 0 is best. There is no model but the user's: photographs of daylight, on
// which the published one was fitted, say nothing about night lights.
//
// What it rewards: statistics like those of the images of the model, be they right or wrong. Noise
// or invented texture that resembles them scores well. Flat blocks (all dark) have no features and
// do not count.
#pragma once

#include <string>

#include "deeplight/kernels/niqe_cpu.hpp"
#include "deeplight/metrics/window.hpp"

namespace deeplight::metrics {

/// What features are made of; scores of a model are taken with the model's own.
struct NiqeFeatureOptions {
  double data_range = 0.0;       ///< peak of the units, which becomes 255; needed, never guessed
  bool round = false;            ///< to integers of 0 ... 255 first, as for 8-bit images
  std::int64_t block_size = 96;  ///< pixels, even, at least 8
};
DEEPLIGHT_OPTIONS(NiqeFeatureOptions, data_range, round, block_size)

/// The normal that good images have.
struct NiqeModel {
  NiqeFeatureOptions options;
  std::int64_t blocks = 0;  ///< that it was fitted on
  at::Tensor mean;          ///< [36] float64
  at::Tensor covariance;    ///< [36, 36] float64, divisor blocks - 1
};

/// Features of the blocks of an image.
struct NiqeFeatures {
  at::Tensor features;  ///< [..., h, w, 36] float64, h = H / block_size whole blocks; NaN where the
                        ///< block does not count
  at::Tensor sharpness;  ///< [..., h, w] float64: mean local deviation, in units of 255
  at::Tensor counted;    ///< [..., h, w] boolean: not flat, no invalid pixel within reach, chosen
};

/// Features of every whole block, from the first pixel; what is left over at the far edges is cut.
/// @param image  [..., C, H, W], [C, H, W] or [H, W], any real type; computed in float64
/// @param mask   valid pixels; a block with an invalid pixel within 9 pixels of it does not count
/// @param where  only blocks that hold a true pixel count
/// @throws InvalidArgument  data_range not above 0, block_size odd or below 8, the image smaller
///         than a block, mask or where not boolean
NiqeFeatures niqe_features(const at::Tensor& image, const NiqeFeatureOptions& options,
                           const std::optional<at::Tensor>& mask = {},
                           const std::optional<at::Tensor>& where = {});

/// Fits a model to good images.
class NiqeFit {
 public:
  /// @param sharpness  share of an image's sharpest block above which its blocks are taken, in
  ///                   [0, 1); the authors' is 0.75
  /// @throws InvalidArgument  options as in `niqe_features`, sharpness outside [0, 1)
  explicit NiqeFit(NiqeFeatureOptions options, double sharpness = 0.75);

  /// Adds the sharp blocks of images [..., C, H, W], [C, H, W] or [H, W]; all bands of an image are
  /// measured against its sharpest block.
  /// @throws InvalidArgument  as `niqe_features`
  void update(const at::Tensor& images, const std::optional<at::Tensor>& mask = {});

  /// Blocks so far.
  std::int64_t blocks() const { return blocks_; }

  /// @throws InvalidArgument  fewer than 37 blocks: a covariance of 36 features would be singular;
  ///         or a NaN among the pixels
  NiqeModel compute() const;

 private:
  NiqeFeatureOptions options_;
  double sharpness_;
  std::vector<at::Tensor> features_;  // [n, 36] each
  std::int64_t blocks_ = 0;
};

/// The model as JSON text of at most about 60 kB, all digits kept, and back.
/// @throws FormatError  not the JSON of a model
std::string niqe_model_to_json(const NiqeModel& model);
NiqeModel niqe_model_from_json(const std::string& text, const std::string& name = "niqe model");

/// @throws FileError  cannot be written or read; the file appears whole or not at all
/// @throws FormatError  no model of NIQE
void save_niqe_model(const NiqeModel& model, const std::string& path);
NiqeModel load_niqe_model(const std::string& path);

struct NiqeOptions {
  std::optional<at::Tensor> mask = {};    ///< valid pixels; as in `niqe_features`
  std::optional<at::Tensor> where = {};   ///< only blocks that hold a true pixel count
  Reduction reduction = Reduction::mean;  ///< not map: a normal needs many blocks
};

/// NIQE: sqrt((m - M)' pinv((S + s) / 2) (m - M)) with the model's M, S and the image's own m, s
/// (divisor blocks - 1; 0 for one block).
/// @param image  [..., C, H, W], [C, H, W] or [H, W], any real type, at least a block
/// @return  float64 on the image's device; NaN where no block counts (all dark, constant) and where
///          a counted block reads a NaN
/// @throws InvalidArgument  as `niqe_features`, model not of 36 features, reduction map
at::Tensor niqe(const at::Tensor& image, const NiqeModel& model, const NiqeOptions& options = {});

/// NIQE of an image that comes in pieces. A piece's region begins at multiples of the block size;
/// around it come `halo()` more pixels on every side where the image goes on, none where the image
/// ends; the image ends with its last whole block.
class NiqeAccumulator {
 public:
  explicit NiqeAccumulator(NiqeModel model);

  static constexpr std::int64_t halo() { return 10; }

  /// @param piece  [..., h, w], region and halo; mask and where have its shape
  void update(const at::Tensor& piece, std::int64_t top, std::int64_t left, std::int64_t bottom,
              std::int64_t right, const std::optional<at::Tensor>& mask = {},
              const std::optional<at::Tensor>& where = {});
  void merge(const NiqeAccumulator& other) { merge_state(other.state_); }
  /// @throws InvalidArgument  not a state of NIQE
  void merge_state(const at::Tensor& state);

  /// The score of all blocks so far; NaN where none counted.
  double compute() const;
  std::int64_t count() const;

  /// [1 + 36 + 36 x 36] float64: blocks, mean, sums of products of deviations.
  const at::Tensor& state() const { return state_; }
  void reset();

 private:
  NiqeModel model_;
  at::Tensor state_;
};

}  // namespace deeplight::metrics

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/metrics/niqe_inl.hpp"
#endif
