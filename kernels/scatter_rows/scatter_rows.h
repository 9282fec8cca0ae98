// into[rows_i] = x_i for i in [0, N), rows of H f32; of equal row numbers the last wins. Bytes: 8 N H.
// One item, in order. A row number outside [0, M) is reported and skipped.
#pragma once
#include "../common/args.h"

namespace prefgrad {

struct ScatterRows {
  uint64_t present;
  int64_t N, H, M;
  const float* x;
  const int32_t* rows;
  float* into;
  void* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(ScatterRows, x);

}  // namespace prefgrad
