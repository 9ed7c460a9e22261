// SHA-256 (FIPS 180-4), for checking that a file is the one that its card describes.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "deeplight/core/sha256_x86.hpp"

namespace deeplight {

namespace detail {

inline constexpr std::array<std::uint32_t, 64> sha256_constants{
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

inline void sha256_block(std::array<std::uint32_t, 8>& state, const std::byte* block) {
  std::array<std::uint32_t, 64> w;
  for (std::size_t i = 0; i < 16; ++i) {
    w[i] = 0;
    for (std::size_t j = 0; j < 4; ++j) {
      w[i] = (w[i] << 8) | std::to_integer<std::uint32_t>(block[4 * i + j]);
    }
  }
  for (std::size_t i = 16; i < 64; ++i) {
    const std::uint32_t a = w[i - 15];
    const std::uint32_t b = w[i - 2];
    w[i] = w[i - 16] + (std::rotr(a, 7) ^ std::rotr(a, 18) ^ (a >> 3)) + w[i - 7] +
           (std::rotr(b, 17) ^ std::rotr(b, 19) ^ (b >> 10));
  }
  auto [a, b, c, d, e, f, g, h] = state;
  for (std::size_t i = 0; i < 64; ++i) {
    const std::uint32_t first = h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) +
                                ((e & f) ^ (~e & g)) + sha256_constants[i] + w[i];
    const std::uint32_t second =
        (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g;
    g = f;
    f = e;
    e = d + first;
    d = c;
    c = b;
    b = a;
    a = first + second;
  }
  const std::array<std::uint32_t, 8> added{a, b, c, d, e, f, g, h};
  for (std::size_t i = 0; i < 8; ++i) state[i] += added[i];
}

inline void sha256_blocks(std::array<std::uint32_t, 8>& state, const std::byte* data,
                          std::size_t blocks) {
#if defined(DEEPLIGHT_SHA256_X86)
  if (has_sha256_instructions()) {
    return sha256_blocks_x86(state.data(), data, blocks, sha256_constants.data());
  }
#endif
  for (; blocks > 0; --blocks, data += 64) sha256_block(state, data);
}

}  // namespace detail

/// The hash of bytes that come in parts.
class Sha256 {
 public:
  void update(std::span<const std::byte> bytes) {
    total_ += bytes.size();
    if (held_ > 0) {
      const std::size_t taken = std::min(bytes.size(), std::size_t{64} - held_);
      std::copy_n(bytes.begin(), taken, block_.begin() + static_cast<std::ptrdiff_t>(held_));
      held_ += taken;
      bytes = bytes.subspan(taken);
      if (held_ < 64) return;
      detail::sha256_blocks(state_, block_.data(), 1);
      held_ = 0;
    }
    const std::size_t whole = bytes.size() / 64;
    detail::sha256_blocks(state_, bytes.data(), whole);
    bytes = bytes.subspan(64 * whole);
    std::copy(bytes.begin(), bytes.end(), block_.begin());
    held_ = bytes.size();
  }
  void update(std::string_view text) { update(std::as_bytes(std::span(text))); }

  /// 64 lower-case hex digits; the object is used up.
  std::string hex() {
    std::array<std::byte, 128> tail{};
    std::copy_n(block_.begin(), held_, tail.begin());
    tail[held_] = std::byte{0x80};
    const std::size_t padded = held_ < 56 ? 64 : 128;
    const std::uint64_t bits = total_ * 8;
    for (std::size_t i = 0; i < 8; ++i) tail[padded - 1 - i] = std::byte(bits >> (8 * i) & 0xff);
    detail::sha256_blocks(state_, tail.data(), padded / 64);
    std::string text;
    for (const std::uint32_t word : state_) {
      for (int shift = 28; shift >= 0; shift -= 4) text += "0123456789abcdef"[word >> shift & 15];
    }
    return text;
  }

 private:
  std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::byte, 64> block_{};
  std::size_t held_ = 0;
  std::uint64_t total_ = 0;
};

/// The hash of `bytes` as 64 lower-case hex digits.
inline std::string sha256_hex(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.hex();
}

}  // namespace deeplight
