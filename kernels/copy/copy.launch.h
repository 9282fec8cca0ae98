// See copy.h.
#pragma once
#include "../common/element_blocks.h"
#include "copy.h"

namespace prefgrad {

inline void plan(const Copy& a, Element, const DeviceShape&, LaunchPlan& out) {
  out.add("copy_elements", blocks_of(a.N, kElementThreads * kElementRun), kElementThreads);
}

}  // namespace prefgrad
