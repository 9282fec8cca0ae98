// See gather_rows.h; embedding is the same kernel.
//   gather_rows  reads the picked rows and writes them: 8 B per number, the least there is
#include "../common/row_pieces.cuda.h"
#include "gather_rows.launch.h"

namespace prefgrad {

PREFGRAD_KERNEL(gather_rows, GatherRows, kRowThreads) {
  const RowPiece piece(a.H);
  if (piece.row >= a.N) return;
  const int64_t from = a.rows[piece.row];
  float* const y = a.y + piece.row * a.H + piece.column;
  if (from < 0 || from >= a.M) {
    if (piece.is_first_lane()) a.fault->report(1, piece.row);
    piece.fill(y, nan_f32());
    return;
  }
  const float* const x = a.x + from * a.H + piece.column;
  if (rows_are_vectors(a.H, a.x, a.y)) {
    piece.store<true>(y, piece.load<true>(x));
  } else {
    piece.store<false>(y, piece.load<false>(x));
  }
}

}  // namespace prefgrad
