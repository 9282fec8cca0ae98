// Changes the element type between f32, bf16 and f16: widening is exact, narrowing rounds to nearest, ties to even
// (IEEE 754), and f16 and bf16 meet in f32, which holds both exactly.
// Bytes: reads and writes 4 or 2 B per element. One pass, one kernel per type of x.
#pragma once
#include "../common/args.h"

namespace prefgrad {

struct Cast {
  uint64_t present;
  int64_t N;
  int64_t dtype;  // of y: 0 f32, 1 bf16, 2 f16
  const void* x;
  void* y;
  void* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(Cast, x);

}  // namespace prefgrad
