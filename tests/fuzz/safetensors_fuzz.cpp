// libFuzzer target: any bytes are either a valid safetensors file or a FormatError.
//
// `./dev fuzz` builds it with AddressSanitizer and UndefinedBehaviorSanitizer. What is accepted is
// held to the format's promises: exact cover, products without overflow, unique names.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <span>
#include <string>

#include "deeplight/core/errors.hpp"
#include "deeplight/weights/card.hpp"
#include "deeplight/weights/safetensors.hpp"

namespace {

void demand(bool condition) {
  if (!condition) std::abort();
}

void check_file(std::span<const std::byte> bytes) {
  const auto file = deeplight::SafetensorsFile::parse(bytes, "fuzz");
  std::uint64_t covered = 0;
  unsigned checksum = 0;
  std::set<std::string> names;
  for (const deeplight::StoredTensor& tensor : file.tensors()) {
    demand(tensor.begin == covered && tensor.end - tensor.begin == tensor.data.size());
    covered = tensor.end;
    std::uint64_t size = deeplight::storage_size(tensor.type);
    for (const std::int64_t side : tensor.shape) {
      demand(side >= 0);
      size *= static_cast<std::uint64_t>(side);
    }
    demand(size == tensor.data.size());
    demand(names.insert(tensor.name).second);
    demand(&file.at(tensor.name) == &tensor);
    for (const std::byte byte : tensor.data) checksum += std::to_integer<unsigned>(byte);
  }
  demand(file.tensors().size() <= deeplight::SafetensorsLimits::tensors);
  volatile unsigned sink = checksum;  // keeps the reads
  (void)sink;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  // The first byte chooses the parser, so that one corpus serves both.
  if (size > 0 && data[0] == '#') {
    try {
      const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
      deeplight::validate_card(deeplight::card_from_text(text, "fuzz"), "fuzz");
    } catch (const deeplight::FormatError&) {
    }
    return 0;
  }
  try {
    check_file(bytes);
  } catch (const deeplight::FormatError&) {
  }
  return 0;
}
