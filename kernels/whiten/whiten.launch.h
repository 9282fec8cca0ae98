// See whiten.h. One launch where one block has it all; else moments, and then the values.
#pragma once
#include "../common/launch.h"
#include "whiten.h"

namespace prefgrad {

constexpr int kWhitenThreads = 256;
constexpr int64_t kWhitenBlock = 4096;   // values of a block
constexpr int64_t kWhitenFew = 8192;     // that one block has alone
// The workspace: n, mean and 1 / deviation, then the moments of each block.
constexpr int kWhitenWords = 3;

inline void plan(const Whiten& a, Element, const DeviceShape&, LaunchPlan& out) {
  if (a.N == 0) return;
  if (a.N <= kWhitenFew) return out.add("whiten", 1, kWhitenThreads);
  const int64_t blocks = blocks_of(a.N, kWhitenBlock);
  out.workspace_bytes = 8 * kWhitenWords * static_cast<uint64_t>(1 + blocks);
  out.add("whiten_moments", blocks, kWhitenThreads);
  out.add("whiten_forward", blocks, kWhitenThreads);
}

}  // namespace prefgrad
