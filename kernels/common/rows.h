// Rows of f32 matrices: picked by number, and added up where they came from.
#pragma once
#include "sequences.h"

namespace prefgrad::PREFGRAD_ISA {

constexpr int64_t kTableBlock = 128;  // lib/spec/model.ts TABLE_BLOCK

// y_i = table[ids_i]; a row number outside the table is reported and gives a row of NaN.
inline void pick_rows(const float* table, int64_t rows, int64_t width, const int32_t* ids, float* y, int64_t begin,
                      int64_t end, Fault* fault, unsigned argument) {
  for (int64_t i = begin; i < end; ++i) {
    float* row = y + i * width;
    const int64_t id = ids[i];
    if (id >= 0 && id < rows) {
      std::memcpy(row, table + id * width, static_cast<size_t>(width) * sizeof(float));
    } else {
      fault->report(argument, i);
      for (int64_t h = 0; h < width; ++h) row[h] = std::numeric_limits<float>::quiet_NaN();
    }
  }
}

// Columns [column, column + 16 strips) of y = sum of the rows that each_row names, over divisor.
template <int strips, bool whole, typename EachRow>
PREFGRAD_INLINE void sum_columns(const float* x, int64_t width, int64_t column, EachRow each_row, double divisor, float* y,
                                 bool add) {
  const int64_t count = width - column;
  const auto load = [&](const float* p) PREFGRAD_BODY {
    return whole ? f32x16::load(p) : f32x16::load_first(p, count, 0.0f);
  };
  f64x8 low[strips], high[strips];
  for (int k = 0; k < strips; ++k) low[k] = high[k] = f64x8::set(0.0);
  each_row([&](int64_t row) PREFGRAD_BODY {
    const float* p = x + row * width + column;
    for (int k = 0; k < strips; ++k) {
      const f32x16 v = load(p + 16 * k);
      low[k] = low[k] + low_f64(v);
      high[k] = high[k] + high_f64(v);
    }
  });
  const f64x8 over = f64x8::set(divisor);
  for (int k = 0; k < strips; ++k) {
    float* p = y + column + 16 * k;
    f64x8 first = low[k] / over, second = high[k] / over;
    if (add) {
      const f32x16 old = load(p);
      first = first + low_f64(old);
      second = second + high_f64(old);
    }
    if (whole) {
      store(p, narrow(first, second));
    } else {
      store_first(p, narrow(first, second), count);
    }
  }
}

// y = sum of rows of x (added to y with `add`), over divisor; sums in f64 in the order of each_row, rounded once.
template <typename EachRow>
PREFGRAD_INLINE void sum_rows(const float* x, int64_t width, EachRow each_row, double divisor, float* y, bool add) {
  int64_t column = 0;
  for (; column + 64 <= width; column += 64) sum_columns<4, true>(x, width, column, each_row, divisor, y, add);
  for (; column + 16 <= width; column += 16) sum_columns<1, true>(x, width, column, each_row, divisor, y, add);
  if (column < width) sum_columns<1, false>(x, width, column, each_row, divisor, y, add);
}

// The positions of each row number, in order: a counting sort in the workspace.
struct RowPositions {
  uint32_t* bad;        // was a row number outside the table?
  uint32_t* start;      // rows + 1, and one more to work with
  uint32_t* positions;  // N

  RowPositions(void* workspace, int64_t rows)
      : bad(static_cast<uint32_t*>(workspace)), start(bad + 1), positions(start + rows + 2) {}

  void sort(const int32_t* ids, int64_t count, int64_t rows, Fault* fault, unsigned argument) {
    *bad = 0;
    for (int64_t v = 0; v < rows + 2; ++v) start[v] = 0;
    const auto outside = [&](int64_t id) { return id < 0 || id >= rows; };
    for (int64_t i = 0; i < count; ++i) {
      if (!outside(ids[i])) {
        ++start[ids[i] + 2];
      } else {
        fault->report(argument, i);
        *bad = 1;
      }
    }
    for (int64_t v = 2; v < rows + 2; ++v) start[v] += start[v - 1];
    // start[v + 1] is where the next position of row v goes; when all are placed it is where row v + 1 begins.
    for (int64_t i = 0; i < count; ++i) {
      if (!outside(ids[i])) positions[start[ids[i] + 1]++] = static_cast<uint32_t>(i);
    }
  }
};

// Blocks [begin, end) of a table's gradient: grad_v = sum over the positions i of row v of grad_y_i. A row number outside
// the table belongs to no row: then no sum can be trusted, and everything is NaN.
inline void add_rows(const RowPositions& sorted, const float* grad_y, int64_t rows, int64_t width, float* grad, bool add,
                     int64_t begin, int64_t end) {
  const int64_t last = end * kTableBlock < rows ? end * kTableBlock : rows;
  for (int64_t v = begin * kTableBlock; v < last; ++v) {
    float* row = grad + v * width;
    const uint32_t first = sorted.start[v], stop = sorted.start[v + 1];
    if (*sorted.bad != 0) {
      for (int64_t h = 0; h < width; ++h) row[h] = std::numeric_limits<float>::quiet_NaN();
    } else if (first == stop) {
      if (!add) std::memset(row, 0, static_cast<size_t>(width) * sizeof(float));
    } else {
      const auto each_row = [&](auto body) PREFGRAD_BODY {
        for (uint32_t k = first; k < stop; ++k) body(int64_t{sorted.positions[k]});
      };
      sum_rows(grad_y, width, each_row, 1.0, row, add);
    }
  }
}

}  // namespace prefgrad::PREFGRAD_ISA
