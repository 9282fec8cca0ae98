// See rotary.h, common/rotation.launch.h.
#pragma once
#include "../common/rotation.launch.h"
#include "rotary.h"

namespace prefgrad {

inline void plan(const Rotary& a, Element, const DeviceShape&, LaunchPlan& out) {
  out.add("rotary", rotation_blocks(a.N, a.heads, a.Q / a.heads / 2), kRotationThreads);
}

}  // namespace prefgrad
