// Rewards per token shaped by a KL penalty (Ziegler et al. 2019, arXiv:1909.08593 eq. 2). Per token that counts,
// x = ref_logprob - logprob, kl = -x (k1), x^2 / 2 (k2), e^x - 1 - x (k3), |x| (abs):
//   reward = token_score - kl_coefficient kl
// and once per sequence, clip(score, -reward_clip, reward_clip) + missing_end_penalty where it did not end by itself, at its
// last token that counts (0), at the slot after that (1), or at its last slot (2), which then need not count.
// A sequence in which nothing counts has no rewards, its score included.
// Bytes: reads 8 B per token, valid and token_score, writes 8 B; all arithmetic in f64, rounded once.
// One pass, one item per sequence.
#pragma once
#include "../common/args.h"

namespace prefgrad {

struct TokenRewards {
  static constexpr unsigned valid_input = 4, offsets_input = 5;
  uint64_t present;
  int64_t N, B, T;
  double kl_coefficient;
  int64_t kl_estimator, score_at;
  double reward_clip, missing_end_penalty;
  const float *score, *token_score, *logprob, *ref_logprob;
  const uint8_t* valid;
  const int32_t* offsets;
  const uint8_t* ended;
  float *rewards, *kl;
  void* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(TokenRewards, score);

}  // namespace prefgrad
