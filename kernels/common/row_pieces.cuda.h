// One lane's share of a row: eight numbers, as two vectors where all rows begin at multiples of 16 bytes, else one by one;
// either way the lanes of a warp touch memory side by side.
#pragma once
#include "cuda.h"
#include "row_pieces.h"

namespace prefgrad {

struct RowNumbers {
  Float4 part[kRowNumbers / 4];

  PREFGRAD_MEMBER float& operator[](int k) { return part[k / 4].x[k % 4]; }
  PREFGRAD_MEMBER float operator[](int k) const { return part[k / 4].x[k % 4]; }
};

struct RowPiece {
  int64_t row, column;  // where the piece begins
  int lane, lanes;      // this lane among those of the piece
  int count;            // columns of the piece

  PREFGRAD_MEMBER explicit RowPiece(int64_t H) : lanes(row_lanes(H)) {
    const int64_t strips = row_strips(H), piece = global_thread() / lanes;
    lane = threadIdx.x % lanes;
    row = strips == 1 ? piece : piece / strips;
    column = (piece - row * strips) * kRowColumns;
    count = static_cast<int>(H - column < kRowColumns ? H - column : kRowColumns);
  }
  PREFGRAD_MEMBER bool is_first_lane() const { return column == 0 && lane == 0; }

  // The numbers of this lane in the piece that begins at p, 0 where it has none.
  template <bool vectors>
  PREFGRAD_MEMBER RowNumbers load(const float* p) const {
    RowNumbers x = {};
    each<vectors>([&](int k, int at) {
      if (vectors) {
        x.part[k / 4] = *reinterpret_cast<const Float4*>(p + at);
      } else {
        x[k] = p[at];
      }
    });
    return x;
  }
  template <bool vectors>
  PREFGRAD_MEMBER void store(float* p, const RowNumbers& x) const {
    each<vectors>([&](int k, int at) {
      if (vectors) {
        *reinterpret_cast<Float4*>(p + at) = x.part[k / 4];
      } else {
        p[at] = x[k];
      }
    });
  }
  PREFGRAD_MEMBER void fill(float* p, float value) const {
    each<false>([&](int, int at) { p[at] = value; });
  }

 private:
  // Calls use(k, at) for each vector or number of this lane: its first number k lies `at` behind the piece's beginning.
  template <bool vectors, typename Use>
  PREFGRAD_MEMBER void each(Use use) const {
    constexpr int step = vectors ? 4 : 1;
    for (int k = 0; k < kRowNumbers; k += step) {
      const int at = (lane + k / step * lanes) * step;
      if (at < count) use(k, at);
    }
  }
};

// Do the rows of both matrices begin where vectors may?
PREFGRAD_DEVICE bool rows_are_vectors(int64_t H, const float* x, const float* y) {
  return H % 4 == 0 && is_aligned(x) && is_aligned(y);
}

}  // namespace prefgrad
