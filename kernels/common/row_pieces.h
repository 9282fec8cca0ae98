// How rows of H numbers are cut among the lanes of warps: a warp takes 256 columns of a wide row, or several narrow rows.
// For plans and kernels alike.
#pragma once
#include "launch.h"

namespace prefgrad {

constexpr int kRowThreads = 256, kRowColumns = 256, kRowNumbers = 8;  // of a block, of a warp, of a lane

// Lanes of one row: a power of two, so that what a warp holds ends with it.
PREFGRAD_EVERYWHERE int row_lanes(int64_t H) {
  int lanes = kRowColumns / kRowNumbers;
  while (lanes > 1 && lanes / 2 * kRowNumbers >= H) lanes /= 2;
  return lanes;
}
// At least one: the number of an empty row is judged as well.
PREFGRAD_EVERYWHERE int64_t row_strips(int64_t H) { return H > kRowColumns ? (H + kRowColumns - 1) / kRowColumns : 1; }
PREFGRAD_EVERYWHERE int64_t row_blocks(int64_t rows, int64_t H) {
  const int64_t pieces = kRowThreads / row_lanes(H);
  return (rows * row_strips(H) + pieces - 1) / pieces;
}

}  // namespace prefgrad
