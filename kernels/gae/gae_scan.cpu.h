// The scan of gae.h over steps that lie side by side in memory.
#pragma once
#include "../common/math.h"
#include "../common/sequences.h"

namespace prefgrad::PREFGRAD_ISA {

// Steps i of a stretch: reward, value, and the value that follows unless the step is terminated. A terminated or
// truncated step has no trace behind it; null: none is.
struct Steps {
  const float *reward, *value, *following;
  const uint8_t *terminated, *truncated;
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
// Either output may be null. Without cuts no step is an end.
template <bool cuts>
inline void scan_steps(const Steps& s, int64_t n, double gamma, double decay, double& carry, float* advantages,
                       float* returns) {
  const f64x8 discount = f64x8::set(gamma), zero = f64x8::set(0.0);
  const Decays constant = decays_of(f64x8::set(decay));
  m16 none = first16(0), terminated = none, truncated = none;
  const auto eight = [&](int64_t i, m8 end, m8 cut) PREFGRAD_BODY {
    f64x8 next = f64_of(s.following + i);
    Decays decays = constant;
    if (cuts) {
      next = select(end, zero, next);
      decays = decays_of(select(cut, zero, constant.one));
    }
    const f64x8 value = f64_of(s.value + i);
    const f64x8 sums = scan<cuts>(decays, fma(discount, next, f64_of(s.reward + i) - value), carry);
    if (advantages != nullptr) store_f32(advantages + i, sums);
    if (returns != nullptr) store_f32(returns + i, sums + value);
  };
  for (int64_t i = n - 16; i >= 0; i -= 16) {
    if (cuts && s.terminated != nullptr) terminated = nonzero16(s.terminated + i);
    if (cuts && s.truncated != nullptr) truncated = nonzero16(s.truncated + i);
    const m16 cut = terminated | truncated;
    eight(i + 8, high_half(terminated), high_half(cut));
    eight(i, low_half(terminated), low_half(cut));
  }
}

}  // namespace prefgrad::PREFGRAD_ISA
