// Damaged checkpoints: as many as asked for; totals are kept by scripts/soak.py.
//
//   checkpoint_soak COUNT SEED
//
// prints one line of JSON. A damaged file must be refused by the parser, or hold other bytes than
// the checksum on its card says, which `load` refuses; what the parser accepts must keep the
// format's promises. A crash ends the program with another code.
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/core/sha256.hpp"
#include "deeplight/weights/safetensors.hpp"

namespace {

using namespace deeplight;

std::string checkpoint(std::mt19937_64& random) {
  static const std::vector<float> zeros(4096, 0.5F);
  std::vector<StoredTensor> tensors;
  const std::size_t count = 1 + random() % 12;
  for (std::size_t index = 0; index < count; ++index) {
    StoredTensor tensor;
    tensor.name = "block." + std::to_string(index) + ".weight";
    tensor.type = std::array{StorageType::f32, StorageType::f16, StorageType::bf16,
                             StorageType::i64, StorageType::u8}[random() % 5];
    std::size_t elements = 1;
    for (std::size_t rank = random() % 4; rank > 0; --rank) {
      tensor.shape.push_back(static_cast<std::int64_t>(1 + random() % 8));
      elements *= static_cast<std::size_t>(tensor.shape.back());
    }
    tensor.data = std::as_bytes(std::span(zeros)).first(elements * storage_size(tensor.type));
    tensors.push_back(tensor);
  }
  const std::string path = (std::filesystem::temp_directory_path() /
                            ("deeplight-soak-" + std::to_string(::getpid()) + ".safetensors"))
                               .string();
  write_safetensors(path, tensors, {{"format", "pt"}});
  std::ifstream stream(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(stream), {}};
  stream.close();
  std::filesystem::remove(path);
  return bytes;
}

std::string damaged(const std::string& whole, std::mt19937_64& random) {
  std::string copy = whole;
  std::uint64_t header = 0;
  std::memcpy(&header, whole.data(), sizeof header);
  const std::size_t start = random() % 4 == 0 ? 8 + header : 0;
  const std::size_t range = random() % 3 == 0 ? 8 : whole.size() - start;
  const std::size_t place = std::min(start + random() % range, whole.size() - 1);
  static constexpr char letters[] = "{}[]\",:0123456789-eE.ntf\\u\0\xff";
  switch (random() % 6) {
    case 0:
      copy.resize(place);
      break;
    case 1:
      copy.insert(place, whole.substr(place, 1 + random() % 32));
      break;
    case 2:
      copy.erase(place, 1 + random() % 32);
      break;
    case 3:
      copy[place] = letters[random() % sizeof letters];
      break;
    case 4:
      copy.append(1 + random() % 64, static_cast<char>(random()));
      break;
    default:
      copy[place] ^= static_cast<char>(1U << (random() % 8));
  }
  return copy;
}

bool keeps_promises(const SafetensorsFile& file) {
  std::uint64_t covered = 0;
  for (const StoredTensor& tensor : file.tensors()) {
    std::uint64_t size = storage_size(tensor.type);
    for (const std::int64_t side : tensor.shape) size *= static_cast<std::uint64_t>(side);
    if (tensor.begin != covered || tensor.data.size() != size) return false;
    covered = tensor.end;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: checkpoint_soak COUNT SEED\n";
    return 2;
  }
  std::mt19937_64 random(static_cast<std::uint64_t>(std::atoll(argv[2])));
  std::int64_t injected = 0, parser = 0, checksum = 0, silent = 0, untyped = 0;
  std::string whole, digest;
  for (const std::int64_t count = std::atoll(argv[1]); injected < count;) {
    if (injected % 100 == 0) {
      whole = checkpoint(random);
      digest = sha256_hex(std::as_bytes(std::span(whole)));
    }
    const std::string copy = damaged(whole, random);
    if (copy == whole) continue;
    ++injected;
    try {
      const auto bytes = std::as_bytes(std::span(copy));
      const SafetensorsFile file = SafetensorsFile::parse(bytes, "damaged.safetensors");
      sha256_hex(bytes) != digest&& keeps_promises(file) ? ++checksum : ++silent;
    } catch (const FormatError& error) {
      std::string(error.what()).find("damaged.safetensors") != std::string::npos ? ++parser
                                                                                 : ++untyped;
    } catch (const std::exception& error) {
      std::cerr << error.what() << "\n";
      ++untyped;
    }
  }
  std::cout << "{\"injected\": " << injected << ", \"refused\": " << parser + checksum
            << ", \"by_checksum\": " << checksum << ", \"silent\": " << silent
            << ", \"untyped\": " << untyped << "}\n";
  return silent + untyped == 0 ? 0 : 1;
}
