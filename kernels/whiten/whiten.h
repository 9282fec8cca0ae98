// Whitening over the n values that count: y = (x - mean) / sqrt(variance + epsilon), variance over n - 1 (unbiased) or n;
// without shift_mean the mean is added back. 0 where a value does not count, and everywhere when n < 2.
// Bytes: reads 8 B per value and valid twice, writes 4 B; moments in f64 (common/moments.h), result rounded once.
// Passes: moments (per 4096 values), combine (merges them in order), forward (per 4096 values).
#pragma once
#include "../common/args.h"

namespace prefgrad {

struct Whiten {
  uint64_t present;
  int64_t N;
  int64_t shift_mean, unbiased;
  double epsilon;
  const float* x;
  const uint8_t* valid;
  float* y;
  double* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(Whiten, x);

}  // namespace prefgrad
