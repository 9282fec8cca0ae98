// See bradley_terry_loss.h; one launch.
#pragma once
#include "../common/pair_loss.launch.h"
#include "bradley_terry_loss.h"

namespace prefgrad {

inline void plan(const BradleyTerryLoss& a, Element, const DeviceShape&, LaunchPlan& out) {
  pair_loss_plan(a.B, "bradley_terry_loss", out);
}

}  // namespace prefgrad
