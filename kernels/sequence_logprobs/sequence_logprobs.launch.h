// See sequence_logprobs.h. A block for a sequence; so many at most, as every block looks through all offsets.
#pragma once
#include "../common/launch.h"
#include "sequence_logprobs.h"

namespace prefgrad {

constexpr int kSequenceThreads = 512;
constexpr int64_t kSequenceBlocks = 1024;

// Packed calls of no sequence have offsets to check all the same.
template <typename Args>
inline int64_t sequence_blocks(const Args& a) {
  const int64_t wanted = a.B > 0 || a.offsets == nullptr ? a.B : 1;
  return wanted < kSequenceBlocks ? wanted : kSequenceBlocks;
}

inline void plan(const SequenceLogprobs& a, Element, const DeviceShape&, LaunchPlan& out) {
  out.add("sequence_logprobs", sequence_blocks(a), kSequenceThreads);
}
inline void plan(const SequenceLogprobsBackward& a, Element, const DeviceShape&, LaunchPlan& out) {
  out.add("sequence_logprobs_backward", sequence_blocks(a), kSequenceThreads);
}

}  // namespace prefgrad
