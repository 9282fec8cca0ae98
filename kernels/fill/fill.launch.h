// See fill.h.
#pragma once
#include "../common/element_blocks.h"
#include "fill.h"

namespace prefgrad {

inline void plan(const Fill& a, Element, const DeviceShape&, LaunchPlan& out) {
  out.add("fill_elements", blocks_of(a.N, kElementThreads * kElementRun), kElementThreads);
}

}  // namespace prefgrad
