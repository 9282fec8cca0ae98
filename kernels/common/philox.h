// Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"): random bits as a
// function of a key and a counter, so that every device draws the same ones in any order.
#pragma once
#include "simd.h"

namespace prefgrad::PREFGRAD_ISA {

// 64 random bits: the key is the seed, the counter is (counter, stream, 0), and the second word is the upper half.
inline uint64_t philox(uint64_t seed, uint64_t counter, uint32_t stream) {
  uint32_t key[2] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  uint32_t c[4] = {static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), stream, 0};
  for (int round = 0; round < 10; ++round) {
    const uint64_t first = uint64_t{0xd2511f53} * c[0], second = uint64_t{0xcd9e8d57} * c[2];
    c[0] = static_cast<uint32_t>(second >> 32) ^ c[1] ^ key[0];
    c[2] = static_cast<uint32_t>(first >> 32) ^ c[3] ^ key[1];
    c[1] = static_cast<uint32_t>(second);
    c[3] = static_cast<uint32_t>(first);
    key[0] += 0x9e3779b9;
    key[1] += 0xbb67ae85;
  }
  return uint64_t{c[1]} << 32 | c[0];
}

}  // namespace prefgrad::PREFGRAD_ISA
