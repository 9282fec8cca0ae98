// What tokens with the ratio of their sequence add to ppoPolicyLoss: f64, chunk by chunk.
#pragma once
#include "exact_terms.cpu.h"

namespace prefgrad::PREFGRAD_ISA {

struct PpoSequenceTerms {
  using Sums = PpoPolicySums;
  const PpoPolicyLoss& a;
  const TokenSequence& sequence;
  double coefficient;

  PpoSequenceTerms(const PpoPolicyLoss& args, int64_t b)
      : a(args), sequence(sequence_of(args, b)), coefficient(coefficient_of(args, sequence.count)) {}

  PREFGRAD_INLINE PpoPolicySums chunk(int64_t first, int64_t count) const {
    const bool add = (a.accumulate & 2) != 0, shared = a.sequence_gradient == 0;
    const f64x8 r = f64x8::set(sequence.ratio), together = f64x8::set(coefficient * sequence.pull);
    PpoExactTerms exact(PpoClip(a), coefficient);
    each_block(a.valid, first, count, [&](const auto& t) PREFGRAD_BODY {
      if (!any(t.valid)) return t.clear(a.grad_logprob, add);
      const f32x16 current = t.load(a.logprob), old = t.load(a.old_logprob), A = t.load(a.advantage);
      const f32x16 w = t.load_or(a.weight, 1.0f);
      exact.add_log_ratio(low_f64(current) - low_f64(old));
      exact.add_log_ratio(high_f64(current) - high_f64(old));
      const f64x8 grad_low = exact.add_term(r, low_f64(A), low_f64(w)), grad_high = exact.add_term(r, high_f64(A), high_f64(w));
      t.store(a.grad_logprob, shared ? together : grad_low, shared ? together : grad_high, add);
    });
    return exact.sums();
  }
};

}  // namespace prefgrad::PREFGRAD_ISA
