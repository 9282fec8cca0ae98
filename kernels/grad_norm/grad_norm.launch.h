// See grad_norm.h. A block per 16384 gradients leaves one sum in f64; `finish` adds them up in order.
#pragma once
#include "../common/launch.h"
#include "grad_norm.h"

namespace prefgrad {

constexpr int kGradNormThreads = 256, kGradNormFinishThreads = 1024;
constexpr int64_t kGradNormChunk = 16384;

inline void plan(const GradNorm& a, Element, const DeviceShape&, LaunchPlan& out) {
  const int64_t chunks = blocks_of(a.P, kGradNormChunk);
  out.workspace_bytes = 8 * static_cast<uint64_t>(chunks);
  out.add("grad_norm_partials", chunks, kGradNormThreads);
  // Even of no gradients there is a norm.
  out.add("grad_norm_finish", 1, kGradNormFinishThreads);
}

}  // namespace prefgrad
