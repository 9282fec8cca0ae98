// See ppo_value_loss.h for the formula and the bytes, common/token_loss.h for the passes.
#pragma once
#include <type_traits>

#include "../common/moments.h"
#include "../common/token_loss.h"
#include "ppo_value_loss.h"

namespace prefgrad::PREFGRAD_ISA {

struct PpoValueSums {
  double term, clipped;
  Moments error, returns;

  static PpoValueSums none() { return {}; }
  void merge(const PpoValueSums& o) {
    term += o.term;
    clipped += o.clipped;
    error.merge(o.error);
    returns.merge(o.returns);
  }
};

inline void ppo_value_loss_prepare(const PpoValueLoss& a, int64_t begin, int64_t end, int) { token_prepare(a, begin, end); }
inline void ppo_value_loss_coefficients(const PpoValueLoss& a, int64_t, int64_t, int) { token_coefficients(a); }

template <bool with_clip, bool with_weight>
struct PpoValueTerms {
  using Sums = PpoValueSums;
  const PpoValueLoss& a;
  double coefficient;

  PpoValueTerms(const PpoValueLoss& args, int64_t b)
      : a(args), coefficient(coefficient_of(args, sequence_of(args, b).count)) {}

  PREFGRAD_INLINE PpoValueSums chunk(int64_t first, int64_t count) const {
    const f64x8 zero = f64x8::set(0.0), clip = f64x8::set(a.clip), slope = f64x8::set(2.0 * a.scale * coefficient);
    const bool add = (a.accumulate & 2) != 0;
    f64x8 term = zero;
    MomentSums errors, targets;  // of V - R and R
    int64_t clipped = 0, valid_count = 0;
    const auto eight = [&](auto every, f64x8 V, f64x8 old, f64x8 R, f64x8 w, m8 valid) PREFGRAD_BODY {
      const f64x8 off = V - R, square = off * off;
      f64x8 worst = square, grad = (with_weight ? slope * w : slope) * off;
      if (with_clip) {
        // A NaN among the old values goes through both.
        const f64x8 near = minimum(maximum(V, old - clip), old + clip) - R, other = near * near;
        // And must not look unclipped.
        const m8 larger = less(square, other), bad = is_nan(other);
        worst = select(larger | bad, other, square);
        grad = select(larger, zero, select(bad, other, grad));
        clipped += count_lanes(larger);
      }
      // Where a token does not count all of its inputs are 0.
      term = with_weight ? fma(w, worst, term) : term + worst;
      errors.add<decltype(every)::value>(off, valid);
      targets.add<decltype(every)::value>(R, valid);
      return grad;
    };
    each_block(a.valid, first, count, [&](const auto& t) PREFGRAD_BODY {
      constexpr std::bool_constant<std::decay_t<decltype(t)>::kEvery> every;
      const unsigned set = every ? 0xffffu : bits(t.valid);
      if (set == 0) return t.clear(a.grad_value, add);
      if (valid_count == 0) {
        const int64_t i = t.at + __builtin_ctz(set);
        errors.start(static_cast<double>(a.value[i]) - a.returns[i]);
        targets.start(a.returns[i]);
      }
      valid_count += __builtin_popcount(set);
      const f32x16 V = t.load(a.value), R = t.load(a.returns), w = with_weight ? t.load(a.weight) : f32x16::set(1.0f);
      const f32x16 old = with_clip ? t.load(a.old_value) : V;
      const f64x8 low = eight(every, low_f64(V), low_f64(old), low_f64(R), low_f64(w), low_half(t.valid));
      const f64x8 high = eight(every, high_f64(V), high_f64(old), high_f64(R), high_f64(w), high_half(t.valid));
      t.store(a.grad_value, low, high, add);
    });
    const double n = static_cast<double>(valid_count);
    Moments error = errors.moments(n);
    error.mean = 0.0 - error.mean;
    return {a.scale * sum(term), static_cast<double>(clipped), error, targets.moments(n)};
  }
};

inline void ppo_value_loss_terms(const PpoValueLoss& a, int64_t begin, int64_t end, int) {
  const bool clip = a.clip == a.clip, weight = a.weight != nullptr;
  if (clip && weight) token_terms<PpoValueTerms<true, true>>(a, begin, end);
  if (clip && !weight) token_terms<PpoValueTerms<true, false>>(a, begin, end);
  if (!clip && weight) token_terms<PpoValueTerms<false, true>>(a, begin, end);
  if (!clip && !weight) token_terms<PpoValueTerms<false, false>>(a, begin, end);
}

inline void ppo_value_loss_finish(const PpoValueLoss& a, int64_t, int64_t, int) {
  const TokenHeader& h = header_of(a);
  if (h.offsets_hold == 0.0) {
    fill_nan(a.loss, 1);
    fill_nan(a.grad_value, a.N);
    fill_nan(a.stats, 10);
    return;
  }
  double numerator;
  const PpoValueSums s = token_finish<PpoValueSums>(a, numerator);
  const double stats[10] = {numerator, h.denominator, h.tokens,      s.clipped,      s.error.n,
                            s.error.mean, s.error.m2, s.returns.n, s.returns.mean, s.returns.m2};
  for (int k = 0; k < 10; ++k) a.stats[k] = static_cast<float>(stats[k]);
}

}  // namespace prefgrad::PREFGRAD_ISA
