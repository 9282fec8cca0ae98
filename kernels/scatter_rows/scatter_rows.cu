// See scatter_rows.h. Of equal row numbers the last position wins, which a maximum of integers finds in any order.
//   scatter_rows_few    up to 2048 rows: finds out by itself which are the last
//   scatter_rows_clear  notes 0 for each row of `into` that is named,
//   scatter_rows_last   then 1 + the last position that names it,
//   scatter_rows_write  and writes those
// Reads and writes the rows once: 8 B per number, the least there is.
#include "../common/row_pieces.cuda.h"
#include "scatter_rows.launch.h"

namespace prefgrad {

PREFGRAD_DEVICE bool scatter_has(const ScatterRows& a, int64_t row) { return row >= 0 && row < a.M; }

PREFGRAD_DEVICE void scatter_write(const ScatterRows& a, const RowPiece& piece, int64_t row) {
  const float* const x = a.x + piece.row * a.H + piece.column;
  float* const into = a.into + row * a.H + piece.column;
  if (rows_are_vectors(a.H, a.x, a.into)) {
    piece.store<true>(into, piece.load<true>(x));
  } else {
    piece.store<false>(into, piece.load<false>(x));
  }
}

PREFGRAD_KERNEL(scatter_rows_few, ScatterRows, kRowThreads) {
  const RowPiece piece(a.H);
  const bool is_there = piece.row < a.N;
  const int64_t row = is_there ? a.rows[piece.row] : -1;
  const bool has = scatter_has(a, row);
  if (is_there && !has && piece.is_first_lane()) a.fault->report(1, piece.row);
  // The lanes of the piece share the later positions among them.
  bool later = false;
  for (int64_t i = piece.row + 1 + piece.lane; i < a.N; i += piece.lanes) later |= a.rows[i] == row;
  const unsigned votes = __ballot_sync(kFullMask, later);
  const unsigned mine = (kFullMask >> (kWarp - piece.lanes)) << (threadIdx.x % kWarp - piece.lane);
  if (has && (votes & mine) == 0) scatter_write(a, piece, row);
}

PREFGRAD_KERNEL(scatter_rows_clear, ScatterRows, kRowThreads) {
  const int64_t i = global_thread();
  if (i >= a.N) return;
  const int64_t row = a.rows[i];
  if (scatter_has(a, row)) {
    atomicExch(static_cast<unsigned*>(a.workspace) + row, 0u);
  } else {
    a.fault->report(1, i);
  }
}

PREFGRAD_KERNEL(scatter_rows_last, ScatterRows, kRowThreads) {
  const int64_t i = global_thread();
  if (i >= a.N) return;
  const int64_t row = a.rows[i];
  if (scatter_has(a, row)) atomicMax(static_cast<unsigned*>(a.workspace) + row, static_cast<unsigned>(i) + 1);
}

PREFGRAD_KERNEL(scatter_rows_write, ScatterRows, kRowThreads) {
  const RowPiece piece(a.H);
  if (piece.row >= a.N) return;
  const int64_t row = a.rows[piece.row];
  if (!scatter_has(a, row) || static_cast<const unsigned*>(a.workspace)[row] != piece.row + 1) return;
  scatter_write(a, piece, row);
}

}  // namespace prefgrad
