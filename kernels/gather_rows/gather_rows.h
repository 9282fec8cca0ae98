// Picks rows: y_i = x[rows_i]. Backward: grad_x_m = sum of grad_y_i over the i with rows_i = m, in order of position, in f64
// and rounded once. A row number outside x is reported and gives NaN.
// Bytes: forward reads and writes 4 H B per position; backward reads 4 H B per position and writes 4 H B per row.
// Passes: forward has one item per position; backward sorts the positions by row (sort), then adds blocks of 128 rows
// (forward). See common/rows.h, which embedding shares.
#pragma once
#include "../common/args.h"

namespace prefgrad {

struct GatherRows {
  uint64_t present;
  int64_t M, H, N;
  const float* x;
  const int32_t* rows;
  float* y;
  void* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(GatherRows, x);

struct GatherRowsBackward {
  uint64_t present;
  int64_t N, H, M;
  int64_t count;
  int64_t accumulate;
  const float* grad_y;
  const int32_t* rows;
  float* grad_x;
  void* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(GatherRowsBackward, grad_y);

}  // namespace prefgrad
