// Gradients of linear, each of which may be left out:
//   gradX = gradY weight            chains over O            gradY [N, O], weight [O, I], gradX [N, I]
//   gradWeight = gradY^T x          chains over N            x [N, I], gradWeight [O, I]
//   gradBias = sum of gradY's rows  in f64, in row order     gradBias [O]
// On a GPU gradWeight may be several chains, each over a part of the rows, and gradBias sums of 128 rows, added up in order.
// With `accumulate` the finished chain is added to what the output holds.
// Bytes: 4 (2 N O + 2 N I + 2 O I) at least; 4 N I O operations.
// Passes: gradX and gradWeight, one item per tile of the output; gradBias, one item per 128 columns.
#pragma once
#include "../common/args.h"

namespace prefgrad {

struct LinearBackward {
  uint64_t present;
  int64_t N, O, I;
  int64_t want_x, want_weight, want_bias;
  double x_tile_rows, x_tile_columns, weight_tile_rows, weight_tile_columns, worker_floats;
  int64_t accumulate;
  const float *grad_y, *x, *weight;
  float *grad_x, *grad_weight, *grad_bias;
  float* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(LinearBackward, grad_y);

}  // namespace prefgrad
