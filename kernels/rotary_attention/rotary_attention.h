// Causal grouped-query attention with rotary positions (Vaswani et al. 2017, arXiv:1706.03762, eq. 1; Su et al. 2021,
// arXiv:2104.09864, eq. 34). Per query row q of head h, with k_j and v_j of the key head h / (heads / keyValueHeads):
//   score_j = turned(q) . turned(k_j) / sqrt(headSize)  for j = 0 .. position of q
//   logSum = log sum_j e^score_j,  y = sum_j e^(score_j - max) v_j / sum_j e^(score_j - max)
//   query, y [N, Q]; key, value [M, C]; logSum [N, A]; Q = heads headSize, C = keyValueHeads headSize, A = heads
// Every score is one chain of fused multiply-adds over the elements of a head, every y one over the keys in order, and
// the sum of exponentials has a fixed order too: a query has the same bits alone with a cache as among its sequence.
// Bytes: 4 (2 N Q + 2 M C) at least; about 2 Q multiply-adds per query and key seen. No T x T tensor.
// Passes: angles (unless keys come rotated), one item per 64 positions; forward, one item per sequence and key head.
// Workspace: the angles of all positions, then worker_floats per thread.
#pragma once
#include "../common/args.h"

namespace prefgrad {

struct RotaryAttention {
  static constexpr unsigned offsets_input = 3, key_lengths_input = 4;
  uint64_t present;
  int64_t N, B, T, Q, M, C, A;
  int64_t heads, key_value_heads;
  double base;
  int64_t keys_rotated;
  double worker_floats;
  const float *query, *key, *value;
  const int32_t *offsets, *key_lengths;
  float *y, *log_sum;
  float* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(RotaryAttention, query);

}  // namespace prefgrad
