// A tile of C = A B on tensor cores (common/mma.cuda.h): 128 threads make one of 128 x 128 or of 64 x 64, each of four warps a
// quarter. 16 terms of both operands at a time in shared memory, rounded on the way there, twice: the next ones come while
// these are multiplied. Every sum is one chain of steps of 8 terms, 0, 1, 2, ... from 0, whatever the tile; terms beyond the
// last are zeros on both sides, up to a multiple of 16.
//
// In shared memory, so that both what is stored and what lanes read falls on different banks:
//   along_terms   [lane][16 terms], without gaps; the halves of lanes 2, 3 of every four are exchanged
//   otherwise     [term][lane], terms lanes + 4 apart: a lane's two terms are 8 banks from its neighbour's
#pragma once
#include "../common/mma.cuda.h"
#include "linear_product.cuda.h"

namespace prefgrad {

constexpr int kLinearSteps = kGemmTerms / kMmaTerms;

// An operand's way from memory to the fragments: a thread brings `each` times four numbers.
template <int lanes, bool along_terms>
struct LinearTf32Side {
  static constexpr int threads = kLinearTf32Threads, each = 4 * lanes / threads, pitch = kGemmPitch<lanes>;
  static constexpr int size = along_terms ? lanes * kGemmTerms : kGemmTerms * pitch;
  // Lanes, or terms, from one of a thread's quads to the next.
  static constexpr int stride = along_terms ? threads / 4 : 4 * threads / lanes;

  const float* from;  // the thread's first number of the next terms
  int64_t step;       // from quad to quad
  int count;          // lanes from the thread's first on
  bool whole;         // quads may be read as such
  float staged[each][4];

  static PREFGRAD_MEMBER int lane() { return along_terms ? threadIdx.x / 4 : threadIdx.x % (lanes / 4) * 4; }
  static PREFGRAD_MEMBER int term() { return along_terms ? threadIdx.x % 4 * 4 : threadIdx.x / (lanes / 4); }

  PREFGRAD_MEMBER void place(const LinearSide& side, int64_t first, int64_t end) {
    const int64_t mine = first + lane();
    from = along_terms ? side.data + mine * side.pitch + term() : side.data + term() * side.pitch + mine;
    step = stride * side.pitch;
    count = end - mine < lanes ? static_cast<int>(end - mine) : lanes;
    whole = side.is_whole();
  }

  // The next 16 terms, of which there are `left`.
  PREFGRAD_MEMBER void load(int left) {
    const int mine = left - term();
    PREFGRAD_UNROLL
    for (int i = 0; i < each; ++i) {
      const float* const p = from + i * step;
      const bool inside = along_terms ? i * stride < count : i * stride < mine;
      const int most = !inside ? 0 : along_terms ? mine : count;
      if (whole) {
        Float4 quad = {};
        if (most > 0) quad = *reinterpret_cast<const Float4*>(p);
        PREFGRAD_UNROLL
        for (int j = 0; j < 4; ++j) staged[i][j] = quad.x[j];
      } else {
        PREFGRAD_UNROLL
        for (int j = 0; j < 4; ++j) staged[i][j] = j < most ? p[j] : 0.0f;
      }
    }
    from += along_terms ? kGemmTerms : each * step;
  }

  PREFGRAD_MEMBER void store(float* to) const {
    PREFGRAD_UNROLL
    for (int i = 0; i < each; ++i) {
      Float4 quad;
      PREFGRAD_UNROLL
      for (int j = 0; j < 4; ++j) quad.x[j] = round_tf32(staged[i][j]);
      const int at = along_terms ? (lane() + i * stride) * kGemmTerms + (term() ^ lane() / 2 % 2 * kMmaTerms)
                                 : (term() + i * stride) * pitch + lane();
      *reinterpret_cast<Float4*>(to + at) = quad;
    }
  }

