// See kl_penalty.h for the formula and the bytes, common/token_loss.h for the passes.
#pragma once
#include "../common/log_ratio.h"
#include "../common/token_loss.h"
#include "kl_penalty.h"

namespace prefgrad::PREFGRAD_ISA {

struct KlPenaltySums {
  double term, kl, kl_min, kl_max;

  static KlPenaltySums none() {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    return {0.0, 0.0, infinity, -infinity};
  }
  void merge(const KlPenaltySums& o) {
    term += o.term;
    kl += o.kl;
    kl_min = smaller(o.kl_min, kl_min);
    kl_max = larger(o.kl_max, kl_max);
  }
};

inline void kl_penalty_prepare(const KlPenalty& a, int64_t begin, int64_t end, int) { token_prepare(a, begin, end); }
inline void kl_penalty_coefficients(const KlPenalty& a, int64_t, int64_t, int) { token_coefficients(a); }

// An absent bound is NaN: nothing is above it.
PREFGRAD_INLINE f64x8 clamped(f64x8 x, f64x8 bound) {
  const f64x8 low = f64x8::set(0.0) - bound;
  return select(less(bound, x), bound, select(less(x, low), low, x));
}

template <int estimator, bool with_clamps>
struct KlPenaltyTerms {
  using Sums = KlPenaltySums;
  const KlPenalty& a;
  double coefficient;

  KlPenaltyTerms(const KlPenalty& args, int64_t b)
      : a(args), coefficient(coefficient_of(args, sequence_of(args, b).count)) {}

  PREFGRAD_INLINE KlPenaltySums chunk(int64_t first, int64_t count) const {
    const f64x8 zero = f64x8::set(0.0), factor = f64x8::set(coefficient);
    const f64x8 inner = f64x8::set(a.clamp_input), outer = f64x8::set(a.clamp_output);
    const bool add = (a.accumulate & 2) != 0, unbiased = a.gradient == 0;
    f64x8 term = zero, total = zero;
    Extremes extremes;
    struct Token {
      f64x8 kl, grad;
    };
    const auto eight = [&](f64x8 current, f64x8 ref, f64x8 w, m8 valid) PREFGRAD_BODY -> Token {
      const f64x8 given = ref - current, x = with_clamps ? clamped(given, inner) : given;
      const Estimate e = estimate<estimator>(x);
      const f64x8 kl = with_clamps ? clamped(e.kl, outer) : e.kl;
      f64x8 slope = unbiased ? (estimator == kAbs ? e.kl + e.slope : zero - x) : e.slope;
      if (with_clamps) {
        const m8 bites = less(inner, absolute(given)) | less(outer, absolute(e.kl));
        slope = select(bites, zero, slope);
      }
      // Where a token does not count x is 0, and so is every estimate.
      term = fma(w, kl, term);
      total = total + kl;
      extremes.add(kl, valid);
      return {kl, factor * (w * slope)};
    };
    each_block(a.valid, first, count, [&](const auto& t) PREFGRAD_BODY {
      if (!any(t.valid)) {
        t.clear(a.kl, false);
        return t.clear(a.grad_logprob, add);
      }
      const f32x16 current = t.load(a.logprob), ref = t.load(a.ref_logprob), w = t.load_or(a.weight, 1.0f);
      const Token low = eight(low_f64(current), low_f64(ref), low_f64(w), low_half(t.valid));
      const Token high = eight(high_f64(current), high_f64(ref), high_f64(w), high_half(t.valid));
      t.store(a.kl, low.kl, high.kl, false);
      t.store(a.grad_logprob, low.grad, high.grad, add);
    });
    return {sum(term), sum(total), extremes.min(), extremes.max()};
  }
};

template <int estimator>
inline void kl_penalty_items(const KlPenalty& a, int64_t begin, int64_t end) {
  if (a.clamp_input == a.clamp_input || a.clamp_output == a.clamp_output) {
    token_terms<KlPenaltyTerms<estimator, true>>(a, begin, end);
  } else {
    token_terms<KlPenaltyTerms<estimator, false>>(a, begin, end);
  }
}

inline void kl_penalty_terms(const KlPenalty& a, int64_t begin, int64_t end, int) {
  switch (a.estimator) {
    case kK1: return kl_penalty_items<kK1>(a, begin, end);
    case kK2: return kl_penalty_items<kK2>(a, begin, end);
    case kK3: return kl_penalty_items<kK3>(a, begin, end);
    default: return kl_penalty_items<kAbs>(a, begin, end);
  }
}

inline void kl_penalty_finish(const KlPenalty& a, int64_t, int64_t, int) {
  const TokenHeader& h = header_of(a);
  if (h.offsets_hold == 0.0) {
    fill_nan(a.loss, 1);
    fill_nan(a.grad_logprob, a.N);
    fill_nan(a.kl, a.N);
    fill_nan(a.stats, 6);
    return;
  }
  double numerator;
  const KlPenaltySums s = token_finish<KlPenaltySums>(a, numerator);
  const double stats[6] = {numerator, h.denominator, h.tokens, s.kl, s.kl_min, s.kl_max};
  for (int k = 0; k < 6; ++k) a.stats[k] = static_cast<float>(stats[k]);
}

}  // namespace prefgrad::PREFGRAD_ISA
