// See kl_penalty.h and common/token_loss.launch.h.
#pragma once
#include "../common/token_loss.launch.h"
#include "kl_penalty.h"

namespace prefgrad {

inline void plan(const KlPenalty& a, Element, const DeviceShape&, LaunchPlan& out) {
  token_loss_plan(a, "kl_penalty_count", "kl_penalty", out);
}

}  // namespace prefgrad
