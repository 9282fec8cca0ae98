// See ppo_value_loss.h and common/token_loss.launch.h.
#pragma once
#include "../common/token_loss.launch.h"
#include "ppo_value_loss.h"

namespace prefgrad {

inline void plan(const PpoValueLoss& a, Element, const DeviceShape&, LaunchPlan& out) {
  token_loss_plan(a, "ppo_value_loss_count", "ppo_value_loss", out);
}

}  // namespace prefgrad
