// The positions of each row number, in order: sorted in tiles of 2048, of which eight at a time are merged.
#pragma once
#include "../common/row_pieces.h"

namespace prefgrad {

constexpr int kRowSortThreads = 256, kRowMergeWays = 8;
constexpr int64_t kRowTile = 2048;
// Rows of more positions than this are added up by whole blocks: one block for 32 columns and 32 places of the sorted list
// that lie this far apart.
constexpr int64_t kFewPositions = 64, kLongColumns = 32, kLongPlaces = 32;

// Merges that N positions need.
PREFGRAD_EVERYWHERE int row_merges(int64_t N) {
  int merges = 0;
  for (int64_t run = kRowTile; run < N; run *= kRowMergeWays) ++merges;
  return merges;
}
PREFGRAD_EVERYWHERE int64_t long_columns(int64_t H) { return (H + kLongColumns - 1) / kLongColumns; }

}  // namespace prefgrad
