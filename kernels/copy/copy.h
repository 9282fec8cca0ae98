// y = x. Bytes: reads and writes 4 B per element. One pass.
#pragma once
#include "../common/args.h"

namespace prefgrad {

struct Copy {
  uint64_t present;
  int64_t N;
  const float* x;
  float* y;
  void* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(Copy, x);

}  // namespace prefgrad
