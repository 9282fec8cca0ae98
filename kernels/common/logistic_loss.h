// -log s(x) and s(-x), s the logistic function: the plain loss of a pair and its slope, sixteen at a time in f32. What is lost
// when x itself is rounded is made good: however large x is, the loss is within 3 ULP and the slope within 3.1. The
// exponential and the logarithm have a table each (Tang 1989, 1990), which leaves three and four steps of a polynomial to wait
// for.
#pragma once
#include "math.h"
#include "split.h"

namespace prefgrad::PREFGRAD_ISA {

struct LogisticLoss {
  f32x16 loss, slope;
};

// 2^(j/8).
constexpr float kRoots[8] = {0x1.000000p+0f, 0x1.172b84p+0f, 0x1.306fe0p+0f, 0x1.4bfdaep+0f,
                             0x1.6a09e6p+0f, 0x1.8ace54p+0f, 0x1.ae89fap+0f, 0x1.d5818ep+0f};
// Numbers c close to -1 / (1 + j/7) whose log(-c) is all but an f32 number, and these (Gal 1986).
constexpr float kInverses[8] = {-0x1.000000p+0f, -0x1.c0056ep-1f, -0x1.8e40fap-1f, -0x1.6657e6p-1f,
                                -0x1.45cd3ap-1f, -0x1.2ab494p-1f, -0x1.13ab4ap-1f, -0x1.00040cp-1f};
constexpr float kLogs[8] = {0x0.000000p+0f,  -0x1.116016p-3f, -0x1.0143c6p-2f, -0x1.6d65a2p-2f,
                            -0x1.cee27ap-2f, -0x1.13e65cp-1f, -0x1.3cfdbep-1f, -0x1.62dc18p-1f};

// Of x = rate * d, rate what a loss multiplies every difference d by (2^-30 to 2^30; 1 without `has_rate`). d is never
// multiplied by it: the rate is in ln 2, which d is divided by, and in the coefficients of the polynomial in what remains.
// With a rate, the low part of d may be as large as the high one; without, it has to lie below its last digit.
template <bool has_rate>
class LogisticLosses {
  PowerTable<8> roots_ = PowerTable<8>::set(kRoots);
  Table<8> inverses_ = Table<8>::set(kInverses), logs_ = Table<8>::set(kLogs);
  f32x16 limit_, log2_e_, ln2_high_, ln2_low_;
  f32x16 first_, second_, third_;  // (e^-x - 1) / d by powers of d: a minimax fit on |x| <= ln(2)/16, 2.6e-8 of e^-x

 public:
  Split rate;

  LogisticLosses(double factor = 1.0) : rate(split(factor)) {
    const auto set = [](double v) PREFGRAD_BODY { return f32x16::set(static_cast<float>(v)); };
    limit_ = set(64.0 / factor);
    log2_e_ = set(kLog2E * factor);
    // In two parts (Cody & Waite 1980), of which the first has 12 digits: 8 n of 10 leave their product exact.
    const double ln2 = kLn2 / factor, high = ln2 - std::fmod(ln2, std::ldexp(1.0, std::ilogb(ln2) - 11));
    ln2_high_ = set(high);
    ln2_low_ = set(ln2 - high);
    first_ = set(-factor);
    second_ = set(0.50006447 * factor * factor);
    third_ = set(-0.16666858 * factor * factor * factor);
  }

  // Elsewhere ("far") nothing is right, because |x| is beyond 64 or x has digits below what two f32 hold.
  PREFGRAD_INLINE m16 near(Split d) const {
    const f32x16 size = absolute(d.high);
    return less(has_rate ? fma(absolute(d.low), f32x16::set(0x1p16f), size) : size, limit_);
  }
  PREFGRAD_INLINE f32x16 rounded(Split d) const { return has_rate ? d.rounded() : d.high; }
  // e^-|x| = 2^n e^-(rate r), n in eighths. The low part of d comes last, because it is the last to be known. Where it may turn
  // the sign of d, which of the two this belongs to is kept as a sign.
  PREFGRAD_INLINE f32x16 power(Split d) const {
    const f32x16 rounder = f32x16::set(kRounder<8>), size = absolute(d.high);
    const f32x16 sum = fnma(size, log2_e_, rounder), n = sum - rounder, power = roots_.scaled(n, sum);
    const f32x16 r = fma(n, ln2_low_, fma(n, ln2_high_, size)) + times_sign(d.low, d.high);
    const f32x16 q = fma(fma(third_, r, second_), r, first_);
    const f32x16 e = fma(power * r, q, power);
    return has_rate ? times_sign(e, d.high) : e;
  }
  // From that and the rounded d. log(1 + e) = log(1 + t) - log(-c), 1 + t = -c (1 + e): t + t^2 p(t) by a minimax fit on
  // -1/16 <= t <= 1/14, 1.6e-8.
  PREFGRAD_INLINE LogisticLoss loss(f32x16 power, f32x16 d) const {
    const auto set = [](float v) PREFGRAD_BODY { return f32x16::set(v); };
    const f32x16 zero = set(0.0f), one = set(1.0f), e = has_rate ? absolute(power) : power;
    const m16 positive = less_equal(zero, has_rate ? power : d);
    const f32x16 place = fma(e, set(7.0f), set(kWhole)), c = inverses_.at(place), log_c = logs_.at(place);
    const f32x16 t = fnma_once(c, e, zero - one - c), below = unless(positive, d);
    const f32x16 p = fma(fma(fma(set(0x1.94d640p-3f), t, set(-0x1.00e798p-2f)), t, set(0x1.55575ep-2f)), t, set(-0x1.ffffc2p-2f));
    const f32x16 rest = has_rate ? fma(rate.high, below, fma(rate.low, below, log_c)) : log_c + below;
    return {fma(t * t, p, t) - rest, select(positive, e, one) / (one + e)};
  }
};

// The others with what is far put right; x in f64.
inline __attribute__((noinline)) void put_right(LogisticLoss& others, m16 near, f64x8 x_low, f64x8 x_high) {
  const f64x8 zero = f64x8::set(0.0), one = f64x8::set(1.0), x[2] = {x_low, x_high};
  f64x8 loss[2], slope[2];
  for (int half = 0; half < 2; ++half) {
    const f64x8 e = exp(zero - absolute(x[half]));
    loss[half] = log1p(e) - minimum(x[half], zero);
    slope[half] = select(less(x[half], zero), one, e) / (one + e);
  }
  others = {select(near, others.loss, narrow(loss[0], loss[1])), select(near, others.slope, narrow(slope[0], slope[1]))};
}

}  // namespace prefgrad::PREFGRAD_ISA
