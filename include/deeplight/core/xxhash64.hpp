// XXH64 of bytes: a fast checksum against damage, not against intent.
//
// After the public specification of xxHash (Y. Collet, XXH64, revision 0.1.1). Words are read as
// the machine stores them, so checksums are those of the specification on little-endian machines.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace deeplight {

namespace detail {

inline constexpr std::uint64_t xxh_prime[] = {0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F,
                                              0x165667B19E3779F9, 0x85EBCA77C2B2AE63,
                                              0x27D4EB2F165667C5};

template <class Word>
Word load_word(const std::byte* from) {
  Word word;
  std::memcpy(&word, from, sizeof(word));
  return word;
}

inline std::uint64_t xxh_round(std::uint64_t lane, std::uint64_t input) {
  return std::rotl(lane + input * xxh_prime[1], 31) * xxh_prime[0];
}

}  // namespace detail

inline std::uint64_t xxhash64(std::span<const std::byte> bytes, std::uint64_t seed = 0) {
  using detail::load_word;
  constexpr const std::uint64_t* prime = detail::xxh_prime;
  const std::byte* at = bytes.data();
  std::size_t left = bytes.size();
  std::uint64_t hash = seed + prime[4];
  if (left >= 32) {
    std::uint64_t lanes[4] = {seed + prime[0] + prime[1], seed + prime[1], seed, seed - prime[0]};
    for (; left >= 32; left -= 32) {
      for (std::uint64_t& lane : lanes) {
        lane = detail::xxh_round(lane, load_word<std::uint64_t>(at));
        at += 8;
      }
    }
    hash = std::rotl(lanes[0], 1) + std::rotl(lanes[1], 7) + std::rotl(lanes[2], 12) +
           std::rotl(lanes[3], 18);
    for (const std::uint64_t lane : lanes) {
      hash = (hash ^ detail::xxh_round(0, lane)) * prime[0] + prime[3];
    }
  }
  hash += bytes.size();
  for (; left >= 8; left -= 8, at += 8) {
    hash ^= detail::xxh_round(0, load_word<std::uint64_t>(at));
    hash = std::rotl(hash, 27) * prime[0] + prime[3];
  }
  if (left >= 4) {
    hash ^= load_word<std::uint32_t>(at) * prime[0];
    hash = std::rotl(hash, 23) * prime[1] + prime[2];
    left -= 4;
    at += 4;
  }
  for (; left > 0; --left, ++at) {
    hash ^= std::to_integer<std::uint64_t>(*at) * prime[4];
    hash = std::rotl(hash, 11) * prime[0];
  }
  hash = (hash ^ hash >> 33) * prime[1];
  hash = (hash ^ hash >> 29) * prime[2];
  return hash ^ hash >> 32;
}

}  // namespace deeplight
