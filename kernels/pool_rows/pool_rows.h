// One row per sequence: y_b = mean of the rows of b that count (kind 0), or the last of them (kind 1); 0 where none counts.
// Backward: grad_x_bt = grad_pooled_b / count_b for each row that counts, or grad_pooled_b at the last; 0 elsewhere.
// Bytes: reads 4 H B per position; backward writes them. Sums in f64 in order of position, rounded once.
// One pass each, one item per sequence.
#pragma once
#include "../common/args.h"

namespace prefgrad {

struct PoolRows {
  static constexpr unsigned offsets_input = 2;
  uint64_t present;
  int64_t N, B, T, H;
  int64_t kind;
  const float* x;
  const uint8_t* valid;
  const int32_t* offsets;
  float* y;
  void* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(PoolRows, x);

struct PoolRowsBackward {
  static constexpr unsigned offsets_input = 3;
  uint64_t present;
  int64_t N, B, T, H;
  int64_t kind;
  int64_t accumulate;
  const float *grad_pooled, *like;
  const uint8_t* valid;
  const int32_t* offsets;
  float* grad_x;
  void* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(PoolRowsBackward, grad_pooled);

}  // namespace prefgrad
