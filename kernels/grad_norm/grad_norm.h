// norm = sqrt(sum g^2) over P gradients. Bytes: 4 P read.
// Passes: partials (one f64 sum per 65536 elements into the workspace, sixteen lanes each), finish (adds them up in order).
#pragma once
#include "../common/args.h"

namespace prefgrad {

constexpr int64_t kFlatChunk = 65536;  // lib/spec/optimizer.ts FLAT_CHUNK

struct GradNorm {
  uint64_t present;
  int64_t P;
  const float* grad;
  float* norm;
  double* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(GradNorm, grad);

}  // namespace prefgrad
