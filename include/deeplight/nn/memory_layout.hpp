// The memory layout that whole networks run in: chosen once, at their inputs.
#pragma once

#include <ATen/Functions.h>
#include <ATen/core/Tensor.h>

namespace deeplight::nn {

/// In which convolutions on a device are fastest: channels-last on the CPU.
inline at::MemoryFormat fast_layout(c10::DeviceType device) {
  return device == c10::DeviceType::CPU ? at::MemoryFormat::ChannelsLast
                                        : at::MemoryFormat::Contiguous;
}

/// The image [B, C, H, W] in that layout on the CPU, as it is elsewhere. Every part keeps the
/// layout of its input.
inline at::Tensor in_fast_layout(const at::Tensor& image) {
  if (!image.is_cpu()) return image;
  if (image.size(1) != 1) return image.contiguous(at::MemoryFormat::ChannelsLast);
  // Of one channel both layouts are the same numbers; convolutions look at the strides.
  return image.contiguous().squeeze(1).unsqueeze(-1).permute({0, 3, 1, 2});
}

}  // namespace deeplight::nn
