// y += alpha x in place (BLAS axpy), in f64 and rounded once, so that alpha keeps its digits.
// Bytes: reads 8 B per element, writes 4 B. One pass.
#pragma once
#include "../common/args.h"

namespace prefgrad {

struct Axpy {
  uint64_t present;
  int64_t N;
  double alpha;
  const float* x;
  float* y;
  void* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(Axpy, x);

}  // namespace prefgrad
