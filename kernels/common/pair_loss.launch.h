// The plan of losses on pairs: one launch, a thread per pair. Without pairs there is still a loss to write.
#pragma once
#include "launch.h"

namespace prefgrad {

constexpr int kPairThreads = 256;
constexpr int kPairWords = 5;  // of eight bytes, that a block leaves in the workspace

inline void pair_loss_plan(int64_t pairs, const char* kernel, LaunchPlan& out) {
  const int64_t blocks = pairs > 0 ? blocks_of(pairs, kPairThreads) : 1;
  out.workspace_bytes = blocks > 1 ? 8 * kPairWords * static_cast<uint64_t>(blocks) : 0;
  out.add(kernel, blocks, kPairThreads);
}

}  // namespace prefgrad
