// Log-probabilities of whole sequences: out_logprob_b = sum (or mean) of logprob over the tokens of b that count,
// log_ratio_b the same of logprob - ref_logprob, difference by difference in f64: the difference of two long f32 sums
// has lost its sign. Backward: grad_logprob = grad_sequence_b (over count_b for the mean), 0 where a token does not count.
// Bytes: reads 4 B per token (8 with a reference) and valid; backward writes 4 B.
// One pass each, one item per sequence.
#pragma once
#include "../common/args.h"

namespace prefgrad {

struct SequenceLogprobs {
  static constexpr unsigned offsets_input = 3;
  uint64_t present;
  int64_t N, B, T;
  int64_t reduce;
  const float *logprob, *ref_logprob;
  const uint8_t* valid;
  const int32_t* offsets;
  float *out_logprob, *count, *log_ratio;
  void* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(SequenceLogprobs, logprob);

struct SequenceLogprobsBackward {
  static constexpr unsigned offsets_input = 3;
  uint64_t present;
  int64_t N, B, T;
  int64_t reduce;
  int64_t accumulate;
  const float *grad_sequence, *like;
  const uint8_t* valid;
  const int32_t* offsets;
  float* grad_logprob;
  void* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(SequenceLogprobsBackward, grad_sequence);

}  // namespace prefgrad
