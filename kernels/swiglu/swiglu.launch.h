// See swiglu.h. Tensors are flat arrays.
#pragma once
#include "../common/element_blocks.h"
#include "swiglu.h"

namespace prefgrad {

inline void plan(const Swiglu& a, Element, const DeviceShape&, LaunchPlan& out) {
  out.add("swiglu", blocks_of(a.N * a.H, kElementThreads * kElementRun), kElementThreads);
}

inline void plan(const SwigluBackward& a, Element, const DeviceShape&, LaunchPlan& out) {
  out.add("swiglu_backward", blocks_of(a.N * a.H, kElementThreads * 4), kElementThreads);
}

}  // namespace prefgrad
