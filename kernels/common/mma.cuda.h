// Products on tensor cores, from numbers of the tf32 format: the exponent of f32 and 10 bits behind the point. One step
// multiplies 16 rows of 8 terms by 8 columns of 8 terms (mma.m16n8k8, sm_80 and later), by a warp.
//
// Lane 4 g + t holds, in the order of PTX's fragments (slots are terms in the tensor core's order):
//   left   rows g, g + 8, g, g + 8      at slots t, t, t + 4, t + 4
//   right  column g                     at slots t, t + 4
//   sums   rows g, g, g + 8, g + 8      of columns 2 t, 2 t + 1, 2 t, 2 t + 1
// Slots t and t + 4 hold terms 2 t and 2 t + 1, on both sides, so that what a lane needs lies side by side.
//
// On a CPU lanes tell each other their numbers, and a sum is one chain over the slots, of exact products. The order of a
// tensor core's sum within a step, and how it rounds there, is the hardware's own: bits differ from GPU to GPU, but they do not
// depend on the row, the column, or what stands in others.
#pragma once
#include "cuda.h"

namespace prefgrad {

constexpr int kMmaRows = 16, kMmaColumns = 8, kMmaTerms = 8;

PREFGRAD_DEVICE int mma_group() { return threadIdx.x % kWarp / 4; }
PREFGRAD_DEVICE int mma_place() { return threadIdx.x % 4; }

// To the nearest number of the format, away from 0 from halfway.
PREFGRAD_DEVICE float round_tf32(float x) {
#if defined(__CUDACC__)
  uint32_t rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(x));
  return float_of(rounded);
#else
  const uint32_t bits = bits_of(x), size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) return float_of(0x7fffffffu);
  return float_of(size == 0x7f800000u ? bits : (bits + 0x1000u) & ~0x1fffu);
#endif
}

#if defined(__CUDACC__)

struct MmaLeft {
  float x[4];
};
struct MmaRight {
  float x[2];
};

// From this lane's two terms of rows g and g + 8, and of column g; they are rounded already.
PREFGRAD_DEVICE MmaLeft mma_left(const float (&upper)[2], const float (&lower)[2]) {
  return {{upper[0], lower[0], upper[1], lower[1]}};
}
PREFGRAD_DEVICE MmaRight mma_right(const float (&column)[2]) { return {{column[0], column[1]}}; }

PREFGRAD_DEVICE void mma_tf32(const MmaLeft& a, const MmaRight& b, float (&sum)[4]) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(bits_of(a.x[0])), "r"(bits_of(a.x[1])), "r"(bits_of(a.x[2])), "r"(bits_of(a.x[3])), "r"(bits_of(b.x[0])),
        "r"(bits_of(b.x[1])));
}

#else

// By slots: of rows g and g + 8, and of columns 2 t and 2 t + 1. Whoever makes them exchanges them, once for all their steps.
struct MmaLeft {
  float x[2][kMmaTerms];
};
struct MmaRight {
  float x[2][kMmaTerms];
};

struct MmaPair {
  float x[2];
};
// What was not rounded before would be cut off by a tensor core: so it is here.
PREFGRAD_DEVICE float mma_operand(float x) { return float_of(bits_of(x) & ~0x1fffu); }

// Slots of what four neighbouring lanes hold of a row or a column.
PREFGRAD_DEVICE void mma_gather(const float (&mine)[2], int group, float (&slots)[kMmaTerms]) {
  for (int t = 0; t < 4; ++t) {
    const MmaPair pair = __shfl_sync(kFullMask, MmaPair{{mine[0], mine[1]}}, 4 * group + t);
    slots[t] = mma_operand(pair.x[0]);
    slots[t + 4] = mma_operand(pair.x[1]);
  }
}
PREFGRAD_DEVICE MmaLeft mma_left(const float (&upper)[2], const float (&lower)[2]) {
  MmaLeft left;
  mma_gather(upper, mma_group(), left.x[0]);
  mma_gather(lower, mma_group(), left.x[1]);
  return left;
}
PREFGRAD_DEVICE MmaRight mma_right(const float (&column)[2]) {
  MmaRight right;
  for (int c = 0; c < 2; ++c) mma_gather(column, 2 * mma_place() + c, right.x[c]);
  return right;
}

// Products of 11 bits by 11 bits are exact in f32: nothing is lost that a fused multiply-add would keep.
PREFGRAD_DEVICE void mma_tf32(const MmaLeft& a, const MmaRight& b, float (&sum)[4]) {
  for (int slot = 0; slot < kMmaTerms; ++slot) {
    for (int at = 0; at < 4; ++at) sum[at] += a.x[at / 2][slot] * b.x[at % 2][slot];
  }
}

#endif

}  // namespace prefgrad
