// See add.h.
#pragma once
#include "../common/element_blocks.h"
#include "add.h"

namespace prefgrad {

inline void plan(const Add& a, Element, const DeviceShape&, LaunchPlan& out) {
  out.add("add_elements", blocks_of(a.N, kElementThreads * kElementRun), kElementThreads);
}

}  // namespace prefgrad
