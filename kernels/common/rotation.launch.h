// How rows of heads are cut into threads that turn them: a thread has one pair of up to eight heads of a row, so that an angle
// is made once for all of them.
#pragma once
#include "launch.h"

namespace prefgrad {

constexpr int kRotationThreads = 256, kRotationHeads = 8;

// Threads of a row, and blocks of `rows` rows.
PREFGRAD_EVERYWHERE int64_t rotation_width(int64_t heads, int64_t half) { return blocks_of(heads, kRotationHeads) * half; }
PREFGRAD_EVERYWHERE int64_t rotation_blocks(int64_t rows, int64_t heads, int64_t half) {
  const int64_t width = rotation_width(heads, half);
  if (width == 0) return 0;
  return width < kRotationThreads ? blocks_of(rows, kRotationThreads / width) : rows * blocks_of(width, kRotationThreads);
}

}  // namespace prefgrad
