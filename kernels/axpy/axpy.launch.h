// See axpy.h.
#pragma once
#include "../common/element_blocks.h"
#include "axpy.h"

namespace prefgrad {

inline void plan(const Axpy& a, Element, const DeviceShape&, LaunchPlan& out) {
  out.add("axpy_elements", blocks_of(a.N, kElementThreads * kElementRun), kElementThreads);
}

}  // namespace prefgrad
