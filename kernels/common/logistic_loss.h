// -log s(x) and s(-x), s the logistic function: the plain loss of a pair and its slope, sixteen at a time in f32. What is lost
// when x itself is rounded is made good: however large x is, both are within 3 ULP. The exponential and the logarithm have a
// table each (Tang 1989, 1990), which leaves three steps of a polynomial to wait for.
#pragma once
#include "math.h"
#include "split.h"

namespace prefgrad::PREFGRAD_ISA {

struct LogisticLoss {
  f32x16 loss, slope;
  m16 far;  // where neither is right, because |x| is beyond 64 or x has digits below what two f32 hold
};

// 2^(j/16).
constexpr float kRoots[16] = {0x1.000000p+0f, 0x1.0b5586p+0f, 0x1.172b84p+0f, 0x1.2387a6p+0f, 0x1.306fe0p+0f, 0x1.3dea64p+0f,
                              0x1.4bfdaep+0f, 0x1.5ab07ep+0f, 0x1.6a09e6p+0f, 0x1.7a1148p+0f, 0x1.8ace54p+0f, 0x1.9c4918p+0f,
                              0x1.ae89fap+0f, 0x1.c199bep+0f, 0x1.d5818ep+0f, 0x1.ea4afap+0f};
// Numbers c close to -1 / (1 + j/15) whose log(-c) is all but an f32 number, and these (Gal 1986).
constexpr float kInverses[16] = {-0x1.000000p+0f, -0x1.dfed14p-1f, -0x1.c3cdfap-1f, -0x1.aaae7cp-1f,
                                 -0x1.9440d6p-1f, -0x1.7fea98p-1f, -0x1.6db3eep-1f, -0x1.5d0df8p-1f,
                                 -0x1.4dd37cp-1f, -0x1.3ff3a0p-1f, -0x1.334680p-1f, -0x1.275bf2p-1f,
                                 -0x1.1c5922p-1f, -0x1.1239b2p-1f, -0x1.08dedap-1f, -0x1.00040cp-1f};
constexpr float kLogs[16] = {0x0.000000p+0f, -0x1.08fb06p-4f, -0x1.00273ep-3f, -0x1.7552aep-3f, -0x1.e3e85ep-3f, -0x1.26cf38p-2f,
                             -0x1.589460p-2f, -0x1.884a6ap-2f, -0x1.b5f824p-2f, -0x1.e1703cp-2f, -0x1.056ac6p-1f, -0x1.19aaf8p-1f,
                             -0x1.2d1ebep-1f, -0x1.3fadfep-1f, -0x1.517366p-1f, -0x1.62dc18p-1f};

// Of x = rate * d, rate what a loss multiplies every difference d by (2^-30 to 2^30; 1 without `has_rate`). d is never
// multiplied by it: the rate is in ln 2, which d is divided by, and in the coefficients of the polynomial in what remains.
// With a rate, the low part of d may be as large as the high one; without, it has to lie below its last digit.
template <bool has_rate>
class LogisticLosses {
  PowerTable<16> roots_ = PowerTable<16>::set(kRoots);
  Table<16> inverses_ = Table<16>::set(kInverses), logs_ = Table<16>::set(kLogs);
  f32x16 limit_, log2_e_, ln2_high_, ln2_low_;
  f32x16 first_, second_, third_;  // (e^-x - 1) / d by powers of d: a minimax fit on |x| <= ln(2)/32, 1.7e-9 of e^-x

 public:
  Split rate;

  LogisticLosses(double factor = 1.0) : rate(split(factor)) {
    const auto set = [](double v) PREFGRAD_BODY { return f32x16::set(static_cast<float>(v)); };
    limit_ = set(64.0 / factor);
    log2_e_ = set(kLog2E * factor);
    // In two parts (Cody & Waite 1980), of which the first has 12 digits: 16 n of 11 leave their product exact.
    const double ln2 = kLn2 / factor, high = ln2 - std::fmod(ln2, std::ldexp(1.0, std::ilogb(ln2) - 11));
    ln2_high_ = set(high);
    ln2_low_ = set(ln2 - high);
    first_ = set(-factor);
    second_ = set(0.50001665 * factor * factor);
    third_ = set(-0.16666058 * factor * factor * factor);
  }

  PREFGRAD_INLINE LogisticLoss operator()(Split d) const {
    const auto set = [](float v) PREFGRAD_BODY { return f32x16::set(v); };
    const f32x16 zero = set(0.0f), one = set(1.0f), rounder = set(kRounder<16>), size = absolute(d.high);
    const m16 positive = less_equal(zero, d.high), near = less(has_rate ? fma(absolute(d.low), set(0x1p16f), size) : size, limit_);
    // e^-|x| = 2^n e^-(rate r), n in 16ths. The low part of d comes last, because it is the last to be known.
    const f32x16 sum = fnma(size, log2_e_, rounder), n = sum - rounder, power = roots_.scaled(n, sum);
    const f32x16 r = fma(n, ln2_low_, fma(n, ln2_high_, size)) + times_sign(d.low, d.high);
    const f32x16 q = fma(fma(third_, r, second_), r, first_), e = fma(power * r, q, power);
    // log(1 + e) = log(1 + t) - log(-c), 1 + t = -c (1 + e): t + t^2 p(t) by a minimax fit on |t| <= 1/30, 2.8e-8.
    const f32x16 place = fma(e, set(15.0f), set(kWhole)), c = inverses_.at(place), log_c = logs_.at(place);
    const f32x16 t = fnma_once(c, e, zero - one - c), below = select(positive, zero, has_rate ? d.rounded() : d.high);
    const f32x16 p = fma(fma(set(-0x1.fcaee2p-3f), t, set(0x1.55845cp-2f)), t, set(-0x1.00002ep-1f));
    const f32x16 rest = has_rate ? fma(rate.high, below, fma(rate.low, below, log_c)) : log_c + below;
    return {fma(t * t, p, t) - rest, select(positive, e, one) / (one + e), ~near};
  }
};

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
