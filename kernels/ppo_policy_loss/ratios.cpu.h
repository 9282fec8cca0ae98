// Ratios e^x of tokens in f32, and where the clips act on them.
#pragma once
#include "../common/math.h"
#include "../common/split.h"
#include "ppo_policy_loss.h"

namespace prefgrad::PREFGRAD_ISA {

// The clips as f32 compares them: on the side of A's sign, x lies beyond log(1 -+ clip). Within `blur` of that, f64 has to tell.
struct PpoEdges {
  f32x16 low, high, center, half, blur;
  f32x16 dual, log_dual, blur_dual;  // of an absent dual_clip: NaN

  explicit PpoEdges(const PpoPolicyLoss& a) {
    const auto set = [](double v) PREFGRAD_BODY { return f32x16::set(static_cast<float>(v)); };
    // A clip_low of 1 never clips, and what is below -30 is far anyway.
    const double least = a.clip_low < 1.0 ? log_of(1.0 - a.clip_low) : -40.0, most = log_of(1.0 + a.clip_high);
    low = set(1.0 - a.clip_low);
    high = set(1.0 + a.clip_high);
    center = set((most + least) / 2.0);
    half = set((most - least) / 2.0);
    // At least what f64 may be off in a ratio.
    blur = set(0x1p-21 * (most - least) + 0x1p-50);
    const double log = log_of(a.dual_clip);
    dual = set(a.dual_clip);
    log_dual = set(log);
    blur_dual = set(0x1p-21 * log + 0x1p-50);
  }
  // How far x is beyond.
  PREFGRAD_INLINE f32x16 beyond(f32x16 x, f32x16 A) const { return times_sign(x - center, A) - half; }
};

// x = n ln 2 + r, with r between -+ln(2)/2 and `sum` = n + kPowerRounder, for |x| < 80.
struct Reduced32 {
  f32x16 r, sum;
};
PREFGRAD_INLINE Reduced32 reduced(Split x) {
  const f32x16 rounder = f32x16::set(kPowerRounder);
  const f32x16 sum = fma(x.high, f32x16::set(static_cast<float>(kLog2E)), rounder), n = sum - rounder;
  return {fnma(n, f32x16::set(kLn2HighF), x.high) + fnma(n, f32x16::set(kLn2LowF), x.low), sum};
}

// e^x and e^x - 1 - x of |x| < 30, within 1.5 and 20 ULP.
struct Exponential32 {
  f32x16 value, rest;
};
PREFGRAD_INLINE Exponential32 exponential(f32x16 x, Reduced32 of) {
  const f32x16 one = f32x16::set(1.0f), q = exp_tail(of.r), square = of.r * of.r;
  const f32x16 value = (fma(square, q, of.r) + one) * power_of(of.sum);
  // Without a power of two to scale by, r is x itself.
  return {value, select(equal(of.sum, f32x16::set(kPowerRounder)), square * q, value - one - x)};
}

}  // namespace prefgrad::PREFGRAD_ISA
