// The logistic function with its complement and the logarithms of both, for losses on score differences.
#pragma once
#include "math.h"

namespace prefgrad::PREFGRAD_ISA {

constexpr double kLn2 = 0.69314718055994530942;

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

// e^x for x <= 0, to 5e-11 of itself: a thousandth of what rounding to f32 takes, for half the polynomial of exp in math.h.
PREFGRAD_INLINE f64x8 exp_shortly(f64x8 x) {
  const f64x8 bound = maximum(f64x8::set(-760.0), x), n = round_even(bound * f64x8::set(kLog2E));
  const f64x8 r = fnma(n, f64x8::set(kLn2), bound), r2 = r * r;
  const f64x8 a = fma(f64x8::set(0x1.55555441d6a1fp-3), r, f64x8::set(0x1.0000003a6c932p-1));
  const f64x8 b = fma(f64x8::set(0x1.111271e72bf6dp-7), r, f64x8::set(0x1.55548d1bb1952p-5));
  const f64x8 c = fma(f64x8::set(0x1.9f0818ddb6a50p-13), r, f64x8::set(0x1.6d8da5fd359c7p-10));
  const f64x8 tail = fma(fma(c, r2, b), r2, a);
  return scale_by_power(fma(r2, tail, r) + f64x8::set(1.0), n);
}

// 2 atanh(s) for |s| <= 0.172 to 5e-12 of itself.
PREFGRAD_INLINE f64x8 twice_atanh_shortly(f64x8 s) {
  const f64x8 z = s * s;
  const f64x8 a = fma(f64x8::set(0x1.999a8325d9e31p-2), z, f64x8::set(0x1.555554f920a5bp-1));
  const f64x8 b = fma(f64x8::set(0x1.e352047c1a4e0p-3), z, f64x8::set(0x1.24368f5678b06p-2));
  return fma(fma(b, z * z, a) * z, s, s + s);
}

// Up to so many of them, from one exponential each that cannot overflow. The exponential and the logarithm are long chains of
// operations that wait for one another; in loops of their own a processor works on several at once.
constexpr int kLogisticBlock = 128;
class LogisticBlock {
  alignas(64) double x_[kLogisticBlock], near_[kLogisticBlock], far_[kLogisticBlock], tail_[kLogisticBlock];

 public:
  PREFGRAD_INLINE void set(int64_t i, f64x8 x) { store(x_ + i, x); }
  // `shortly`: to 6e-11, where no sum of them cancels.
  template <bool shortly = false>
  PREFGRAD_INLINE void find(int64_t count) {
    const f64x8 zero = f64x8::set(0.0), one = f64x8::set(1.0);
    for (int64_t i = 0; i < count; i += 8) {
      const f64x8 x = zero - absolute(f64x8::load(x_ + i));
      store(far_ + i, shortly ? exp_shortly(x) : exp(x));
    }
    for (int64_t i = 0; i < count; i += 8) {
      const f64x8 e = f64x8::load(far_ + i), whole = one + e;
      // log(1 + e) by one series, around 1 for small e and around 2 for large; one division for that and for 1 / (1 + e).
      const m8 large = less(f64x8::set(0.41421356), e);
      const f64x8 top = e - select(large, one, zero), bottom = e + select(large, f64x8::set(3.0), f64x8::set(2.0));
      const f64x8 inverse = one / (whole * bottom), near = bottom * inverse;
      store(near_ + i, near);
      store(far_ + i, e * near);
      const f64x8 s = top * (whole * inverse), series = shortly ? twice_atanh_shortly(s) : twice_atanh(s);
      store(tail_ + i, series + select(large, f64x8::set(kLn2), zero));
    }
  }
  PREFGRAD_INLINE Logistic operator[](int64_t i) const {
    return {f64x8::load(x_ + i), f64x8::load(near_ + i), f64x8::load(far_ + i), f64x8::load(tail_ + i)};
  }
};

}  // namespace prefgrad::PREFGRAD_ISA
