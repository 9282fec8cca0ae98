// See dpo_loss.h; one launch.
#pragma once
#include "../common/pair_loss.launch.h"
#include "dpo_loss.h"

namespace prefgrad {

inline void plan(const DpoLoss& a, Element, const DeviceShape&, LaunchPlan& out) { pair_loss_plan(a.B, "dpo_loss", out); }

}  // namespace prefgrad
