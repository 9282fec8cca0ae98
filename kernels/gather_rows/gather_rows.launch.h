// See gather_rows.h, gather_rows.cu and gather_rows_backward.cu.
#pragma once
#include "gather_rows.h"
#include "sorted_rows.h"

namespace prefgrad {

inline void plan(const GatherRows& a, Element, const DeviceShape&, LaunchPlan& out) {
  out.add("gather_rows", row_blocks(a.N, a.H), kRowThreads);
}

inline void plan(const GatherRowsBackward& a, Element, const DeviceShape&, LaunchPlan& out) {
  static const char* const merge[] = {"gather_rows_merge_1", "gather_rows_merge_2", "gather_rows_merge_3",
                                      "gather_rows_merge_4", "gather_rows_merge_5", "gather_rows_merge_6",
                                      "gather_rows_merge_7"};
  const int merges = row_merges(a.N);
  // Two lists, to and fro, and where the positions of each row begin.
  out.workspace_bytes = 8 * static_cast<uint64_t>(merges == 0 ? a.N : 2 * a.N) + 4 * static_cast<uint64_t>(a.M + 1);
  out.add("gather_rows_sort", blocks_of(a.N, kRowTile), kRowSortThreads);
  for (int k = 0; k < merges; ++k) out.add(merge[k], blocks_of(a.N, kRowSortThreads), kRowSortThreads);
  out.add("gather_rows_bounds", blocks_of(a.M + 1, kRowSortThreads), kRowSortThreads);
  out.add("gather_rows_add", row_blocks(a.M, a.H), kRowThreads);
  if (a.N > kFewPositions) {
    const int64_t groups = blocks_of(a.N, kFewPositions * kLongPlaces);
    out.add("gather_rows_add_long", groups * long_columns(a.H), kRowSortThreads);
  }
}

}  // namespace prefgrad
