// See adamw.h. `scan` only without norm, where nothing else tells whether the gradient is finite; `prepare` is one block.
#pragma once
#include "../common/launch.h"
#include "adamw.h"

namespace prefgrad {

constexpr int kAdamwThreads = 256;
constexpr int64_t kAdamwTile = 4096;       // parameters of a block, at a time
constexpr int64_t kAdamwScanBlocks = 2048;  // at most, each with a flag

// What `prepare` leaves for `update`, and behind it the flags of `scan`.
struct AdamwStep {
  uint32_t go;
  float grad_factor, step_size, root_scale;
};

inline void plan(const Adamw& a, Element, const DeviceShape&, LaunchPlan& out) {
  const int64_t tiles = blocks_of(a.P, kAdamwTile), flags = tiles < kAdamwScanBlocks ? tiles : kAdamwScanBlocks;
  out.workspace_bytes = sizeof(AdamwStep) + sizeof(uint32_t) * static_cast<uint64_t>(flags);
  if (a.norm == nullptr) out.add("adamw_scan", flags, kAdamwThreads);
  out.add("adamw_prepare", 1, kAdamwThreads);
  out.add("adamw_update", tiles, kAdamwThreads);
}

}  // namespace prefgrad
