// Values that a part pools over the whole image: computed from the input at hand, recorded, or
// replayed. With replayed values every part is local, and tiles equal the whole.
//
//     const auto gate = scope.value("gate", [&] { return attention(features.mean({2, 3}, true));
//     });
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>

#include "deeplight/core/errors.hpp"

namespace deeplight::nn {

/// By the name of the part that they enter; a batch of one when recorded for a raster.
using PooledValues = std::map<std::string, at::Tensor>;

/// What a part is handed in its forward; the default computes every value anew.
class PooledScope {
 public:
  PooledScope() = default;

  /// Computes values and keeps them in `into`, which must outlive the scope.
  static PooledScope recording(PooledValues& into) { return {&into, nullptr, ""}; }
  /// Takes values from `from`, which must outlive the scope; computes where it is empty.
  static PooledScope replaying(const PooledValues& from) {
    return {nullptr, from.empty() ? nullptr : &from, ""};
  }

  /// The scope of the child `name`.
  PooledScope of(const std::string& name) const {
    if (into_ == nullptr && from_ == nullptr) return {};
    return {into_, from_, prefix_ + name + "."};
  }

  /// The value `name` of this part; `compute` must depend on the image as a whole only.
  /// @throws InvalidArgument  the values replayed do not hold it
  template <class Compute>
  at::Tensor value(const std::string& name, const Compute& compute) const {
    if (from_ != nullptr) {
      const auto found = from_->find(prefix_ + name);
      require(found != from_->end(), "the pooled values hold no '", prefix_ + name,
              "'; they were recorded by another network");
      return found->second;
    }
    at::Tensor value = compute();
    if (into_ != nullptr) (*into_)[prefix_ + name] = value.detach();
    return value;
  }

 private:
  PooledScope(PooledValues* into, const PooledValues* from, std::string prefix)
      : into_(into), from_(from), prefix_(std::move(prefix)) {}

  PooledValues* into_ = nullptr;
  const PooledValues* from_ = nullptr;
  std::string prefix_;
};

}  // namespace deeplight::nn
