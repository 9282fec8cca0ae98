// See sequence_logprobs.h. A block takes a sequence; a thread adds every 512th token from its start on, in f64, and tokens that do not
// count add exactly nothing: a packed call and a padded one give the same bits.
//   sequence_logprobs           reads 4 B per token (8 with a reference) and valid, the least there is
//   sequence_logprobs_backward  writes 4 B per token, and reads valid, for the mean a second time (from cache)
#include "../common/sequences.cuda.h"
#include "sequence_logprobs.launch.h"

namespace prefgrad {

PREFGRAD_KERNEL(sequence_logprobs, SequenceLogprobs, kSequenceThreads) {
  const bool broken = are_offsets_broken<kSequenceThreads>(a);
  for (int64_t b = blockIdx.x; b < a.B; b += gridDim.x) {
    const Span s = broken ? Span{0, 0} : span_of(a, b);
    double logprob = 0.0, log_ratio = 0.0;
    int64_t count = 0;
    for (int64_t t = threadIdx.x; t < s.length; t += kSequenceThreads) {
      const int64_t i = s.start + t;
      // Read in any case, so that the next loads need not wait for this one.
      const double current = a.logprob[i], ref = a.ref_logprob != nullptr ? a.ref_logprob[i] : 0.0f;
      const bool is_counted = counts(a.valid, i);
      logprob += is_counted ? current : 0.0;
      log_ratio += is_counted ? current - ref : 0.0;
      count += is_counted ? 1 : 0;
    }
    logprob = block_sum<kSequenceThreads>(logprob);
    count = block_sum<kSequenceThreads>(count);
    if (a.ref_logprob != nullptr) log_ratio = block_sum<kSequenceThreads>(log_ratio);
    if (threadIdx.x != 0) continue;
    const double divisor = a.reduce == 1 && count > 0 ? static_cast<double>(count) : 1.0;
    const float nan = nan_f32();
    a.out_logprob[b] = broken ? nan : static_cast<float>(logprob / divisor);
    a.count[b] = broken ? nan : static_cast<float>(count);
    if (a.log_ratio != nullptr) a.log_ratio[b] = broken ? nan : static_cast<float>(log_ratio / divisor);
  }
}

PREFGRAD_KERNEL(sequence_logprobs_backward, SequenceLogprobsBackward, kSequenceThreads) {
  if (are_offsets_broken<kSequenceThreads>(a)) {
    for (int64_t i = global_thread(); i < a.N; i += global_threads()) a.grad_logprob[i] = nan_f32();
    return;
  }
  for (int64_t b = blockIdx.x; b < a.B; b += gridDim.x) {
    const Span s = span_of(a, b);
    int64_t count = a.valid == nullptr ? s.length : 0;
    if (a.reduce == 1 && a.valid != nullptr) {
      for (int64_t t = threadIdx.x; t < s.length; t += kSequenceThreads) count += a.valid[s.start + t] != 0 ? 1 : 0;
      count = block_sum<kSequenceThreads>(count);
    }
    const double gradient = static_cast<double>(a.grad_sequence[b]) / (a.reduce == 1 ? static_cast<double>(count) : 1.0);
    for (int64_t t = threadIdx.x; t < s.length; t += kSequenceThreads) {
      const int64_t i = s.start + t;
      if (a.accumulate != 0) {
        if (counts(a.valid, i)) a.grad_logprob[i] = static_cast<float>(gradient + static_cast<double>(a.grad_logprob[i]));
      } else {
        a.grad_logprob[i] = counts(a.valid, i) ? static_cast<float>(gradient) : 0.0f;
      }
    }
  }
}

}  // namespace prefgrad
