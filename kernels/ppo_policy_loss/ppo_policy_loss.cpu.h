// See ppo_policy_loss.h for the formula and the bytes, common/token_loss.h for the passes.
#pragma once
#include "../common/log_ratio.h"
#include "../common/token_loss.h"
#include "ppo_policy_loss.h"

namespace prefgrad::PREFGRAD_ISA {

// Where the clips act, and the ratio that the term is made of. A NaN is never clipped away.
struct PpoClip {
  f64x8 low, high, dual;

  explicit PpoClip(const PpoPolicyLoss& a)
      : low(f64x8::set(1.0 - a.clip_low)), high(f64x8::set(1.0 + a.clip_high)), dual(f64x8::set(a.dual_clip)) {}

  struct Masks {
    m8 low, high, dual;
    PREFGRAD_INLINE m8 any() const { return low | high | dual; }
  };
  PREFGRAD_INLINE Masks masks(f64x8 r, f64x8 advantage) const {
    const f64x8 zero = f64x8::set(0.0);
    const m8 worse = less(advantage, zero);
    // An absent dual_clip is NaN, which nothing is above.
    return {worse & less(r, low), less(zero, advantage) & less(high, r), worse & less(dual, r)};
  }
  PREFGRAD_INLINE f64x8 clipped(f64x8 r, Masks m) const {
    return select(m.high, high, select(m.low, low, select(m.dual, dual, r)));
  }
};

struct PpoPolicySums {
  double term, clipped_low, clipped_high, dual_clipped, approx_kl, ratio, log_ratio, log_ratio_square, ratio_min, ratio_max;

  static PpoPolicySums none() {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    return {0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, infinity, -infinity};
  }
  void merge(const PpoPolicySums& o) {
    term += o.term;
    clipped_low += o.clipped_low;
    clipped_high += o.clipped_high;
    dual_clipped += o.dual_clipped;
    approx_kl += o.approx_kl;
    ratio += o.ratio;
    log_ratio += o.log_ratio;
    log_ratio_square += o.log_ratio_square;
    ratio_min = smaller(o.ratio_min, ratio_min);
    ratio_max = larger(o.ratio_max, ratio_max);
  }
};

// Sequence ratios: s, and what every token's gradient shares.
inline void ppo_policy_loss_prepare(const PpoPolicyLoss& a, int64_t begin, int64_t end, int) {
  token_prepare(a, begin, end);
  if (a.ratio_level == 0 || !offsets_hold(a)) return;
  const PpoClip clip(a);
  for (int64_t b = begin; b < end; ++b) {
    TokenSequence& q = sequence_of(a, b);
    if (q.count == 0.0) continue;
    const Span s = span_of(a, b);
    Sum16 sum;
    each_block(a.valid, s.start, s.length, [&](const auto& t) PREFGRAD_BODY {
      const f32x16 current = t.load(a.logprob), old = t.load(a.old_logprob);
      sum.add(low_f64(current) - low_f64(old), high_f64(current) - high_f64(old));
    });
    const double mean = sum.total() / q.count;
    q.ratio = exp_of(mean > 400.0 ? 400.0 : mean);  // as in exponential()
    if (a.sequence_gradient != 0) continue;
    const f64x8 zero = f64x8::set(0.0), r = f64x8::set(q.ratio);
    Sum16 pull;
    each_block(a.valid, s.start, s.length, [&](const auto& t) PREFGRAD_BODY {
      const f32x16 advantage = t.load(a.advantage), weight = t.load_or(a.weight, 1.0f);
      const auto unclipped = [&](f64x8 A, f64x8 w) PREFGRAD_BODY {
        return select(clip.masks(r, A).any(), zero, w * (zero - A));
      };
      pull.add(unclipped(low_f64(advantage), low_f64(weight)), unclipped(high_f64(advantage), high_f64(weight)));
    });
    q.pull = pull.total() * (q.ratio / q.count);
  }
}

inline void ppo_policy_loss_coefficients(const PpoPolicyLoss& a, int64_t, int64_t, int) { token_coefficients(a); }

template <bool by_sequence>
struct PpoPolicyTerms {
  using Sums = PpoPolicySums;
  const PpoPolicyLoss& a;
  const TokenSequence& sequence;
  PpoClip clip;
  double coefficient;

