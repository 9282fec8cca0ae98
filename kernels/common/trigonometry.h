// Sine and cosine in f64, written over the vectors of simd.h: no library call, so every ISA gives the same bits.
#pragma once
#include "math.h"

namespace prefgrad::PREFGRAD_ISA {

// pi / 2 in three parts (Cody & Waite 1980): n times either of the first two is exact up to n = 2^20, and with an FMA
// up to 2^31.
constexpr double kHalfPi1 = 0x1.921fb544p+0;
constexpr double kHalfPi2 = 0x1.0b4611a6p-34;
constexpr double kHalfPi3 = 0x1.3198a2e037073p-69;

// Taylor series on |r| <= pi / 4, to r^15 / 15! and r^16 / 16!: remainders below 2^-53. Absolute error about 1e-16 for
// |x| up to 2^31.
PREFGRAD_INLINE void sine_and_cosine(f64x8 x, f64x8& sine, f64x8& cosine) {
  const f64x8 zero = f64x8::set(0.0), one = f64x8::set(1.0);
  const f64x8 n = round_even(x * f64x8::set(0x1.45f306dc9c883p-1));
  f64x8 r = fnma(n, f64x8::set(kHalfPi1), x);
  r = fnma(n, f64x8::set(kHalfPi2), r);
  r = fnma(n, f64x8::set(kHalfPi3), r);
  const f64x8 z = r * r;
  f64x8 s = f64x8::set(-1.0 / 1307674368000.0);
  s = fma(s, z, f64x8::set(1.0 / 6227020800.0));
  s = fma(s, z, f64x8::set(-1.0 / 39916800.0));
  s = fma(s, z, f64x8::set(1.0 / 362880.0));
  s = fma(s, z, f64x8::set(-1.0 / 5040.0));
  s = fma(s, z, f64x8::set(1.0 / 120.0));
  s = fma(s, z, f64x8::set(-1.0 / 6.0));
  s = fma(s * z, r, r);
  f64x8 c = f64x8::set(1.0 / 20922789888000.0);
  c = fma(c, z, f64x8::set(-1.0 / 87178291200.0));
  c = fma(c, z, f64x8::set(1.0 / 479001600.0));
  c = fma(c, z, f64x8::set(-1.0 / 3628800.0));
  c = fma(c, z, f64x8::set(1.0 / 40320.0));
  c = fma(c, z, f64x8::set(-1.0 / 720.0));
  c = fma(c, z, f64x8::set(1.0 / 24.0));
  c = fma(c, z, f64x8::set(-0.5));
  c = fma(c, z, one);
  // The quarter turn, -2 to 2: odd ones swap sine and cosine.
  const f64x8 turn = fnma(round_even(n * f64x8::set(0.25)), f64x8::set(4.0), n);
  const m8 odd = equal(absolute(turn), one);
  const f64x8 first = select(odd, c, s), second = select(odd, s, c);
  const f64x8 low = f64x8::set(-0.5), high = f64x8::set(0.5), far = f64x8::set(1.5);
  sine = select(less(turn, low) | less(far, turn), zero - first, first);
  cosine = select(less(high, turn) | less(turn, zero - far), zero - second, second);
}

}  // namespace prefgrad::PREFGRAD_ISA
