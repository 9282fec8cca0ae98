// y = x weight^T + bias: N rows of I values, O outputs; x [N, I], weight [O, I], bias [O], y [N, O].
// Each y is one chain of fused multiply-adds over I = 0, 1, ... from 0, then the bias: a row has the same bits in any
// batch.
// Bytes: 4 (N I + O I + N O) at least; 2 N I O operations.
// Pass forward: one item per tile of y.
#pragma once
#include "../common/args.h"

namespace prefgrad {

struct Linear {
  uint64_t present;
  int64_t N, I, O;
  double tile_rows, tile_columns, worker_floats;
  const float *x, *weight, *bias;
  float* y;
  float* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(Linear, x);

}  // namespace prefgrad
