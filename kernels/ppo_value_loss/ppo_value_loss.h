// Value loss of PPO (Schulman et al. 2017, arXiv:1707.06347 eq. 9; the clip as in the OpenAI baselines). Per token,
// V = value, R = returns, and with `clip` Vc = old_value + clip(V - old_value, -clip, clip):
//   term = scale max((V - R)^2, (Vc - R)^2)
//   d term / dV = 2 scale (V - R), and 0 where the clipped square is the larger one
// loss = sum over b of share_b sum over t of w_t term_t / D, share_b = 1 (or 1 / n), D = denominator or normalizer.
// Stats hold n, mean and M2 of R - V and of R: explained variance is 1 - M2(R - V) / M2(R).
// Bytes: reads 8 B per token (12 with clip) and valid, writes 4 B. CUDA computes in f64 and rounds once; the CPU in f32, with
// sums in f64, and in f64 where f32 would not do.
// Passes: common/token_loss.h.
#pragma once
#include "../common/args.h"

namespace prefgrad {

struct PpoValueLoss {
  static constexpr unsigned offsets_input = 4;
  uint64_t present;
  int64_t N, B, T;
  double clip, scale;
  int64_t aggregate, count_empty;
  double normalizer, grad_scale;
  int64_t accumulate;
  const float *value, *old_value, *returns;
  const uint8_t* valid;
  const int32_t* offsets;
  const float* weight;
  float *loss, *grad_value, *stats;
  double* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(PpoValueLoss, value);

}  // namespace prefgrad
