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
// b + a x. With cuts, b where a is 0 even if x is not finite: what lies behind an end has no effect.
template <bool cuts>
PREFGRAD_INLINE f64x8 compose(f64x8 a, f64x8 x, f64x8 b) {
  return fma(a, cuts ? select(equal(a, f64x8::set(0.0)), f64x8::set(0.0), x) : x, b);
}

// gamma, and what follows from gamma lambda.
struct GaeFactors {
  double lambda, decay;
  f64x8 gamma;
  Decays decays;
  GaeFactors(double discount, double trace)
      : lambda(trace), decay(discount * trace), gamma(f64x8::set(discount)), decays(decays_of(f64x8::set(decay))) {}
};

// What holds for a whole stretch. Either output may be null.
struct Scan {
  Steps steps;
  const GaeFactors& factors;
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

// Steps i to i + 15; `end`: nothing follows, `cut`: no trace behind it. Without cuts, both are empty, and fewer operations lead to
// the same bits. The eights of both halves go side by side, because what takes time is to wait for one shuffle after the other;
// from one carry to the next it is a single multiply-add.
template <bool cuts>
PREFGRAD_INLINE void scan_sixteen(const Scan& s, int64_t i, m16 end, m16 cut, Behind& behind) {
  const f64x8 zero = f64x8::set(0.0);
  const Decays a_1 = cuts ? decays_of(select(high_half(cut), zero, s.factors.decays.one)) : s.factors.decays;
  const Decays a_0 = cuts ? decays_of(select(low_half(cut), zero, s.factors.decays.one)) : s.factors.decays;
  const f64x8 value_1 = f64_of(s.steps.value + i + 8), value_0 = f64_of(s.steps.value + i);
  const bool own = s.steps.following != nullptr;
  f64x8 next_1 = own ? f64_of(s.steps.following + i + 8) : later<1>(value_1, behind.value);
  f64x8 next_0 = own ? f64_of(s.steps.following + i) : later<1>(value_0, value_1);
  behind.value = value_0;
  if (cuts) next_1 = select(high_half(end), zero, next_1), next_0 = select(low_half(end), zero, next_0);
  f64x8 b_1 = fma(s.factors.gamma, next_1, f64_of(s.steps.reward + i + 8) - value_1);
  f64x8 b_0 = fma(s.factors.gamma, next_0, f64_of(s.steps.reward + i) - value_0);
  b_1 = compose<cuts>(a_1.one, later<1>(b_1, zero), b_1);
  b_0 = compose<cuts>(a_0.one, later<1>(b_0, zero), b_0);
  b_1 = compose<cuts>(a_1.two, later<2>(b_1, zero), b_1);
  b_0 = compose<cuts>(a_0.two, later<2>(b_0, zero), b_0);
  b_1 = compose<cuts>(a_1.four, later<4>(b_1, zero), b_1);
  b_0 = compose<cuts>(a_0.four, later<4>(b_0, zero), b_0);
  const f64x8 carry = compose<cuts>(f64x8::set(first_lane(a_1.all)), behind.carry, f64x8::set(first_lane(b_1)));
  const f64x8 sums_1 = compose<cuts>(a_1.all, behind.carry, b_1), sums_0 = compose<cuts>(a_0.all, carry, b_0);
  behind.carry = compose<cuts>(f64x8::set(first_lane(a_0.all)), carry, f64x8::set(first_lane(b_0)));
  store_eight(s, i + 8, sums_1, value_1);
  store_eight(s, i, sums_0, value_0);
}

// Steps [0, n) (a multiple of 16) of a stretch, from the last to the first; `carry` is A behind them, then A of step 0.
// Most steps of a long sequence are no ends.
PREFGRAD_INLINE void scan_steps(const Steps& steps, int64_t n, const GaeFactors& factors, double& carry, float* advantages,
                                float* returns) {
  const Scan s{steps, factors, advantages, returns};
  const uint8_t *terminated = steps.terminated, *truncated = steps.truncated;
  const m16 none = first16(0);
  Behind behind{f64x8::set(carry), f64x8::set(steps.behind)};
  for (int64_t i = n - 16; i >= 0; i -= 16) {
    const bool ends = (terminated != nullptr && any_nonzero16(terminated + i)) ||
                      (truncated != nullptr && any_nonzero16(truncated + i));
    // Where nothing may pass from one step to another (a decay of 0), not even a NaN does.
    if (ends || factors.decay == 0.0) {
      const m16 end = terminated == nullptr ? none : nonzero16(terminated + i);
      scan_sixteen<true>(s, i, end, truncated == nullptr ? end : end | nonzero16(truncated + i), behind);
    } else {
      scan_sixteen<false>(s, i, none, none, behind);
    }
  }
  carry = first_lane(behind.carry);
}

// Fewer than sixteen steps, with zeros behind them.
inline void scan_few(const Steps& s, int64_t n, const GaeFactors& factors, double& carry, float* advantages, float* returns) {
  float reward[16] = {}, value[16] = {}, following[16] = {}, sums[16], sums_and_values[16];
  uint8_t terminated[16] = {}, truncated[16] = {};
  const auto copy = [](const auto* from, int64_t count, auto* to) {
    if (from != nullptr && to != nullptr) std::memcpy(to, from, count * sizeof *to);
  };
  copy(s.reward, n, reward);
  copy(s.value, n, value);
  copy(s.following, n, following);
  copy(s.terminated, n, terminated);
  copy(s.truncated, n, truncated);
  if (s.following == nullptr) {
    copy(s.value + 1, n - 1, following);
    following[n - 1] = s.behind;
  }
  scan_steps({reward, value, following, terminated, truncated}, 16, factors, carry, sums, sums_and_values);
  copy(sums, n, advantages);
  copy(sums_and_values, n, returns);
}

}  // namespace prefgrad::PREFGRAD_ISA
