// See gather_rows.h for the formula, the passes and the bytes.
#pragma once
#include "../common/rows.h"
#include "gather_rows.h"

namespace prefgrad::PREFGRAD_ISA {

inline void gather_rows_forward(const GatherRows& a, int64_t begin, int64_t end, int) {
  pick_rows(a.x, a.M, a.H, a.rows, a.y, begin, end, a.fault, 1);
}

inline void gather_rows_backward_sort(const GatherRowsBackward& a, int64_t, int64_t, int) {
  RowPositions(a.workspace, a.M).sort(a.rows, a.N, a.M, a.fault, 1);
}

inline void gather_rows_backward_add(const GatherRowsBackward& a, int64_t begin, int64_t end, int) {
  add_rows(RowPositions(a.workspace, a.M), a.grad_y, a.M, a.H, a.grad_x, a.accumulate != 0, begin, end);
}

}  // namespace prefgrad::PREFGRAD_ISA
