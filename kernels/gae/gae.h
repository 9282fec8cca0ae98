// Generalized advantage estimation (Schulman et al. 2016, arXiv:1506.02438, eq. 16), backwards over each sequence:
//   delta_t = r_t + gamma V'_t - V_t          V': the value that follows, 0 when terminated
//   A_t = delta_t + gamma lambda continues_t A_next,   returns = A^(value_lambda or lambda) + V
// mask_mode carry (0): the steps are the valid ones, gaps cost no decay; zero (1): all up to the last valid one, the
// others read as 0. In both a sequence ends with its last valid step, `bootstrap` is the value after it, and padding
// changes nothing, before or after.
//
// The recursion is a scan of maps A -> b + a A: eight steps are composed in registers in three rounds (Kogge & Stone
// 1973), then the carry from the steps behind them enters, all in f64, rounded once. Groups of eight are counted from
// the first valid step, so that the bits depend on nothing but the steps: packed equals padded, a mask of ones no mask.
//
// Bytes: reads 8 B (rewards, values) and the masks, writes 8 B per step. One pass, one item per sequence.
#pragma once
#include "../common/args.h"

namespace prefgrad {

struct Gae {
  static constexpr unsigned truncated_input = 4, offsets_input = 7;
  uint64_t present;
  int64_t N, B, T;
  double gamma, lambda, value_lambda;
  int64_t mask_mode;
  const float *rewards, *values, *bootstrap;
  const uint8_t *terminated, *truncated;
  const float* next_values;
  const uint8_t* valid;
  const int32_t* offsets;
  const float* lambdas;
  float *advantages, *returns;
  void* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(Gae, rewards);

}  // namespace prefgrad
