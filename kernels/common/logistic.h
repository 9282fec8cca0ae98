// The logistic function with its complement and the logarithms of both, for losses on score differences.
#pragma once
#include "math.h"

namespace prefgrad::PREFGRAD_ISA {

// s(x), s(-x) and their logarithms.
struct Logistic {
  f64x8 up, down, log_up, log_down;
  f64x8 tail;  // log(1 + e^-|x|)

  // `near` is s(|x|) and `far` s(-|x|).
  PREFGRAD_INLINE Logistic(f64x8 x, f64x8 near, f64x8 far, f64x8 log_tail) : tail(log_tail) {
    const f64x8 zero = f64x8::set(0.0);
    const m8 negative = less(x, zero);
    up = select(negative, far, near);
    down = select(negative, near, far);
    log_up = minimum(x, zero) - tail;
    log_down = minimum(zero - x, zero) - tail;
  }
  PREFGRAD_INLINE f64x8 slope() const { return up * down; }
};

// Up to so many of them, from one exponential each that cannot overflow. The exponential and the logarithm are long chains of
// operations that wait for one another; in loops of their own a processor works on several at once.
constexpr int kLogisticBlock = 128;
class LogisticBlock {
  alignas(64) double x_[kLogisticBlock], near_[kLogisticBlock], far_[kLogisticBlock], tail_[kLogisticBlock];

 public:
  PREFGRAD_INLINE void set(int64_t i, f64x8 x) { store(x_ + i, x); }
  PREFGRAD_INLINE void find(int64_t count) {
    const f64x8 zero = f64x8::set(0.0), one = f64x8::set(1.0);
    for (int64_t i = 0; i < count; i += 8) {
      const f64x8 x = zero - absolute(f64x8::load(x_ + i));
      store(far_ + i, exp(x));
    }
    for (int64_t i = 0; i < count; i += 8) {
      const f64x8 e = f64x8::load(far_ + i), whole = one + e;
      // log(1 + e) by one series, around 1 for small e and around 2 for large; one division for that and for 1 / (1 + e).
      const m8 large = less(f64x8::set(0.41421356), e);
      const f64x8 top = e - select(large, one, zero), bottom = e + select(large, f64x8::set(3.0), f64x8::set(2.0));
      const f64x8 inverse = one / (whole * bottom), near = bottom * inverse;
      store(near_ + i, near);
      store(far_ + i, e * near);
      store(tail_ + i, twice_atanh(top * (whole * inverse)) + select(large, f64x8::set(kLn2), zero));
    }
  }
  PREFGRAD_INLINE Logistic operator[](int64_t i) const {
    return {f64x8::load(x_ + i), f64x8::load(near_ + i), f64x8::load(far_ + i), f64x8::load(tail_ + i)};
  }
};

}  // namespace prefgrad::PREFGRAD_ISA
