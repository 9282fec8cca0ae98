// See scatter_rows.h. Few rows: one launch, in which every warp looks for later rows that go to the same place. Many: the last
// position of each place is noted first.
#pragma once
#include "../common/row_pieces.h"
#include "scatter_rows.h"

namespace prefgrad {

constexpr int64_t kScatterFew = 2048;

inline void plan(const ScatterRows& a, Element, const DeviceShape&, LaunchPlan& out) {
  if (a.N <= kScatterFew) {
    out.add("scatter_rows_few", row_blocks(a.N, a.H), kRowThreads);
    return;
  }
  out.workspace_bytes = sizeof(uint32_t) * static_cast<uint64_t>(a.M);
  out.add("scatter_rows_clear", blocks_of(a.N, kRowThreads), kRowThreads);
  out.add("scatter_rows_last", blocks_of(a.N, kRowThreads), kRowThreads);
  out.add("scatter_rows_write", row_blocks(a.N, a.H), kRowThreads);
}

}  // namespace prefgrad
