// The logistic function with its complement and the logarithms of both, for losses on score differences.
#pragma once
#include "math.h"

namespace prefgrad::PREFGRAD_ISA {

constexpr double kLn2 = 0.69314718055994530942;

// s(x), s(-x) and their logarithms from one exponential that cannot overflow.
struct Logistic {
  f64x8 up, down, log_up, log_down;
  f64x8 tail;  // log(1 + e^-|x|)

  PREFGRAD_INLINE explicit Logistic(f64x8 x) {
    const f64x8 zero = f64x8::set(0.0), one = f64x8::set(1.0);
    const f64x8 e = exp(zero - absolute(x)), whole = one + e;
    // log(1 + e) by one series, around 1 for small e and around 2 for large; one division for that and for 1 / (1 + e).
    const m8 large = less(f64x8::set(0.41421356), e), negative = less(x, zero);
    const f64x8 top = e - select(large, one, zero), bottom = e + select(large, f64x8::set(3.0), f64x8::set(2.0));
    const f64x8 inverse = one / (whole * bottom), near = bottom * inverse, far = e * near;
    tail = twice_atanh(top * (whole * inverse)) + select(large, f64x8::set(kLn2), zero);
    up = select(negative, far, near);
    down = select(negative, near, far);
    log_up = minimum(x, zero) - tail;
    log_down = minimum(zero - x, zero) - tail;
  }
  PREFGRAD_INLINE f64x8 slope() const { return up * down; }
};

}  // namespace prefgrad::PREFGRAD_ISA
