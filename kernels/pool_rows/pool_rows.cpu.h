// See pool_rows.h for the formula, the passes and the bytes.
#pragma once
#include "../common/rows.h"
#include "pool_rows.h"

namespace prefgrad::PREFGRAD_ISA {

// The rows of a sequence that take part: those that count, or the last of them.
struct PooledRows {
  const uint8_t* valid;
  int64_t first, stop;
  double count;

  template <typename Args>
  PooledRows(const Args& a, Span s) : valid(a.valid), first(s.start), stop(s.start + s.length) {
    count = static_cast<double>(count_valid(valid, s));
    if (a.kind == 0 || count == 0.0) return;
    first = last_valid(valid, s);
    stop = first + 1;
    count = 1.0;
  }
  PREFGRAD_INLINE bool has(int64_t row) const {
    return row >= first && row < stop && (valid == nullptr || valid[row] != 0);
  }
};

inline void pool_rows_forward(const PoolRows& a, int64_t begin, int64_t end, int) {
  if (!offsets_hold(a)) {
    if (begin == 0) fill_nan(a.y, a.B * a.H);
    return;
  }
  for (int64_t b = begin; b < end && b < a.B; ++b) {
    const PooledRows pooled(a, span_of(a, b));
    const auto each_row = [&](auto body) PREFGRAD_BODY {
      for (int64_t row = pooled.first; row < pooled.stop; ++row) {
        if (pooled.has(row)) body(row);
      }
    };
    sum_rows(a.x, a.H, each_row, pooled.count > 0.0 ? pooled.count : 1.0, a.y + b * a.H, false);
  }
}

inline void pool_rows_backward(const PoolRowsBackward& a, int64_t begin, int64_t end, int) {
  if (!offsets_hold(a)) {
    if (begin == 0) fill_nan(a.grad_x, a.N * a.H);
    return;
  }
  const bool add = a.accumulate != 0;
  for (int64_t b = begin; b < end && b < a.B; ++b) {
    const Span s = span_of(a, b);
    const PooledRows pooled(a, s);
    const auto one = [&](auto body) PREFGRAD_BODY { body(b); };
    for (int64_t row = s.start; row < s.start + s.length; ++row) {
      float* grad = a.grad_x + row * a.H;
      if (pooled.has(row)) {
        sum_rows(a.grad_pooled, a.H, one, pooled.count, grad, add);
      } else if (!add) {
        std::memset(grad, 0, static_cast<size_t>(a.H) * sizeof(float));
      }
    }
  }
}

}  // namespace prefgrad::PREFGRAD_ISA
