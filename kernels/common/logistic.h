// The logistic function with its complement and the logarithms of both, for losses on score differences.
#pragma once
#include "math.h"

namespace prefgrad::PREFGRAD_ISA {

constexpr double kLn2 = 0.69314718055994530942;

// log(1 + e) for e in [0, 1], by one series: around 1 for small e, around 2 for large.
PREFGRAD_INLINE f64x8 log1p_unit(f64x8 e) {
  const f64x8 one = f64x8::set(1.0), two = f64x8::set(2.0);
  const m8 large = less(f64x8::set(0.41421356), e);
  const f64x8 near = twice_atanh((e - select(large, one, f64x8::set(0.0))) / (e + select(large, f64x8::set(3.0), two)));
  return near + select(large, f64x8::set(kLn2), f64x8::set(0.0));
}

// s(x), s(-x) and their logarithms from one exponential that cannot overflow.
struct Logistic {
  f64x8 up, down, log_up, log_down;
  f64x8 tail;  // log(1 + e^-|x|)

  PREFGRAD_INLINE explicit Logistic(f64x8 x) {
    const f64x8 zero = f64x8::set(0.0), one = f64x8::set(1.0);
    const f64x8 e = exp(zero - absolute(x)), near = one / (one + e), far = e * near;
    const m8 negative = less(x, zero);
    tail = log1p_unit(e);
    up = select(negative, far, near);
    down = select(negative, near, far);
    log_up = minimum(x, zero) - tail;
    log_down = minimum(zero - x, zero) - tail;
  }
  PREFGRAD_INLINE f64x8 slope() const { return up * down; }
};

}  // namespace prefgrad::PREFGRAD_ISA
