// See ppo_policy_loss.h and common/token_loss.launch.h. With sequence ratios a launch before the terms finds them, a block
// per sequence, and counts the tokens along the way.
#pragma once
#include "../common/token_loss.launch.h"
#include "ppo_policy_loss.h"

namespace prefgrad {

inline void plan(const PpoPolicyLoss& a, Element, const DeviceShape&, LaunchPlan& out) {
  if (a.ratio_level == 0) return token_loss_plan(a, "ppo_policy_loss_count", "ppo_policy_loss", out);
  const int64_t slots = token_slots(a);
  // Behind everything else, the ratio of each sequence and what its tokens are pulled by.
  out.workspace_bytes = 8 * (token_loss_words(a) + 2 * static_cast<uint64_t>(a.B));
  out.add("ppo_policy_loss_ratios", a.B > 0 ? a.B : 1, kTokenLossThreads);
  out.add("ppo_policy_loss_sequences", slots > 0 ? slots : 1, kTokenLossThreads);
}

}  // namespace prefgrad
