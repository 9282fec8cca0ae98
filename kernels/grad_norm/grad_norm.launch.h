// See grad_norm.h. A block per chunk of gradients, and of chunks so few that one block can add their sums up.
#pragma once
#include "../common/launch.h"
#include "grad_norm.h"

namespace prefgrad {

constexpr int kGradNormThreads = 256;
constexpr int64_t kGradNormTile = 16384, kGradNormMostChunks = 8192;

// Gradients of a chunk, a multiple of the tile.
PREFGRAD_EVERYWHERE int64_t grad_norm_chunk(int64_t P) {
  const int64_t most = kGradNormTile * kGradNormMostChunks;
  return P <= most ? kGradNormTile : (P + most - 1) / most * kGradNormTile;
}

inline void plan(const GradNorm& a, Element, const DeviceShape&, LaunchPlan& out) {
  const int64_t chunks = blocks_of(a.P, grad_norm_chunk(a.P));
  out.workspace_bytes = 8 * static_cast<uint64_t>(chunks);
  // Even of no gradients there is a norm.
  out.add("grad_norm", chunks > 0 ? chunks : 1, kGradNormThreads);
}

}  // namespace prefgrad
