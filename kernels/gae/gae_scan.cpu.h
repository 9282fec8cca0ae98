// The scan of gae.h over steps that lie side by side in memory.
#pragma once
#include "../common/math.h"
#include "../common/sequences.h"

namespace prefgrad::PREFGRAD_ISA {

// Steps i of a stretch: reward, value, the value that follows, and (null: 1 throughout) whether the trace goes on behind.
struct Steps {
  const float *reward, *value, *following, *continues;
};

// Eight maps A -> b + a A, of which lane l is step l. After three rounds lane l is the composition of steps l to 7.
struct Decays {
  f64x8 one, two, four, all;  // a, as each round needs it, and of all the steps up to 7
};
PREFGRAD_INLINE Decays decays_of(f64x8 a) {
  const f64x8 none = f64x8::set(1.0);
  const f64x8 two = a * later<1>(a, none), four = two * later<2>(two, none);
  return {a, two, four, four * later<4>(four, none)};
}
// b + a x, and b where a is 0 even if x is not finite: what lies behind an end has no effect.
template <bool cuts>
PREFGRAD_INLINE f64x8 compose(f64x8 a, f64x8 x, f64x8 b) {
  return fma(a, cuts ? select(equal(a, f64x8::set(0.0)), f64x8::set(0.0), x) : x, b);
}
template <bool cuts>
PREFGRAD_INLINE f64x8 scan(const Decays& a, f64x8 b, double& carry) {
  const f64x8 zero = f64x8::set(0.0);
  b = compose<cuts>(a.one, later<1>(b, zero), b);
  b = compose<cuts>(a.two, later<2>(b, zero), b);
  b = compose<cuts>(a.four, later<4>(b, zero), b);
  const f64x8 sums = compose<cuts>(a.all, f64x8::set(carry), b);
  carry = first_lane(sums);
  return sums;
}

// Steps [0, n) (a multiple of 16) of a stretch, from the last to the first; `carry` is A behind them, then A of step 0.
// Either output may be null.
template <bool cuts>
inline void scan_steps(const Steps& s, int64_t n, double gamma, double decay, double& carry, float* advantages,
                       float* returns) {
  const f64x8 discount = f64x8::set(gamma);
  const Decays constant = decays_of(f64x8::set(decay));
  for (int64_t i = n - 16; i >= 0; i -= 16) {
    const f32x16 r = f32x16::load(s.reward + i), v = f32x16::load(s.value + i), next = f32x16::load(s.following + i);
    Decays low = constant, high = constant;
    if (cuts) {
      const f32x16 on = f32x16::load(s.continues + i);
      low = decays_of(low_f64(on) * constant.one);
      high = decays_of(high_f64(on) * constant.one);
    }
    const f64x8 v_low = low_f64(v), v_high = high_f64(v);
    const f64x8 a_high = scan<cuts>(high, fma(discount, high_f64(next), high_f64(r) - v_high), carry);
    const f64x8 a_low = scan<cuts>(low, fma(discount, low_f64(next), low_f64(r) - v_low), carry);
    if (advantages != nullptr) store(advantages + i, narrow(a_low, a_high));
    if (returns != nullptr) store(returns + i, narrow(a_low + v_low, a_high + v_high));
  }
}

}  // namespace prefgrad::PREFGRAD_ISA
