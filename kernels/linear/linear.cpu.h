// See linear.h for the formula, the passes and the bytes; common/gemm.h for the product.
#pragma once
#include "../common/gemm.h"
#include "linear.h"

namespace prefgrad::PREFGRAD_ISA {

// Items are tiles of the product in row-major order.
inline void gemm_items(const Gemm& g, int64_t tile_rows, int64_t tile_columns, float* scratch, int64_t begin,
                       int64_t end) {
  const int64_t across = (g.columns + tile_columns - 1) / tile_columns;
  for (int64_t item = begin; item < end; ++item) {
    const int64_t row = item / across * tile_rows, column = item % across * tile_columns;
    const int64_t rows = g.rows - row < tile_rows ? g.rows - row : tile_rows;
    const int64_t columns = g.columns - column < tile_columns ? g.columns - column : tile_columns;
    gemm_tile(g, row, rows, column, columns, scratch);
  }
}

inline void linear_forward(const Linear& a, int64_t begin, int64_t end, int worker) {
  const Gemm g = {{a.x, a.I, true}, {a.weight, a.I, true}, a.N, a.O, a.I, a.y, a.O, a.bias, false};
  gemm_items(g, static_cast<int64_t>(a.tile_rows), static_cast<int64_t>(a.tile_columns),
             a.workspace + worker * static_cast<int64_t>(a.worker_floats), begin, end);
}

}  // namespace prefgrad::PREFGRAD_ISA
