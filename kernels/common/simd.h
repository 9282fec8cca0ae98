// One vector of 16 f32 (and one of 8 f64) on every ISA, so that a kernel is written once and adds in the same order
// everywhere: AVX-512 has the lanes in one register, AVX2 in two, the portable version in an array. All three round alike;
// without an FMA instruction (baseline x86-64) `fma` rounds twice, which is the one place where results may differ.
//
// `select(m, a, b)` is a where m, else b; `where(m, a)` and `unless(m, a)` have 0 in place of the other. `maximum(a, b)` and
// `minimum` return b when either is NaN, as the hardware does: never use them on user data without a NaN test. `sum` and
// `largest` combine halves: 16 -> 8 -> 4 -> 2 -> 1.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

#if !defined(PREFGRAD_ISA)
#error "PREFGRAD_ISA names the namespace of this instruction set"
#endif

// PREFGRAD_BODY stands after the parameters of a lambda: the sums that it captures then stay in registers.
#if defined(__AVX2__)
#define PREFGRAD_INLINE inline __attribute__((always_inline))
#define PREFGRAD_BODY __attribute__((always_inline))
#else
// Lanes in arrays unroll into a lot of code. Left to choose what to inline, the compiler takes a seventh of the time, and the
// code is a fifth slower.
#define PREFGRAD_INLINE inline
#define PREFGRAD_BODY
#endif

namespace prefgrad::PREFGRAD_ISA {

// Added to a number n below 2^22 / parts, this leaves n rounded to whole `parts`-ths in the lowest bits of the sum, behind them
// its exponent; and subtracted again it gives that number. 191 = 127 + 64 biases the exponent of 2^(n + 64).
constexpr float kWhole = 12582912.0f;  // 1.5 * 2^23: so large that there is no fraction
template <int parts>
constexpr float kRounder = kWhole / parts + 191.0f;
// The same without the 64: `power_of(n + kPowerRounder)` is 2^n, for n from -126 to 127.
constexpr float kPowerRounder = kWhole + 127.0f;

// Whether 32 powers of 2 are products of the first eight, rounded once: t_(i + 8 j) = t_i (1 + steps_j). AVX2, whose registers
// hold eight numbers, looks up two factors instead. (f64 holds such a product and such a sum exactly.)
constexpr bool are_products(const float (&powers)[32], const float (&steps)[4]) {
  for (int k = 0; k < 32; ++k) {
    const double first = powers[k % 8];
    if (powers[k] != static_cast<float>(first + first * steps[k / 8])) return false;
  }
  return true;
}

}  // namespace prefgrad::PREFGRAD_ISA

#if defined(__AVX512F__)
#include "simd_avx512.h"
#elif defined(__AVX2__) && defined(__FMA__)
#include "simd_avx2.h"
#else
#include "simd_portable.h"
#endif

namespace prefgrad::PREFGRAD_ISA {

// Whether any of sixteen bytes is not 0, without a mask of which.
PREFGRAD_INLINE bool any_nonzero16(const uint8_t* p) {
  uint64_t halves[2];
  std::memcpy(halves, p, 16);
  return (halves[0] | halves[1]) != 0;
}

// After the last `stream` of a thread, so that other threads see them all.
PREFGRAD_INLINE void stream_fence() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

// Sixteen f64 sums: lane l adds elements l, l + 16, l + 32, ... of whatever is being summed.
struct Sum16 {
  f64x8 low = f64x8::set(0.0), high = f64x8::set(0.0);
  PREFGRAD_INLINE void add(f32x16 x) {
    low = low + low_f64(x);
    high = high + high_f64(x);
  }
  PREFGRAD_INLINE void add(f64x8 x_low, f64x8 x_high) {
    low = low + x_low;
    high = high + x_high;
  }
  PREFGRAD_INLINE double total() const { return sum(low + high); }
};

// The same in a third of the operations: f32 for as long as a group of vectors lasts, f64 from group to group.
struct GroupedSum {
  f32x16 group = f32x16::set(0.0f);
  Sum16 closed;
  PREFGRAD_INLINE void add(f32x16 x) { group = group + x; }
  PREFGRAD_INLINE void add_product(f32x16 x, f32x16 y) { group = fma(x, y, group); }
  PREFGRAD_INLINE void close_group() {
    closed.add(group);
    group = f32x16::set(0.0f);
  }
  PREFGRAD_INLINE double total() const { return closed.total(); }
};

}  // namespace prefgrad::PREFGRAD_ISA
