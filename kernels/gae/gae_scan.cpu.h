// The scan of gae.h over steps that lie side by side in memory.
#pragma once
#include "../common/math.h"
#include "../common/sequences.h"

namespace prefgrad::PREFGRAD_ISA {

// Steps i of a stretch: reward, value, and the value that follows unless the step is terminated (null: that of the next step,
// and `behind` after the last). A terminated or truncated step has no trace behind it; null: none is.
struct Steps {
  const float *reward, *value, *following;
  const uint8_t *terminated, *truncated;
  float behind = 0.0f;
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
// `carry`, in all lanes, is A behind the eight steps, and then A of their first. From one carry to the next it is a single
// multiply-add: everything else is done before it is known.
template <bool cuts>
PREFGRAD_INLINE f64x8 scan(const Decays& a, f64x8 b, f64x8& carry) {
  const f64x8 zero = f64x8::set(0.0);
  b = compose<cuts>(a.one, later<1>(b, zero), b);
  b = compose<cuts>(a.two, later<2>(b, zero), b);
  b = compose<cuts>(a.four, later<4>(b, zero), b);
  const f64x8 sums = compose<cuts>(a.all, carry, b);
  carry = compose<cuts>(f64x8::set(first_lane(a.all)), carry, f64x8::set(first_lane(b)));
  return sums;
}

// What holds for a whole stretch. Either output may be null.
struct Scan {
  Steps steps;
  f64x8 gamma;
  Decays decays;
  float *advantages, *returns;
};

// What the steps behind leave: A in all lanes, and their values, of which only the first is looked at.
struct Behind {
  f64x8 carry, value;
};

// Steps i to i + 7; `end`: nothing follows, `cut`: no trace behind it. Without cuts, both are empty.
template <bool cuts>
PREFGRAD_INLINE void scan_eight(const Scan& s, int64_t i, m8 end, m8 cut, Behind& behind) {
  const f64x8 zero = f64x8::set(0.0), value = f64_of(s.steps.value + i);
  f64x8 next = s.steps.following == nullptr ? later<1>(value, behind.value) : f64_of(s.steps.following + i);
  behind.value = value;
  if (cuts) next = select(end, zero, next);
  const f64x8 delta = fma(s.gamma, next, f64_of(s.steps.reward + i) - value);
  const f64x8 sums = scan<cuts>(cuts ? decays_of(select(cut, zero, s.decays.one)) : s.decays, delta, behind.carry);
  if (s.advantages != nullptr) store_f32(s.advantages + i, sums);
  if (s.returns != nullptr) store_f32(s.returns + i, sums + value);
}

// Steps [0, n) (a multiple of 16) of a stretch, from the last to the first; `carry` is A behind them, then A of step 0.
// Most steps of a long sequence are no ends: sixteen without one go the shorter way, to the same bits.
inline void scan_steps(const Steps& steps, int64_t n, double gamma, double decay, double& carry, float* advantages,
                       float* returns) {
  const Scan s{steps, f64x8::set(gamma), decays_of(f64x8::set(decay)), advantages, returns};
  const m16 none = first16(0);
  Behind behind{f64x8::set(carry), f64x8::set(steps.behind)};
  for (int64_t i = n - 16; i >= 0; i -= 16) {
    const m16 terminated = steps.terminated == nullptr ? none : nonzero16(steps.terminated + i);
    const m16 cut = steps.truncated == nullptr ? terminated : terminated | nonzero16(steps.truncated + i);
    // Where nothing may pass from one step to another (a decay of 0), not even a NaN does.
    if (decay == 0.0 || any(cut)) {
      scan_eight<true>(s, i + 8, high_half(terminated), high_half(cut), behind);
      scan_eight<true>(s, i, low_half(terminated), low_half(cut), behind);
    } else {
      scan_eight<false>(s, i + 8, low_half(none), low_half(none), behind);
      scan_eight<false>(s, i, low_half(none), low_half(none), behind);
    }
  }
  carry = first_lane(behind.carry);
}

}  // namespace prefgrad::PREFGRAD_ISA
