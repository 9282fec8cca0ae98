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
PREFGRAD_INLINE f64x8 compose(f64x8 a, f64x8 x, f64x8 b) {
  const f64x8 zero = f64x8::set(0.0);
  return fma(a, select(equal(a, zero), zero, x), b);
}
// `carry`, in all lanes, is A behind the eight steps, and then A of their first. From one carry to the next it is a single
// multiply-add: everything else is done before it is known.
PREFGRAD_INLINE f64x8 scan(const Decays& a, f64x8 b, f64x8& carry) {
  const f64x8 zero = f64x8::set(0.0);
  b = compose(a.one, later<1>(b, zero), b);
  b = compose(a.two, later<2>(b, zero), b);
  b = compose(a.four, later<4>(b, zero), b);
  const f64x8 sums = compose(a.all, carry, b);
  carry = compose(f64x8::set(first_lane(a.all)), carry, f64x8::set(first_lane(b)));
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

PREFGRAD_INLINE void store_eight(const Scan& s, int64_t i, f64x8 sums, f64x8 value) {
  if (s.advantages != nullptr) store_f32(s.advantages + i, sums);
  if (s.returns != nullptr) store_f32(s.returns + i, sums + value);
}

// Steps i to i + 7; `end`: nothing follows, `cut`: no trace behind it.
PREFGRAD_INLINE void scan_eight(const Scan& s, int64_t i, m8 end, m8 cut, Behind& behind) {
  const f64x8 zero = f64x8::set(0.0), value = f64_of(s.steps.value + i);
  const f64x8 next = s.steps.following == nullptr ? later<1>(value, behind.value) : f64_of(s.steps.following + i);
  behind.value = value;
  const f64x8 delta = fma(s.gamma, select(end, zero, next), f64_of(s.steps.reward + i) - value);
  store_eight(s, i, scan(decays_of(select(cut, zero, s.decays.one)), delta, behind.carry), value);
}

// Steps i to i + 15 without an end and with a decay: the same bits in fewer operations. Both eights go side by side, because
// what takes time is to wait for one shuffle after the other.
PREFGRAD_INLINE void scan_sixteen(const Scan& s, int64_t i, Behind& behind) {
  const Decays& a = s.decays;
  const f64x8 zero = f64x8::set(0.0), all = f64x8::set(first_lane(a.all));
  const bool own = s.steps.following != nullptr;
  const f64x8 value_1 = f64_of(s.steps.value + i + 8), value_0 = f64_of(s.steps.value + i);
  const f64x8 next_1 = own ? f64_of(s.steps.following + i + 8) : later<1>(value_1, behind.value);
  const f64x8 next_0 = own ? f64_of(s.steps.following + i) : later<1>(value_0, value_1);
  behind.value = value_0;
  f64x8 b_1 = fma(s.gamma, next_1, f64_of(s.steps.reward + i + 8) - value_1);
  f64x8 b_0 = fma(s.gamma, next_0, f64_of(s.steps.reward + i) - value_0);
  b_1 = fma(a.one, later<1>(b_1, zero), b_1);
  b_0 = fma(a.one, later<1>(b_0, zero), b_0);
  b_1 = fma(a.two, later<2>(b_1, zero), b_1);
  b_0 = fma(a.two, later<2>(b_0, zero), b_0);
  b_1 = fma(a.four, later<4>(b_1, zero), b_1);
  b_0 = fma(a.four, later<4>(b_0, zero), b_0);
  const f64x8 carry = fma(all, behind.carry, f64x8::set(first_lane(b_1)));
  const f64x8 sums_1 = fma(a.all, behind.carry, b_1), sums_0 = fma(a.all, carry, b_0);
  behind.carry = fma(all, carry, f64x8::set(first_lane(b_0)));
  store_eight(s, i + 8, sums_1, value_1);
  store_eight(s, i, sums_0, value_0);
}

// Steps [0, n) (a multiple of 16) of a stretch, from the last to the first; `carry` is A behind them, then A of step 0.
// Most steps of a long sequence are no ends.
inline void scan_steps(const Steps& steps, int64_t n, double gamma, double decay, double& carry, float* advantages,
                       float* returns) {
  const Scan s{steps, f64x8::set(gamma), decays_of(f64x8::set(decay)), advantages, returns};
  const uint8_t *terminated = steps.terminated, *truncated = steps.truncated;
  Behind behind{f64x8::set(carry), f64x8::set(steps.behind)};
  for (int64_t i = n - 16; i >= 0; i -= 16) {
    const bool ends = (terminated != nullptr && any_nonzero16(terminated + i)) ||
                      (truncated != nullptr && any_nonzero16(truncated + i));
    // Where nothing may pass from one step to another (a decay of 0), not even a NaN does.
    if (!ends && decay != 0.0) {
      scan_sixteen(s, i, behind);
      continue;
    }
    const m16 none = first16(0), end = terminated == nullptr ? none : nonzero16(terminated + i);
    const m16 cut = truncated == nullptr ? end : end | nonzero16(truncated + i);
    scan_eight(s, i + 8, high_half(end), high_half(cut), behind);
    scan_eight(s, i, low_half(end), low_half(cut), behind);
  }
  carry = first_lane(behind.carry);
}

}  // namespace prefgrad::PREFGRAD_ISA
