// Gradients of rotaryAttention (Dao et al. 2022, arXiv:2205.14135, appendix B.2), keys laid out as queries. Per row:
//   p_j = e^(score_j - logSum),  D = gradY . y,  gradScore_j = p_j (gradY . v_j - D)
//   gradQuery = turned back(sum_j gradScore_j turned(k_j)) / sqrt(headSize)
//   gradKey_j = turned back(sum over rows gradScore_j turned(q)) / sqrt(headSize)
//   gradValue_j = sum over rows p_j gradY
// Rows are the queries of a sequence in order and, per query, the heads that share the key head; sums over rows and
// over keys are chains of fused multiply-adds in that order.
// Bytes: 4 (4 N Q + 4 N C) at least; about 5 Q multiply-adds per query and key seen. No T x T tensor.
// Passes: angles, one item per 64 positions; forward, one item per sequence and key head.
// Workspace: the angles of all positions, then worker_floats per thread.
#pragma once
#include "../common/args.h"

namespace prefgrad {

struct RotaryAttentionBackward {
  static constexpr unsigned offsets_input = 6;
  uint64_t present;
  int64_t N, B, T, Q, C, A;
  int64_t heads, key_value_heads;
  double base;
  double worker_floats;
  int64_t accumulate;
  const float *grad_y, *query, *key, *value, *y, *log_sum;
  const int32_t* offsets;
  float *grad_query, *grad_key, *grad_value;
  float* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(RotaryAttentionBackward, grad_y);

}  // namespace prefgrad
