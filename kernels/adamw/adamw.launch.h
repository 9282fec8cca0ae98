// See adamw.h. One launch, and one before it without norm, where nothing else tells whether the gradient is finite. As many blocks
// as a device runs at a time, which go from tile to tile: no result depends on their number.
#pragma once
#include "../common/launch.h"
#include "adamw.h"

namespace prefgrad {

constexpr int kAdamwThreads = 256;
constexpr int64_t kAdamwTile = 4096;  // parameters of a block, at a time
constexpr int kAdamwScanBlocks = 8, kAdamwUpdateBlocks = 4;  // per multiprocessor

inline void plan(const Adamw& a, Element, const DeviceShape& device, LaunchPlan& out) {
  const int64_t tiles = blocks_of(a.P, kAdamwTile);
  const auto at_most = [&](int64_t blocks) { return tiles < blocks ? tiles : blocks; };
  if (a.norm == nullptr) {
    const int64_t blocks = at_most(kAdamwScanBlocks * device.multiprocessors);
    // A verdict on all of the gradient, then one of each block.
    out.workspace_bytes = sizeof(uint32_t) * static_cast<uint64_t>(1 + blocks);
    out.add("adamw_scan", blocks, kAdamwThreads);
  }
  const int64_t blocks = at_most(kAdamwUpdateBlocks * device.multiprocessors);
  // Even of no parameters a step is taken.
  out.add("adamw_update", blocks > 0 ? blocks : 1, kAdamwThreads);
}

}  // namespace prefgrad
