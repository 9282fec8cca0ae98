// See token_rewards.h. A block for a sequence; so many at most, as every block looks through all offsets.
#pragma once
#include "../common/launch.h"
#include "token_rewards.h"

namespace prefgrad {

constexpr int kRewardThreads = 512;
constexpr int kRewardRun = 4;  // tokens of a thread at a time
constexpr int64_t kRewardBlocks = 1024;

inline void plan(const TokenRewards& a, Element, const DeviceShape&, LaunchPlan& out) {
  // Packed calls of no sequence have offsets to check all the same.
  const int64_t wanted = a.B > 0 || a.offsets == nullptr ? a.B : 1;
  out.add("token_rewards", wanted < kRewardBlocks ? wanted : kRewardBlocks, kRewardThreads);
}

}  // namespace prefgrad
