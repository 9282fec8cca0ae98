// See cast.h.
#pragma once
#include "../common/element_blocks.h"
#include "cast.h"

namespace prefgrad {

inline void plan(const Cast& a, Element element, const DeviceShape&, LaunchPlan& out) {
  const char* const kernel = kernel_for(element, "cast_f32", "cast_bf16", "cast_f16");
  out.add(kernel, blocks_of(a.N, kElementThreads * kElementRun), kElementThreads);
}

}  // namespace prefgrad