  // This lane's two terms of a step, at `at` lanes (a multiple of 8) and its group.
  static PREFGRAD_MEMBER void read(const float* shared, int step, int at, float (&to)[2]) {
    const int row = at + mma_group();
    if (along_terms) {
      const int flip = mma_group() / 2 % 2 * kMmaTerms, term = (step * kMmaTerms + 2 * mma_place()) ^ flip;
      const Float2 pair = *reinterpret_cast<const Float2*>(shared + row * kGemmTerms + term);
      to[0] = pair.x[0];
      to[1] = pair.x[1];
    } else {
      const float* const p = shared + (step * kMmaTerms + 2 * mma_place()) * pitch + row;
      to[0] = p[0];
      to[1] = p[pitch];
    }
  }
};

// Takes up one step: rows and columns of a warp, of fragments of 16 and of 8.
template <typename Left, typename Right, int rows, int columns>
PREFGRAD_DEVICE void linear_tf32_step(const float* left, const float* right, int step, int row, int column,
                                      float (&sum)[rows][columns][4]) {
  MmaLeft of_left[rows];
  MmaRight of_right[columns];
  PREFGRAD_UNROLL
  for (int i = 0; i < rows; ++i) {
    float upper[2], lower[2];
    Left::read(left, step, row + i * kMmaRows, upper);
    Left::read(left, step, row + i * kMmaRows + 8, lower);
    of_left[i] = mma_left(upper, lower);
  }
  PREFGRAD_UNROLL
  for (int j = 0; j < columns; ++j) {
    float pair[2];
    Right::read(right, step, column + j * kMmaColumns, pair);
    of_right[j] = mma_right(pair);
  }
  PREFGRAD_UNROLL
  for (int i = 0; i < rows; ++i) {
    PREFGRAD_UNROLL
    for (int j = 0; j < columns; ++j) mma_tf32(of_left[i], of_right[j], sum[i][j]);
  }
}

// Whether neighbours are stored together.
PREFGRAD_DEVICE bool linear_tf32_is_whole(const LinearOutput& o, int64_t columns) {
  return columns % 2 == 0 && reinterpret_cast<uintptr_t>(o.to) % sizeof(Float2) == 0;
}
// Two neighbouring sums to where they belong.
PREFGRAD_DEVICE void linear_tf32_store(const LinearOutput& o, bool whole, float* to, int64_t column, int64_t columns,
                                       float first, float second) {
  Float2 pair = {{first, second}};
  PREFGRAD_UNROLL
  for (int k = 0; k < 2; ++k) {
    if (column + k >= columns) return;
    if (o.bias != nullptr) pair.x[k] += o.bias[column + k];
    if (o.add) pair.x[k] = to[k] + pair.x[k];
    if (!whole) to[k] = pair.x[k];
  }
  if (whole) *reinterpret_cast<Float2*>(to) = pair;
}

// As linear_tile, of `size` rows and columns.
template <int size, bool left_along_terms, bool right_along_terms, typename Output>
PREFGRAD_DEVICE void linear_tf32_tile(const LinearProduct& p, unsigned tile, Output output) {
  using Left = LinearTf32Side<size, left_along_terms>;
  using Right = LinearTf32Side<size, right_along_terms>;
  constexpr int rows = size / 2 / kMmaRows, columns = size / 2 / kMmaColumns, stage = Left::size + Right::size;
  PREFGRAD_SHARED(Float4, shared_quads, 2 * stage / 4);
  float* const shared = &shared_quads[0].x[0];
  const LinearPlace place = linear_place_of<size>(p, tile);
  Left left;
  Right right;
  left.place(p.left, int64_t{place.row} * size, p.rows);
  right.place(p.right, int64_t{place.column} * size, p.columns);
  const int warp = threadIdx.x / kWarp, warp_row = warp / 2 * (size / 2), warp_column = warp % 2 * (size / 2);
  float sum[rows][columns][4];
  PREFGRAD_UNROLL
  for (int i = 0; i < rows; ++i) {
    PREFGRAD_UNROLL
    for (int j = 0; j < columns; ++j) {
      PREFGRAD_UNROLL
      for (int k = 0; k < 4; ++k) sum[i][j][k] = 0.0f;
    }
  }
  left.load(p.terms);
  right.load(p.terms);
  left.store(shared);
  right.store(shared + Left::size);
  __syncthreads();
  int now = 0;
  PREFGRAD_ROLLED
  for (int rest = p.terms; rest > 0; rest -= kGemmTerms) {
    const bool more = rest > kGemmTerms;
    const float* const terms = shared + now;
    now = stage - now;
    if (more) {
      left.load(rest - kGemmTerms);
      right.load(rest - kGemmTerms);
    }
    PREFGRAD_UNROLL
    for (int step = 0; step < kLinearSteps; ++step) {
      linear_tf32_step<Left, Right>(terms, terms + Left::size, step, warp_row, warp_column, sum);
    }
    if (more) {
      left.store(shared + now);
      right.store(shared + now + Left::size);
    }
    __syncthreads();
  }

  const LinearOutput o = output();
  const bool whole = linear_tf32_is_whole(o, p.columns);
  int64_t r = int64_t{place.row} * size + warp_row + mma_group();
  PREFGRAD_UNROLL
  for (int i = 0; i < rows; ++i) {
    PREFGRAD_UNROLL
    for (int half = 0; half < 2; ++half, r += kMmaRows / 2) {
      if (r >= p.rows) continue;
      PREFGRAD_UNROLL
      for (int j = 0; j < columns; ++j) {
        const int64_t c = int64_t{place.column} * size + warp_column + j * kMmaColumns + 2 * mma_place();
        const float(&of)[4] = sum[i][j];
        linear_tf32_store(o, whole, o.to + r * p.columns + c, c, p.columns, of[2 * half], of[2 * half + 1]);
      }
    }
  }
}

}  // namespace prefgrad
