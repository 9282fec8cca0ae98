// x_i = value, in place. Bytes: writes 4 B per element. One pass.
#pragma once
#include "../common/args.h"

namespace prefgrad {

struct Fill {
  uint64_t present;
  int64_t N;
  double value;
  float* x;
  void* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(Fill, x);

}  // namespace prefgrad
