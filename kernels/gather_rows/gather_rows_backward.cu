// See gather_rows.h and sorted_rows.h; embeddingBackward is the same kernels. No atomics on numbers: each sum is taken in f64 in
// order of position, by one lane or, of a row with many positions, in eight parts.
//   gather_rows_sort      sorts tiles of (row number, position) pairs in shared memory
//   gather_rows_merge_k   merges runs of them, as often as their number asks for; 16 B per position each
//   gather_rows_bounds    finds where each row's positions begin
//   gather_rows_add       reads gradY once and writes each row of gradX: 4 B per number, the least there is
//   gather_rows_add_long  the same for rows with more than 64 positions
#include "../common/row_pieces.cuda.h"
#include "gather_rows.launch.h"

namespace prefgrad {

// What the kernels leave for each other. A pair is the row number above the position, so that no two are equal and their order
// is that of rows and then of positions. Numbers of no row are M: they come last.
struct SortedRows {
  uint64_t *list, *other;  // of N pairs each; sorting ends in `list`
  uint32_t* start;         // of M + 1 rows

  PREFGRAD_MEMBER explicit SortedRows(const GatherRowsBackward& a) {
    const int merges = row_merges(a.N);
    uint64_t* const first = reinterpret_cast<uint64_t*>(a.workspace);
    uint64_t* const second = merges == 0 ? first : first + a.N;
    list = merges % 2 == 0 ? first : second;
    other = merges % 2 == 0 ? second : first;
    start = reinterpret_cast<uint32_t*>(second + a.N);
  }
  PREFGRAD_MEMBER uint64_t* list_after(const GatherRowsBackward& a, int merges) const {
    return (row_merges(a.N) - merges) % 2 == 0 ? list : other;
  }
};

PREFGRAD_DEVICE int64_t row_of(uint64_t pair) { return static_cast<int64_t>(pair >> 32); }
PREFGRAD_DEVICE int64_t position_of(uint64_t pair) { return static_cast<int64_t>(pair & 0xffffffffu); }

// How many of `count` rising pairs are less: a step for each power of two from `most`, which is one, down.
template <int lists>
PREFGRAD_DEVICE void count_less(const uint64_t* const (&pairs)[lists], const int64_t (&count)[lists], int64_t most, uint64_t than,
                                int64_t (&less)[lists]) {
  for (int k = 0; k < lists; ++k) less[k] = 0;
  for (int64_t step = most; step > 0; step /= 2) {
    for (int k = 0; k < lists; ++k) {
      if (less[k] + step <= count[k] && pairs[k][less[k] + step - 1] < than) less[k] += step;
    }
  }
}

// Bitonic (Batcher 1968): every step exchanges pairs that lie a power of two apart.
PREFGRAD_KERNEL(gather_rows_sort, GatherRowsBackward, kRowSortThreads) {
  PREFGRAD_SHARED(uint64_t, pairs, kRowTile);
  const int64_t first = blockIdx.x * kRowTile;
  const int count = static_cast<int>(a.N - first < kRowTile ? a.N - first : kRowTile);
  int size = 1;
  while (size < count) size *= 2;
  for (int i = threadIdx.x; i < size; i += kRowSortThreads) {
    uint64_t pair = ~uint64_t{0};
    if (i < count) {
      int64_t row = a.rows[first + i];
      if (row < 0 || row >= a.M) {
        a.fault->report(1, first + i);
        row = a.M;
      }
      pair = static_cast<uint64_t>(row) << 32 | static_cast<uint64_t>(first + i);
    }
    pairs[i] = pair;
  }
  __syncthreads();
  for (int width = 2; width <= size; width *= 2) {
    for (int step = width / 2; step > 0; step /= 2) {
      for (int i = threadIdx.x; i < size / 2; i += kRowSortThreads) {
        const int low = 2 * i - (i & (step - 1)), high = low + step;
        const uint64_t x = pairs[low], y = pairs[high];
        if ((x > y) == ((low & width) == 0)) {
          pairs[low] = y;
          pairs[high] = x;
        }
      }
      __syncthreads();
    }
  }
  uint64_t* const list = SortedRows(a).list_after(a, 0);
  for (int i = threadIdx.x; i < count; i += kRowSortThreads) list[first + i] = pairs[i];
}

// The k-th merge: a pair goes behind those of the eight runs that are less.
template <int k>
PREFGRAD_DEVICE void gather_rows_merge(const GatherRowsBackward& a) {
  const int64_t at = global_thread();
  if (at >= a.N) return;
  const SortedRows sorted(a);
  const uint64_t* const from = sorted.list_after(a, k - 1);
  int64_t run = kRowTile;
  for (int merge = 1; merge < k; ++merge) run *= kRowMergeWays;
  const int64_t group = at / (run * kRowMergeWays) * run * kRowMergeWays;
  const uint64_t* runs[kRowMergeWays];
  int64_t count[kRowMergeWays], less[kRowMergeWays];
  for (int way = 0; way < kRowMergeWays; ++way) {
    const int64_t left = a.N - group - way * run;
    count[way] = left < run ? left : run;  // below 0 behind the last
    runs[way] = from + group + way * run;
  }
  const uint64_t pair = from[at];
  count_less(runs, count, run, pair, less);
  int64_t place = group;
  for (int way = 0; way < kRowMergeWays; ++way) place += less[way];
  sorted.list_after(a, k)[place] = pair;
}
PREFGRAD_KERNEL(gather_rows_merge_1, GatherRowsBackward, kRowSortThreads) { gather_rows_merge<1>(a); }
PREFGRAD_KERNEL(gather_rows_merge_2, GatherRowsBackward, kRowSortThreads) { gather_rows_merge<2>(a); }
PREFGRAD_KERNEL(gather_rows_merge_3, GatherRowsBackward, kRowSortThreads) { gather_rows_merge<3>(a); }
PREFGRAD_KERNEL(gather_rows_merge_4, GatherRowsBackward, kRowSortThreads) { gather_rows_merge<4>(a); }
PREFGRAD_KERNEL(gather_rows_merge_5, GatherRowsBackward, kRowSortThreads) { gather_rows_merge<5>(a); }
PREFGRAD_KERNEL(gather_rows_merge_6, GatherRowsBackward, kRowSortThreads) { gather_rows_merge<6>(a); }
PREFGRAD_KERNEL(gather_rows_merge_7, GatherRowsBackward, kRowSortThreads) { gather_rows_merge<7>(a); }

PREFGRAD_KERNEL(gather_rows_bounds, GatherRowsBackward, kRowSortThreads) {
  const int64_t row = global_thread();
  if (row > a.M) return;
  const SortedRows sorted(a);
  int64_t most = 1;
  while (most < a.N) most *= 2;
  const uint64_t* const lists[1] = {sorted.list};
  const int64_t count[1] = {a.N};
  int64_t less[1];
  count_less(lists, count, most, static_cast<uint64_t>(row) << 32, less);
  sorted.start[row] = static_cast<uint32_t>(less[0]);
}

// A row number outside x belongs to no row: then no sum can be trusted, and everything is NaN.
PREFGRAD_DEVICE bool are_rows(const GatherRowsBackward& a, const SortedRows& sorted) {
  return int64_t{sorted.start[a.M]} == a.N;
}

template <bool vectors>
PREFGRAD_DEVICE void gather_rows_add_few(const GatherRowsBackward& a, const RowPiece& piece, const uint64_t* pairs, int count) {
  constexpr int in_flight = 2;  // more would cost more warps than it gains
  const auto row_at = [&](int i) { return a.grad_y + position_of(pairs[i]) * a.H + piece.column; };
  double sum[kRowNumbers] = {};
  int i = 0;
  for (; i + in_flight <= count; i += in_flight) {
    RowNumbers rows[in_flight];
    for (int j = 0; j < in_flight; ++j) rows[j] = piece.load<vectors>(row_at(i + j));
    for (int j = 0; j < in_flight; ++j) {
      for (int k = 0; k < kRowNumbers; ++k) sum[k] += static_cast<double>(rows[j][k]);
    }
  }
  for (; i < count; ++i) {
    const RowNumbers row = piece.load<vectors>(row_at(i));
    for (int k = 0; k < kRowNumbers; ++k) sum[k] += static_cast<double>(row[k]);
  }
  float* const grad = a.grad_x + piece.row * a.H + piece.column;
  RowNumbers out = {};
  if (a.accumulate != 0) out = piece.load<vectors>(grad);
  for (int k = 0; k < kRowNumbers; ++k) out[k] = static_cast<float>(sum[k] + static_cast<double>(out[k]));
  piece.store<vectors>(grad, out);
}

PREFGRAD_KERNEL(gather_rows_add, GatherRowsBackward, kRowThreads) {
  const RowPiece piece(a.H);
  if (piece.row >= a.M) return;
  const SortedRows sorted(a);
  const uint32_t first = sorted.start[piece.row], count = sorted.start[piece.row + 1] - first;
  if (!are_rows(a, sorted)) {
    piece.fill(a.grad_x + piece.row * a.H + piece.column, nan_f32());
    return;
  }
  if (count > kFewPositions || (count == 0 && a.accumulate != 0)) return;
  if (rows_are_vectors(a.H, a.grad_y, a.grad_x)) {
    gather_rows_add_few<true>(a, piece, sorted.list + first, static_cast<int>(count));
  } else {
    gather_rows_add_few<false>(a, piece, sorted.list + first, static_cast<int>(count));
  }
}

// Of the places 0, 64, 128, ... of the sorted list, the first within a row has the row: none of more than 64 is missed. Every
// warp looks at the same 32 of them, and each takes an eighth of a row that is found.
PREFGRAD_KERNEL(gather_rows_add_long, GatherRowsBackward, kRowSortThreads) {
  constexpr int warps = kRowSortThreads / kWarp, in_flight = 8;
  static_assert(kLongColumns == kWarp && kLongPlaces == kWarp, "a lane each");
  PREFGRAD_SHARED(double, sums, kRowSortThreads);
  const SortedRows sorted(a);
  if (!are_rows(a, sorted)) return;
  const int64_t strips = long_columns(a.H), group = blockIdx.x / strips;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int64_t column = (blockIdx.x - group * strips) * kLongColumns + lane;
  const int64_t place = (group * kLongPlaces + lane) * kFewPositions;
  unsigned first = 0, count = 0;
  bool has = false;
  if (place < a.N) {
    const int64_t row = row_of(sorted.list[place]);
    first = sorted.start[row];
    count = sorted.start[row + 1] - first;
    has = count > kFewPositions && place - first < kFewPositions;
  }
  for (unsigned found = __ballot_sync(kFullMask, has); found != 0; found &= found - 1) {
    const int source = __ffs(static_cast<int>(found)) - 1;
    const uint64_t* const pairs = sorted.list + __shfl_sync(kFullMask, first, source);
    const int64_t positions = __shfl_sync(kFullMask, count, source), share = (positions + warps - 1) / warps;
    const int64_t stop = (warp + 1) * share < positions ? (warp + 1) * share : positions;
    const auto number_at = [&](int64_t i) { return a.grad_y[position_of(pairs[i]) * a.H + column]; };
    double sum = 0.0;
    if (column < a.H) {
      int64_t i = warp * share;
      for (; i + in_flight <= stop; i += in_flight) {
        float x[in_flight];
        for (int j = 0; j < in_flight; ++j) x[j] = number_at(i + j);
        for (int j = 0; j < in_flight; ++j) sum += static_cast<double>(x[j]);
      }
      for (; i < stop; ++i) sum += static_cast<double>(number_at(i));
    }
    __syncthreads();  // what the last row left may still be read
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (warp > 0 || column >= a.H) continue;
    for (int other = 1; other < warps; ++other) sum += sums[other * kWarp + lane];
    float* const grad = a.grad_x + row_of(pairs[0]) * a.H + column;
    if (a.accumulate != 0) sum += static_cast<double>(*grad);
    *grad = static_cast<float>(sum);
  }
}

}  // namespace prefgrad
