// KL penalty toward a reference, estimated from sampled tokens (Schulman 2020). Per token, x = ref_logprob - logprob clamped
// to +- clamp_input:
//   kl = -x (k1), x^2 / 2 (k2), e^x - 1 - x (k3), |x| (abs), clamped to +- clamp_output
//   gradient 1 ('value'):    d kl / d logprob = 1, -x, 1 - e^x, -sign x
//   gradient 0 ('unbiased'): kl + d kl / d logprob, whose expectation is the gradient of the expected kl: -x for k3, and -x
//                            for k1 and k2 too (the reverse KL itself); |x| - sign x for abs
//   no gradient where a clamp bites
// loss = sum over b of share_b sum over t of w_t kl_t / D, share_b = 1 (or 1 / n), D = denominator or normalizer.
// Bytes: reads 8 B per token and valid, writes 8 B; all arithmetic in f64, rounded once.
// Passes: common/token_loss.h.
#pragma once
#include "../common/args.h"

namespace prefgrad {

struct KlPenalty {
  static constexpr unsigned offsets_input = 3;
  uint64_t present;
  int64_t N, B, T;
  int64_t estimator, gradient;
  double clamp_input, clamp_output;
  int64_t aggregate, count_empty;
  double normalizer, grad_scale;
  int64_t accumulate;
  const float *logprob, *ref_logprob;
  const uint8_t* valid;
  const int32_t* offsets;
  const float* weight;
  float *loss, *grad_logprob, *kl, *stats;
  double* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(KlPenalty, logprob);

}  // namespace prefgrad
