// Root-mean-square normalisation of rows (Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4) and its gradients.
//   s = 1 / sqrt(mean(x^2) + epsilon),  y = x s weight      x [N, H], weight [H], y [N, H], s = inverseRms [N]
//   gradX = s (gradY weight - x s^2 mean(gradY weight x)),  gradWeight = sum over rows of gradY x s
// Means are summed in f64. gradWeight: one partial sum in f64 per block of 64 rows, added up in order.
// Bytes: forward 8 N H, backward 12 N H.
// Passes: rmsNorm forward, one item per row; rmsNormBackward rows, one item per 64 rows, then finish.
#pragma once
#include "../common/args.h"

namespace prefgrad {

struct RmsNorm {
  uint64_t present;
  int64_t N, H;
  double epsilon;
  const float *x, *weight;
  float *y, *inverse_rms;
  void* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(RmsNorm, x);

struct RmsNormBackward {
  uint64_t present;
  int64_t N, H;
  int64_t accumulate;
  const float *grad_y, *x, *weight, *inverse_rms;
  float *grad_x, *grad_weight;
  double* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(RmsNormBackward, grad_y);

}  // namespace prefgrad
