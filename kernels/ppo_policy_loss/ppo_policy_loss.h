// Clipped surrogate of PPO (Schulman et al. 2017, arXiv:1707.06347 eq. 7; dual clip: Ye et al. 2020, arXiv:1912.09729 eq. 5).
// Per token t of sequence b, with A = advantage, x = logprob - old_logprob, r = e^x:
//   term = max(-A r, -A clip(r, 1 - clip_low, 1 + clip_high)), and where A < 0 at most -A dual_clip
//   d term / d logprob = -A r where the term is -A r (ties included), else 0
// ratio_level 1 (GSPO, arXiv:2507.18071 eq. 5-7): s = exp(mean of x over the n valid tokens) in place of r, and
//   sequence_gradient 0: (s / n) sum over unclipped u of -A_u w_u, the same for every t of the sequence; 1: -A_t s
// loss = sum over b of share_b sum over t of w_t term_t / D, share_b = 1 (or 1 / n), D = denominator or normalizer.
// Bytes: reads 12 B per token and valid, writes 4 B; all arithmetic in f64, rounded once. On the CPU
// ratios of tokens are taken in f32: a gradient within 5 ULP, the loss within 2^-19 of the terms' size (3 2^-24 measured).
// Passes: common/token_loss.h.
#pragma once
#include "../common/args.h"

namespace prefgrad {

struct PpoPolicyLoss {
  static constexpr unsigned offsets_input = 4;
  uint64_t present;
  int64_t N, B, T;
  double clip_low, clip_high, dual_clip;
  int64_t ratio_level, sequence_gradient, aggregate, count_empty;
  double normalizer, grad_scale;
  int64_t accumulate;
  const float *logprob, *old_logprob, *advantage;
  const uint8_t* valid;
  const int32_t* offsets;
  const float* weight;
  float *loss, *grad_logprob, *stats;
  double* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(PpoPolicyLoss, logprob);

}  // namespace prefgrad
