// XXH64 and SHA-256 against published vectors and against the one-piece form.
#include "deeplight/core/xxhash64.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "deeplight/core/sha256.hpp"

using namespace deeplight;

namespace {

std::uint64_t hash_of(std::string_view text, std::uint64_t seed = 0) {
  return xxhash64(std::as_bytes(std::span(text)), seed);
}

}  // namespace

TEST_CASE("xxhash64: known values") {
  CHECK(hash_of("") == 0xEF46DB3751D8E999);
  CHECK(hash_of("a") == 0xD24EC4F1A98C6E5B);
  CHECK(hash_of("abc") == 0x44BC2CF5AD770999);
  CHECK(hash_of("Nobody inspects the spammish repetition") == 0xFBCEA83C8A378BF1);
}

TEST_CASE("xxhash64: every bit counts") {
  std::vector<std::byte> bytes(77);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = std::byte(i * 37 % 251);
  const std::uint64_t whole = xxhash64(bytes);
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    bytes[bit / 8] ^= std::byte(1 << bit % 8);
    CHECK(xxhash64(bytes) != whole);
    bytes[bit / 8] ^= std::byte(1 << bit % 8);
  }
  CHECK(xxhash64(bytes, 1) != whole);
}

TEST_CASE("sha256: in parts of any size as in one piece") {
  std::string text;
  for (int i = 0; i < 300; ++i) text += static_cast<char>('a' + i % 26);
  const std::string whole = sha256_hex(std::as_bytes(std::span(text)));
  for (const std::size_t part : {1, 3, 63, 64, 65, 128, 299}) {
    Sha256 hash;
    for (std::size_t at = 0; at < text.size(); at += part) {
      hash.update(std::string_view(text).substr(at, part));
    }
    CHECK(hash.hex() == whole);
  }
  CHECK(Sha256().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Sha256 abc;
  abc.update("abc");
  CHECK(abc.hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_CASE("sha256: the processor's own instructions give what plain code gives") {
  std::vector<std::byte> bytes(std::size_t{64} * 9);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = std::byte(i * 151 % 253);
  for (std::size_t blocks = 0; blocks <= 9; ++blocks) {
    std::array<std::uint32_t, 8> plain{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                       0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    std::array<std::uint32_t, 8> chosen = plain;
    for (std::size_t block = 0; block < blocks; ++block) {
      detail::sha256_block(plain, bytes.data() + 64 * block);
    }
    detail::sha256_blocks(chosen, bytes.data(), blocks);
    CHECK(chosen == plain);
  }
}
