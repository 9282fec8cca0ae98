// Elements of the three floating-point types, sixteen bytes at a time, and passes over flat arrays of f32.
#pragma once
#include "cuda.h"
#include "element_blocks.h"

namespace prefgrad {

struct alignas(16) Words {
  uint32_t w[4];
};

// What f16 needs of the hardware; bf16 is the upper half of f32.
PREFGRAD_DEVICE float f32_from_f16(uint16_t h) {
#if defined(__CUDACC__)
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(h));
  return x;
#else
  const uint32_t sign = (h & 0x8000u) << 16, size = h & 0x7fffu;
  if (size >= 0x7c00u) return float_of(sign | 0x7f800000u | (size & 0x3ffu) << 13);
  return float_of(sign | bits_of(float_of(size << 13) * 0x1p112f));
#endif
}

// Rounded to nearest, ties to even.
PREFGRAD_DEVICE uint16_t f16_from_f32(float x) {
#if defined(__CUDACC__)
  uint16_t h;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(x));
  return h;
#else
  const uint32_t bits = bits_of(x), sign = bits >> 16 & 0x8000u, size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (size >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);
  if (size >= 0x38800000u) return static_cast<uint16_t>(sign | ((size - 0x38000000u + 0xfffu + (size >> 13 & 1u)) >> 13));
  // A subnormal result: the addition rounds at its last digit, 2^-24.
  return static_cast<uint16_t>(sign | (bits_of(float_of(size) + 0.5f) - 0x3f000000u));
#endif
}
PREFGRAD_DEVICE uint16_t bf16_from_f32(float x) {
#if defined(__CUDACC__)
  uint16_t h;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h) : "f"(x));
  return h;
#else
  const uint32_t bits = bits_of(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
#endif
}

// An element type: `count` elements in sixteen bytes, and one element, to f32 and back.
struct ElementF32 {
  using Stored = float;
  static constexpr int count = 4;
  static PREFGRAD_MEMBER float load(const float* p) { return *p; }
  static PREFGRAD_MEMBER void store(float* p, float x) { *p = x; }
  static PREFGRAD_MEMBER void widen(const Words& v, float* x) {
    for (int k = 0; k < 4; ++k) x[k] = float_of(v.w[k]);
  }
  static PREFGRAD_MEMBER Words narrow(const float* x) { return {{bits_of(x[0]), bits_of(x[1]), bits_of(x[2]), bits_of(x[3])}}; }
};

struct ElementBf16 {
  using Stored = uint16_t;
  static constexpr int count = 8;
  static PREFGRAD_MEMBER float load(const uint16_t* p) { return float_of(uint32_t{*p} << 16); }
  static PREFGRAD_MEMBER void store(uint16_t* p, float x) { *p = bf16_from_f32(x); }
  static PREFGRAD_MEMBER void widen(uint32_t word, float* x) {
    x[0] = float_of(word << 16);
    x[1] = float_of(word & 0xffff0000u);
  }
  static PREFGRAD_MEMBER void widen(const Words& v, float* x) {
    for (int k = 0; k < 4; ++k) widen(v.w[k], x + 2 * k);
  }
  static PREFGRAD_MEMBER uint32_t narrow(float low, float high) {
#if defined(__CUDACC__)
    uint32_t word;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
#else
    return uint32_t{bf16_from_f32(high)} << 16 | bf16_from_f32(low);
#endif
  }
  static PREFGRAD_MEMBER Words narrow(const float* x) {
    return {{narrow(x[0], x[1]), narrow(x[2], x[3]), narrow(x[4], x[5]), narrow(x[6], x[7])}};
  }
};

struct ElementF16 {
  using Stored = uint16_t;
  static constexpr int count = 8;
  static PREFGRAD_MEMBER float load(const uint16_t* p) { return f32_from_f16(*p); }
  static PREFGRAD_MEMBER void store(uint16_t* p, float x) { *p = f16_from_f32(x); }
  static PREFGRAD_MEMBER void widen(uint32_t word, float* x) {
    x[0] = f32_from_f16(static_cast<uint16_t>(word));
    x[1] = f32_from_f16(static_cast<uint16_t>(word >> 16));
  }
  static PREFGRAD_MEMBER void widen(const Words& v, float* x) {
    for (int k = 0; k < 4; ++k) widen(v.w[k], x + 2 * k);
  }
  static PREFGRAD_MEMBER uint32_t narrow(float low, float high) {
#if defined(__CUDACC__)
    uint32_t word;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
#else
    return uint32_t{f16_from_f32(high)} << 16 | f16_from_f32(low);
#endif
  }
  static PREFGRAD_MEMBER Words narrow(const float* x) {
    return {{narrow(x[0], x[1]), narrow(x[2], x[3]), narrow(x[4], x[5]), narrow(x[6], x[7])}};
  }
};

// out_i = map(in[0]_i, in[1]_i, ...) for i < n, by blocks of `threads` that take kElementRun elements of each thread. `out` may be
// one of the inputs: a thread reads what it overwrites before it writes.
template <int inputs, typename Map>
PREFGRAD_DEVICE void map_elements(const float* const (&in)[inputs], float* out, int64_t n, Map map) {
  constexpr int vectors = kElementRun / 4, size = kElementThreads * kElementRun;
  const int64_t first = int64_t{blockIdx.x} * size;
  bool aligned = is_aligned(out);
  for (int k = 0; k < inputs; ++k) aligned = aligned && is_aligned(in[k]);
  if (aligned && first + size <= n) {
    Float4 x[vectors][inputs];
    for (int v = 0; v < vectors; ++v) {
      const int64_t i = first + 4 * (v * kElementThreads + static_cast<int>(threadIdx.x));
      for (int k = 0; k < inputs; ++k) x[v][k] = *reinterpret_cast<const Float4*>(in[k] + i);
    }
    for (int v = 0; v < vectors; ++v) {
      const int64_t i = first + 4 * (v * kElementThreads + static_cast<int>(threadIdx.x));
      Float4 y;
      for (int lane = 0; lane < 4; ++lane) {
        float of_lane[inputs];
        for (int k = 0; k < inputs; ++k) of_lane[k] = x[v][k].x[lane];
        y.x[lane] = map(of_lane);
      }
      *reinterpret_cast<Float4*>(out + i) = y;
    }
    return;
  }
  const int64_t last = first + size < n ? first + size : n;
  for (int64_t i = first + threadIdx.x; i < last; i += kElementThreads) {
    float x[inputs];
    for (int k = 0; k < inputs; ++k) x[k] = in[k][i];
    out[i] = map(x);
  }
}

}  // namespace prefgrad
