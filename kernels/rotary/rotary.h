// Rotary positions (Su et al. 2021, arXiv:2104.09864, eq. 34), halves layout: in every head of a row the pair
// (i, i + headSize / 2) turns by position * base^(-2 i / headSize).               x [N, Q], positions [N], y [N, Q]
// Bytes: 8 N Q. Pass forward: one item per row; the workspace holds one position's angles per thread.
#pragma once
#include "../common/args.h"

namespace prefgrad {

struct Rotary {
  uint64_t present;
  int64_t N, Q;
  int64_t heads;
  double base;
  const float* x;
  const int32_t* positions;
  float* y;
  float* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(Rotary, x);

}  // namespace prefgrad
