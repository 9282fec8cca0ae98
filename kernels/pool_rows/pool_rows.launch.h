// See pool_rows.h. Forward: a block per sequence and 128 columns. Backward: `count` leaves what each sequence divides by, and
// `spread` writes the gradient, a warp per row and 256 columns.
#pragma once
#include "../common/row_pieces.h"
#include "pool_rows.h"

namespace prefgrad {

constexpr int kPoolThreads = 256;
constexpr int64_t kPoolColumns = 128;

inline void plan(const PoolRows& a, Element, const DeviceShape&, LaunchPlan& out) {
  const int64_t blocks = a.B * blocks_of(a.H, kPoolColumns);
  // Offsets of no sequence at all still have to be looked at.
  out.add("pool_rows", blocks == 0 && a.offsets != nullptr ? 1 : blocks, kPoolThreads);
}

inline void plan(const PoolRowsBackward& a, Element, const DeviceShape&, LaunchPlan& out) {
  // Per sequence how many rows count, or which; and behind them whether the offsets hold.
  out.workspace_bytes = 8 * static_cast<uint64_t>(a.B + 1);
  out.add("pool_rows_count", a.B + 1, kPoolThreads);
  out.add("pool_rows_spread", row_blocks(a.N, a.H), kRowThreads);
}

}  // namespace prefgrad
