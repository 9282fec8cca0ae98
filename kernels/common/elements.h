// Elementwise passes: an item is a chunk of 16384 elements.
#pragma once
#include "args.h"
#include "simd.h"

namespace prefgrad::PREFGRAD_ISA {

constexpr int64_t kElementChunk = 16384;  // lib/spec/common.ts ELEMENT_CHUNK

// The elements [first, last) of items [begin, end) out of n.
struct Elements {
  int64_t first, last;

  Elements(int64_t begin, int64_t end, int64_t n)
      : first(begin * kElementChunk), last(end * kElementChunk < n ? end * kElementChunk : n) {}
};

// Calls body(i, n) for each n = 16 elements from i on, and for the rest.
template <typename Body>
PREFGRAD_INLINE void each_sixteen(Elements e, Body body) {
  int64_t i = e.first;
  for (; i + 16 <= e.last; i += 16) body(i, int64_t{16});
  if (i < e.last) body(i, e.last - i);
}
PREFGRAD_INLINE f32x16 load_sixteen(const float* p, int64_t n) {
  return n == 16 ? f32x16::load(p) : f32x16::load_first(p, n, 0.0f);
}
PREFGRAD_INLINE void store_sixteen(float* p, f32x16 x, int64_t n) {
  if (n == 16) {
    store(p, x);
  } else {
    store_first(p, x, n);
  }
}

}  // namespace prefgrad::PREFGRAD_ISA
