// What is made of the difference of two log-probabilities: the ratio, and Schulman's (2020) estimators of the KL divergence.
#pragma once
#include "math.h"

namespace prefgrad::PREFGRAD_ISA {

struct Exponential {
  f64x8 value;  // e^x
  f64x8 rest;   // e^x - 1 - x, exact to a few ULP however small x is
};

// One polynomial for both. Stops at e^400: far beyond f32, yet finite, so that a weight or an advantage of 0 removes it.
PREFGRAD_INLINE Exponential exponential(f64x8 x) {
  const f64x8 one = f64x8::set(1.0);
  const f64x8 bound = minimum(f64x8::set(400.0), maximum(f64x8::set(-760.0), x));  // NaN stays NaN
  const f64x8 n = round_even(bound * f64x8::set(kLog2E));
  f64x8 r = fnma(n, f64x8::set(kLn2High), bound);
  r = fnma(n, f64x8::set(kLn2Low), r);
  const f64x8 square = r * r, tail = exp_tail(r);
  const f64x8 value = scale_by_power(fma(square, tail, r) + one, n);
  // Without a power of two to scale by, r is x itself.
  const f64x8 far = value - one - minimum(f64x8::set(1e100), x);
  return {value, select(equal(n, f64x8::set(0.0)), square * tail, far)};
}

// Codes of the estimators in lib/spec.
enum Estimator { kK1 = 0, kK2 = 1, kK3 = 2, kAbs = 3 };

struct Estimate {
  f64x8 kl;
  f64x8 slope;  // its derivative with respect to logprob = ref - x
};

// x = refLogprob - logprob: -x, x^2 / 2, e^x - 1 - x, |x|.
template <int estimator>
PREFGRAD_INLINE Estimate estimate(f64x8 x) {
  const f64x8 zero = f64x8::set(0.0), one = f64x8::set(1.0), minus = zero - x;
  if constexpr (estimator == kK1) return {minus, one};
  if constexpr (estimator == kK2) return {f64x8::set(0.5) * x * x, minus};
  if constexpr (estimator == kK3) {
    const f64x8 rest = exponential(x).rest;
    return {rest, zero - (rest + x)};
  }
  return {absolute(x), select(less(zero, x), zero - one, select(less(x, zero), one, x))};
}

}  // namespace prefgrad::PREFGRAD_ISA
