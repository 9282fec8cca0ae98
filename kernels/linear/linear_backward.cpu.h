// See linear_backward.h for the formulas, the passes and the bytes.
#pragma once
#include "linear.cpu.h"
#include "linear_backward.h"

namespace prefgrad::PREFGRAD_ISA {

// Columns of gradBias per item; lib/spec/linear.ts has the same number.
constexpr int64_t kBiasBlock = 128;

inline void linear_grad_x(const LinearBackward& a, int64_t begin, int64_t end, int worker) {
  const Gemm g = {{a.grad_y, a.O, true}, {a.weight, a.I, false}, a.N, a.I, a.O, a.grad_x, a.I, nullptr,
                  (a.accumulate & 1) != 0};
  gemm_items(g, static_cast<int64_t>(a.x_tile_rows), static_cast<int64_t>(a.x_tile_columns),
             a.workspace + worker * static_cast<int64_t>(a.worker_floats), begin, end);
}

inline void linear_grad_weight(const LinearBackward& a, int64_t begin, int64_t end, int worker) {
  const Gemm g = {{a.grad_y, a.O, false}, {a.x, a.I, false}, a.O, a.I, a.N, a.grad_weight, a.I, nullptr,
                  (a.accumulate & 2) != 0};
  gemm_items(g, static_cast<int64_t>(a.weight_tile_rows), static_cast<int64_t>(a.weight_tile_columns),
             a.workspace + worker * static_cast<int64_t>(a.worker_floats), begin, end);
}

inline void linear_grad_bias(const LinearBackward& a, int64_t begin, int64_t end, int) {
  for (int64_t item = begin; item < end; ++item) {
    const int64_t column = item * kBiasBlock;
    const int64_t columns = a.O - column < kBiasBlock ? a.O - column : kBiasBlock;
    double sums[kBiasBlock] = {};
    for (int64_t row = 0; row < a.N; ++row) {
      const float* const from = a.grad_y + row * a.O + column;
      for (int64_t j = 0; j < columns; j += 16) {
        const f32x16 x = load_up_to(from + j, columns - j);
        store(sums + j, f64x8::load(sums + j) + low_f64(x));
        store(sums + j + 8, f64x8::load(sums + j + 8) + high_f64(x));
      }
    }
    for (int64_t j = 0; j < columns; ++j) {
      float& out = a.grad_bias[column + j];
      out = static_cast<float>((a.accumulate & 4) != 0 ? static_cast<double>(out) + sums[j] : sums[j]);
    }
  }
}

}  // namespace prefgrad::PREFGRAD_ISA
