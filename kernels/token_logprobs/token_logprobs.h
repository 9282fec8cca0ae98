// Log-probability of one token per row of logits, and its gradient. Per row, with x the transformed logits:
//   x = c tanh(s l / c) / T          s = logit_scale, c = softcap (0: x = s l / T), T = temperature
//   M = max x,  S = sum over all but one largest of e^(x_j - M),  logSum = log1p(S)
//   logprob = (x_token - M) - logSum,   entropy = logSum + sum e^(x_j - M) (M - x_j) / (1 + S)
// The largest term stays out of the sum: with p -> 1 the rest would drown in 1 + rest.
//
//   dlogits_j = (g ([j = token] - p_j) - h p_j (log p_j + entropy)) dx_j/dl_j          p_j = e^(x_j - M - logSum)
//   dx/dl = s/T (1 - tanh^2); the token's own 1 - p is -expm1(logprob). Rows that nothing flows into are zeros, unread.
//
// Rows: N of V logits (f32, bf16, f16). Bytes: forward reads the logits once; backward reads and writes them once.
// Passes: forward, one item per row. The bits of a row depend on nothing but the row.
#pragma once
#include "../common/args.h"

namespace prefgrad {

struct TokenLogprobs {
  uint64_t present;
  int64_t N, V;
  double temperature, logit_scale, softcap;
  int64_t ignore_index, entropy_wanted;
  double inverse_temperature;
  const void* logits;
  const int32_t* tokens;
  float *logprob, *row_max, *log_sum, *entropy;
  void* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(TokenLogprobs, logits);

struct TokenLogprobsBackward {
  uint64_t present;
  int64_t N, V;
  double temperature, logit_scale, softcap;
  int64_t ignore_index;
  double inverse_temperature;
  int64_t accumulate;
  const void* logits;
  const int32_t* tokens;
  const float *logprob, *row_max, *log_sum, *grad_logprob, *entropy, *grad_entropy;
  void* grad_logits;
  void* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(TokenLogprobsBackward, logits);

}  // namespace prefgrad
