// -log s(x) and s(-x), s the logistic function: the plain loss of a pair and its slope, sixteen at a time in f32. What is lost
// when x itself is rounded is made good: however large x is, the loss is within 2 ULP and the slope within 2.6.
#pragma once
#include "math.h"
#include "split.h"

namespace prefgrad::PREFGRAD_ISA {

struct LogisticLoss {
  f32x16 loss, slope;
  m16 far;  // where neither is right, because e^-|x| or x itself leaves f32
};

PREFGRAD_INLINE LogisticLoss logistic_loss(Split x) {
  const auto set = [](float v) PREFGRAD_BODY { return f32x16::set(v); };
  const f32x16 zero = set(0.0f), one = set(1.0f), rounder = set(kRounder);
  const f32x16 size = absolute(x.high);
  const m16 positive = less_equal(zero, x.high), near = less(size, set(87.0f));
  // e^-|x| = 2^n e^-r, as in exp of math.h. (e^-r - 1 + r) / r^2 by a minimax fit, 3e-9 of e^-r.
  const f32x16 sum = fnma(size, set(static_cast<float>(kLog2E)), rounder), n = sum - rounder;
  const f32x16 r = fma(n, set(kLn2HighF), size) + fma(n, set(kLn2LowF), times_sign(x.low, x.high));
  f32x16 q = fma(set(0x1.6a23d0p-10f), r, set(-0x1.123a20p-7f));
  q = fma(q, r, set(0x1.5558f2p-5f));
  q = fma(q, r, set(-0x1.555492p-3f));
  q = fma(q, r, set(0x1.fffffcp-2f));
  const f32x16 e = shrink_by_power(fma(r, fma(q, r, zero - one), one), n, sum), inverse = one / (one + e);
  // log(1 + e) - e as e^2 p(e), 3.5e-8 of log(1 + e), by a minimax fit that gives log 2 for 1; in pairs (Estrin 1960), because
  // what takes time is to wait for one product after the other.
  const f32x16 e2 = e * e, e4 = e2 * e2;
  const f32x16 p0 = fma(set(0x1.5534d2p-2f), e, set(-0x1.ffff0ep-2f)), p2 = fma(set(0x1.87ed7cp-3f), e, set(-0x1.fcff8cp-3f));
  const f32x16 p4 = fma(set(0x1.425d0cp-4f), e, set(-0x1.18e0eep-3f)), p6 = fma(set(0x1.59badap-8f), e, set(-0x1.e72134p-6f));
  const f32x16 p = fma(fma(p6, e2, p4), e4, fma(p2, e2, p0));
  return {fma(e2, p, e) - minimum(x.high, zero), select(positive, e, one) * inverse, ~near};
}

// The same with what is far put right; x in f64.
inline __attribute__((noinline)) LogisticLoss with_far(LogisticLoss others, f64x8 x_low, f64x8 x_high) {
  const f64x8 zero = f64x8::set(0.0), one = f64x8::set(1.0), x[2] = {x_low, x_high};
  f64x8 loss[2], slope[2];
  for (int half = 0; half < 2; ++half) {
    const f64x8 e = exp(zero - absolute(x[half]));
    loss[half] = log1p(e) - minimum(x[half], zero);
    slope[half] = select(less(x[half], zero), one, e) / (one + e);
  }
  return {select(others.far, narrow(loss[0], loss[1]), others.loss), select(others.far, narrow(slope[0], slope[1]), others.slope),
          others.far};
}

}  // namespace prefgrad::PREFGRAD_ISA
