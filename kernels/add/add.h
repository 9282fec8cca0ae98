// z = x + y, in f32. Bytes: reads 8 B per element, writes 4 B. One pass.
#pragma once
#include "../common/args.h"

namespace prefgrad {

struct Add {
  uint64_t present;
  int64_t N;
  const float *x, *y;
  float* z;
  void* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(Add, x);

}  // namespace prefgrad
