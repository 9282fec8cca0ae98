// One token per row of logits, by the inverse of the running sum of integer weights:
//   w_j = floor(2^30 e^((x_j - max) / temperature))         exp in f32, so that w_j is a whole number that f32 holds
//   topK: logits below the topK-th largest drop out;  topP: then weights below t, t the largest threshold whose
//   weights add up to topP of all that is left;  token: the first whose running sum exceeds floor(r total / 2^64)
// with 64 random bits r from Philox4x32-10. Sums of whole numbers are exact in f64 (below 2^53 for 2^23 logits): no
// order of addition, thread or instruction set changes a draw. Temperature 0 takes the largest, the first of equals;
// so does +inf. A row with NaN or of nothing but -inf gives -1.
//
// Rows: N of V. Bytes: reads 4 V per row. One pass, one item per row; workspace: V + 16 f32 of weights per thread.
#pragma once
#include "../common/args.h"

namespace prefgrad {

struct SampleTokens {
  uint64_t present;
  int64_t N, V;
  double temperature;
  int64_t top_k;
  double top_p;
  uint64_t seed, counter;
  double inverse_temperature;
  const float* logits;
  const int32_t* streams;
  int32_t* tokens;
  float* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(SampleTokens, logits);

}  // namespace prefgrad
