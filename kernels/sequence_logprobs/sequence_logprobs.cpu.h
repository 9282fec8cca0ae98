// See sequence_logprobs.h for the formula, the passes and the bytes.
#pragma once
#include "../common/sequences.h"
#include "sequence_logprobs.h"

namespace prefgrad::PREFGRAD_ISA {

inline void sequence_logprobs_forward(const SequenceLogprobs& a, int64_t begin, int64_t end, int) {
  if (!offsets_hold(a)) {
    if (begin > 0) return;
    fill_nan(a.out_logprob, a.B);
    fill_nan(a.count, a.B);
    return fill_nan(a.log_ratio, a.B);
  }
  for (int64_t b = begin; b < end && b < a.B; ++b) {
    const Span s = span_of(a, b);
    const double count = static_cast<double>(count_valid(a.valid, s));
    const double divisor = a.reduce == 1 && count > 0.0 ? count : 1.0;
    Sum16 logprob, log_ratio;
    each_block(a.valid, s.start, s.length, [&](const auto& t) PREFGRAD_BODY {
      if (!any(t.valid)) return;
      const f32x16 current = t.load(a.logprob);
      logprob.add(current);
      if (a.ref_logprob == nullptr) return;
      const f32x16 ref = t.load(a.ref_logprob);
      log_ratio.add(low_f64(current) - low_f64(ref), high_f64(current) - high_f64(ref));
    });
    a.out_logprob[b] = static_cast<float>(logprob.total() / divisor);
    a.count[b] = static_cast<float>(count);
    if (a.log_ratio != nullptr) a.log_ratio[b] = static_cast<float>(log_ratio.total() / divisor);
  }
}

inline void sequence_logprobs_backward(const SequenceLogprobsBackward& a, int64_t begin, int64_t end, int) {
  if (!offsets_hold(a)) {
    if (begin == 0) fill_nan(a.grad_logprob, a.N);
    return;
  }
  for (int64_t b = begin; b < end && b < a.B; ++b) {
    const Span s = span_of(a, b);
    const double divisor = a.reduce == 1 ? static_cast<double>(count_valid(a.valid, s)) : 1.0;
    const f64x8 grad = f64x8::set(a.grad_sequence[b] / divisor);
    each_block(a.valid, s.start, s.length,
               [&](const auto& t) PREFGRAD_BODY { t.store(a.grad_logprob, grad, grad, a.accumulate != 0); });
  }
}

}  // namespace prefgrad::PREFGRAD_ISA
