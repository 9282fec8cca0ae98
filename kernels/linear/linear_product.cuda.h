// A tile of C = A B, as linear and its gradients need it; see common/gemm.cuda.h.
#pragma once
#include "../common/gemm.cuda.h"
#include "linear.launch.h"

namespace prefgrad {

// Rows of tiles that are gone through together, column by column: their rows and few columns stay in the second-level cache.
constexpr unsigned kLinearBand = 8;

// A matrix in rows, of which a lane is a row (its terms side by side) or a column.
struct LinearSide {
  const float* data;
  int64_t pitch;

  PREFGRAD_MEMBER bool is_whole() const { return pitch % 4 == 0 && is_aligned(data); }
};
struct LinearProduct {
  LinearSide left, right;
  int64_t rows, columns;
  int terms;
};
struct LinearOutput {
  float* to;
  const float* bias;  // per column, added to the finished sum; may be null
  bool add;           // to what is there
};

// A tile among those of its row, and of its column.
struct LinearPlace {
  unsigned row, column;
};
// Tiles are counted in 32 bits, band by band: there are fewer than blocks of a grid.
template <int size>
PREFGRAD_DEVICE LinearPlace linear_place_of(const LinearProduct& p, unsigned tile) {
  const unsigned down = static_cast<unsigned>((p.rows + size - 1) / size);
  const unsigned across = static_cast<unsigned>((p.columns + size - 1) / size);
  const unsigned band = tile / (kLinearBand * across) * kLinearBand, within = tile % (kLinearBand * across);
  const unsigned height = down - band < kLinearBand ? down - band : kLinearBand;
  return {band + within % height, within / height};
}

template <int threads, bool along_terms>
PREFGRAD_DEVICE void linear_place(GemmSide<threads, threads / 2, along_terms>& side, const LinearSide& from, int64_t first,
                                  int64_t count, bool whole) {
  const int64_t lane = first + side.lane();
  if (along_terms) {
    // Lanes beyond the last bring the last once more: what they make is not stored.
    side.place_row(from.data + (lane < count ? lane : count - 1) * from.pitch, whole);
  } else {
    side.place_columns(from.data, from.pitch, lane, count, whole);
  }
}

// 256 threads make a tile of 128 x 128, 128 threads one of 64 x 64. `output` says where the product goes, when it is there: what
// it needs takes no registers before.
template <int threads, bool left_along_terms, bool right_along_terms, typename Output>
PREFGRAD_DEVICE void linear_tile(const LinearProduct& p, unsigned tile, Output output) {
  constexpr int size = threads / 2, rows = 8, columns = size / 16, pitch = kGemmPitch<size>;
  PREFGRAD_SHARED(Float4, shared, kGemmTerms * pitch);
  const LinearPlace place = linear_place_of<size>(p, tile);
  GemmSide<threads, size, left_along_terms> left;
  GemmSide<threads, size, right_along_terms> right;
  const bool whole = p.left.is_whole() && p.right.is_whole();
  linear_place(left, p.left, int64_t{place.row} * size, p.rows, whole);
  linear_place(right, p.right, int64_t{place.column} * size, p.columns, whole);
  float sum[rows][columns];
  gemm_clear(sum);
  gemm_product(left, right, p.terms, &shared[0].x[0], pitch, pitch, sum);

  const int64_t row = int64_t{place.row} * size, column = int64_t{place.column} * size;
  const LinearOutput o = output();
  const bool whole_output = p.columns % 4 == 0 && is_aligned(o.to) && (o.bias == nullptr || is_aligned(o.bias));
  int64_t r = row + gemm_row() * rows;
  float* line = o.to + r * p.columns + column;
  PREFGRAD_UNROLL
  for (int i = 0; i < rows; ++i, ++r, line += p.columns) {
    if (r >= p.rows) continue;
    PREFGRAD_UNROLL
    for (int j = 0; j < columns; j += 4) {
      const int64_t c = column + gemm_column_at(j);
      float* const to = line + gemm_column_at(j);
      if (whole_output) {
        if (c >= p.columns) continue;
        Float4 quad, old = {}, bias = {};
        if (o.bias != nullptr) bias = *reinterpret_cast<const Float4*>(o.bias + c);
        if (o.add) old = *reinterpret_cast<const Float4*>(to);
        PREFGRAD_UNROLL
        for (int k = 0; k < 4; ++k) {
          quad.x[k] = sum[i][j + k];
          if (o.bias != nullptr) quad.x[k] += bias.x[k];
          if (o.add) quad.x[k] = old.x[k] + quad.x[k];
        }
        *reinterpret_cast<Float4*>(to) = quad;
      } else {
        PREFGRAD_UNROLL
        for (int k = 0; k < 4; ++k) {
          if (c + k >= p.columns) continue;
          float y = sum[i][j + k];
          if (o.bias != nullptr) y += o.bias[c + k];
          to[k] = o.add ? to[k] + y : y;
        }
      }
    }
  }
}

// The tile of gradWeight, or of a part of it, that this block makes: `make(product, tile, output)`.
template <int size, typename Make>
PREFGRAD_DEVICE void linear_weight_part(const LinearBackward& a, Make make) {
  const unsigned tiles = static_cast<unsigned>(linear_tiles(a.O, a.I, size)), part = blockIdx.x / tiles;
  const int64_t part_rows = linear_part_rows(a.N, gridDim.x / tiles), first = part * part_rows, left = a.N - first;
  const int rows = static_cast<int>(left < 0 ? 0 : left < part_rows ? left : part_rows);
  const bool whole = gridDim.x == tiles;
  float* const to = whole ? a.grad_weight : a.workspace + part * a.O * a.I;
  make(LinearProduct{{a.grad_y + first * a.O, a.O}, {a.x + first * a.I, a.I}, a.O, a.I, rows}, blockIdx.x % tiles,
       [&] { return LinearOutput{to, nullptr, whole && (a.accumulate & 2) != 0}; });
}

}  // namespace prefgrad
