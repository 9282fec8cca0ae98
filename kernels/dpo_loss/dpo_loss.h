// Direct preference optimization on sequence log-probabilities (Rafailov et al. 2023, arXiv:2305.18290 eq. 7) and relatives.
// Per pair, c = policy_chosen - ref_chosen, q = policy_rejected - ref_rejected (references absent: 0), each over its length
// where `normalize` is 1; b = beta, D = c - q, x = b D, e = smoothing, s = sigmoid:
//   sigmoid, sigmoid-norm  -(1 - e) log s(x) - e log s(-x)
//   robust                 (-(1 - e) log s(x) + e log s(-x)) / (1 - 2 e)
//   hinge                  max(0, 1 - x)
//   ipo                    (D - 1 / (2 b))^2
//   exo-pair               s(x) (log s(x) - log(1 - e)) + s(-x) (log s(-x) - log e)
//   nca-pair               -log s(b c) - log s(-b c) / 2 - log s(-b q) / 2
//   bco-pair               -log s(b c - reward_shift) - log s(reward_shift - b q)
//   sppo-hard              (c - 1 / (2 b))^2 + (q + 1 / (2 b))^2
//   apo-zero               1 - s(b c) + s(b q)
//   apo-down               s(b c) + 1 - s(x)
//   discopop               -log s(x) (1 - m) + e^-x m, m = s(x / temperature)
// loss = sum of w l / D', D' = normalizer or B. Rewards are b (policy - ref), never divided by a length.
// Bytes: reads 4 B per input and pair, writes 20 B; all arithmetic in f64, rounded once. On the CPU
// plain losses are taken in f32: a loss within 3 ULP, their mean within 4, a gradient within 6.
// Passes: terms (one item per 1024 pairs) leaves 4 partial sums per item in the workspace, in 64 B; finish adds them up in order.
#pragma once
#include "../common/args.h"

namespace prefgrad {

struct DpoLoss {
  static constexpr unsigned chosen_length_input = 4, rejected_length_input = 5;
  uint64_t present;
  int64_t B;
  int64_t kind;
  double beta, label_smoothing;
  int64_t length_normalize;
  double reward_shift, temperature, normalizer, grad_scale;
  double smoothing, normalize;
  int64_t accumulate;
  const float *policy_chosen, *policy_rejected, *ref_chosen, *ref_rejected, *chosen_length, *rejected_length, *weight;
  float *loss, *losses, *grad_policy_chosen, *grad_policy_rejected, *chosen_reward, *rejected_reward, *stats;
  double* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(DpoLoss, policy_chosen);

}  // namespace prefgrad