  PpoPolicyTerms(const PpoPolicyLoss& args, int64_t b)
      : a(args), sequence(sequence_of(args, b)), clip(args), coefficient(coefficient_of(args, sequence.count)) {}

  PREFGRAD_INLINE PpoPolicySums chunk(int64_t first, int64_t count) const {
    const f64x8 zero = f64x8::set(0.0), factor = f64x8::set(coefficient);
    const bool add = (a.accumulate & 2) != 0, shared = by_sequence && a.sequence_gradient == 0;
    const f64x8 together = f64x8::set(coefficient * sequence.pull);
    f64x8 term = zero, approx_kl = zero, ratio = zero, log_ratio = zero, square = zero;
    Extremes extremes;
    int64_t low = 0, high = 0, dual = 0;
    const auto eight = [&](f64x8 current, f64x8 old, f64x8 A, f64x8 w, m8 valid) PREFGRAD_BODY {
      const f64x8 x = current - old;
      const Exponential e = exponential(x);
      const f64x8 r = by_sequence ? f64x8::set(sequence.ratio) : e.value;
      const PpoClip::Masks m = clip.masks(r, A);
      // Where a token does not count A is 0: it has no term, clips nothing, and x is 0 as well.
      const f64x8 push = w * (zero - A);
      term = fma(push, clip.clipped(r, m), term);
      approx_kl = approx_kl + e.rest;
      log_ratio = log_ratio + x;
      square = fma(x, x, square);
      low += count_lanes(m.low);
      high += count_lanes(m.high);
      dual += count_lanes(m.dual);
      if (!by_sequence) {
        ratio = ratio + select(valid, r, zero);
        extremes.add(r, valid);
      }
      return shared ? together : factor * select(m.any(), zero, push * r);
    };
    each_block(a.valid, first, count, [&](const auto& t) PREFGRAD_BODY {
      if (!any(t.valid)) return t.clear(a.grad_logprob, add);
      const f32x16 current = t.load(a.logprob), old = t.load(a.old_logprob), A = t.load(a.advantage);
      const f32x16 w = t.load_or(a.weight, 1.0f);
      const f64x8 grad_low = eight(low_f64(current), low_f64(old), low_f64(A), low_f64(w), low_half(t.valid));
      const f64x8 grad_high = eight(high_f64(current), high_f64(old), high_f64(A), high_f64(w), high_half(t.valid));
      t.store(a.grad_logprob, grad_low, grad_high, add);
    });
    return {sum(term), static_cast<double>(low), static_cast<double>(high), static_cast<double>(dual),
            sum(approx_kl), sum(ratio), sum(log_ratio), sum(square), extremes.min(), extremes.max()};
  }
};

inline void ppo_policy_loss_terms(const PpoPolicyLoss& a, int64_t begin, int64_t end, int) {
  if (a.ratio_level == 0) {
    token_terms<PpoPolicyTerms<false>>(a, begin, end);
  } else {
    token_terms<PpoPolicyTerms<true>>(a, begin, end);
  }
}

inline void ppo_policy_loss_finish(const PpoPolicyLoss& a, int64_t, int64_t, int) {
  const TokenHeader& h = header_of(a);
  if (h.offsets_hold == 0.0) {
    fill_nan(a.loss, 1);
    fill_nan(a.grad_logprob, a.N);
    fill_nan(a.stats, 13);
    return;
  }
  double numerator;
  PpoPolicySums s = token_finish<PpoPolicySums>(a, numerator);
  double ratios = h.tokens;
  if (a.ratio_level != 0) {
    ratios = h.sequences;
    for (int64_t b = 0; b < a.B; ++b) {
      const TokenSequence& q = sequence_of(a, b);
      if (q.count == 0.0) continue;
      s.ratio += q.ratio;
      s.ratio_min = smaller(q.ratio, s.ratio_min);
      s.ratio_max = larger(q.ratio, s.ratio_max);
    }
  }
  const double stats[13] = {
      numerator,   h.denominator, h.tokens,    ratios,      s.clipped_low, s.clipped_high,     s.dual_clipped,
      s.approx_kl, s.ratio,       s.ratio_min, s.ratio_max, s.log_ratio,   s.log_ratio_square,
  };
  for (int k = 0; k < 13; ++k) a.stats[k] = static_cast<float>(stats[k]);
}

}  // namespace prefgrad::PREFGRAD_ISA
