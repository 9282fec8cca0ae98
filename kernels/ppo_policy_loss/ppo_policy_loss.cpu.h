// See ppo_policy_loss.h for the formula and the bytes, common/token_loss.h for the passes.
#pragma once
#include "sequence_terms.cpu.h"
#include "token_terms.cpu.h"

namespace prefgrad::PREFGRAD_ISA {

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

inline void ppo_policy_loss_terms(const PpoPolicyLoss& a, int64_t begin, int64_t end, int) {
  if (a.ratio_level != 0) return token_terms<PpoSequenceTerms>(a, begin, end);
  const PpoEdges edges(a);
  const bool dual = a.dual_clip == a.dual_clip, weight = a.weight != nullptr;
  if (dual && weight) token_terms<PpoTokenTerms<true, true>>(a, begin, end, edges);
  if (dual && !weight) token_terms<PpoTokenTerms<true, false>>(a, begin, end, edges);
  if (!dual && weight) token_terms<PpoTokenTerms<false, true>>(a, begin, end, edges);
  if (!dual && !weight) token_terms<PpoTokenTerms<false, false>>(a, begin, end, edges);
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
