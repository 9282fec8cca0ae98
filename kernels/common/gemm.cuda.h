// Products of tiles in true f32, for linear and attention: 16 terms of both operands at a time in shared memory, as
// [term][lane], and a block of sums per thread in registers. Every sum is one chain of fused multiply-adds over the terms
// 0, 1, 2, ... from 0, whatever the tile; terms beyond the last are zeros on both sides, up to a multiple of 16.
//
// A block's threads stand in rows of 16. A thread has `rows` neighbouring rows of the tile, and of its columns four out of
// every 64. The two rows of threads in a warp alternate, so that a half warp reads 128 bytes of columns in one go, and what
// is stored to shared memory falls on different banks.
#pragma once
#include "cuda.h"

namespace prefgrad {

constexpr int kGemmTerms = 16;

// From one term to the next in shared memory.
template <int lanes>
constexpr int kGemmPitch = lanes + 4;

PREFGRAD_DEVICE int gemm_row() { return threadIdx.x / kWarp * 2 + threadIdx.x % 2; }
PREFGRAD_DEVICE int gemm_column() { return threadIdx.x % kWarp / 2; }

// An operand's way into shared memory: a thread brings four numbers of 16 bytes (a quad) at a time, `each` times.
//   along_terms   a lane's terms lie side by side: a thread has one lane; two threads share 32 bytes of it
//   otherwise     a term's lanes lie side by side: a thread has four lanes; neighbours have the next four
template <int threads, int lanes, bool along_terms>
struct GemmSide {
  static constexpr int quads = lanes * kGemmTerms / 4, each = (quads + threads - 1) / threads;
  static constexpr int groups = along_terms ? 2 * lanes : lanes / 4;
  static_assert(threads % groups == 0 || groups % threads == 0, "a thread keeps its lane");

  const float* from;  // the thread's first number of the next terms
  int64_t stride;     // from one term to the next
  int last;           // of its four lanes, the last that there is, one by one; 4: they may be read 16 bytes at a time
  float staged[(each + 1) / 2][4];

  // Which lane of the tile a thread has: the caller finds where it lies.
  static PREFGRAD_MEMBER int lane() { return along_terms ? threadIdx.x / 2 % lanes : threadIdx.x % groups * 4; }
  static PREFGRAD_MEMBER int term(int i) {
    const int quad = static_cast<int>(threadIdx.x) + i * threads;
    return along_terms ? quad / groups * 8 + quad % 2 * 4 : quad / groups;
  }
  static PREFGRAD_MEMBER bool is_inside(int i) {
    return quads % threads == 0 || static_cast<int>(threadIdx.x) + i * threads < quads;
  }

  // A lane whose terms lie at `row`.
  PREFGRAD_MEMBER void place_row(const float* row, bool is_whole) {
    from = row + term(0);
    stride = 1;
    last = is_whole ? 4 : 3;
  }
  // Lanes [first, first + 4) of `count`, of a matrix whose rows hold the lanes of a term. Those beyond are 0.
  PREFGRAD_MEMBER void place_columns(const float* matrix, int64_t pitch, int64_t first, int64_t count, bool is_whole) {
    from = matrix + term(0) * pitch + first;
    stride = pitch;
    last = count - first < 4 ? static_cast<int>(count - first) - 1 : is_whole ? 4 : 3;
  }

  // The next 16 terms, of which there are `left`, are brought in two halves, so that few numbers are under way.
  static PREFGRAD_MEMBER bool is_of(int half, int i) { return i * 2 / each == half; }

  PREFGRAD_MEMBER void load(int left, int half) {
    PREFGRAD_UNROLL
    for (int i = 0; i < each; ++i) {
      if (!is_of(half, i)) continue;
      const int mine = is_inside(i) ? left - term(i) : 0;
      const int steps = term(i) - term(half * each / 2);
      const float* const p = along_terms ? from + steps : from + steps * stride;
      PREFGRAD_UNROLL
      for (int j = 0; j < 4; ++j) staged[i % ((each + 1) / 2)][j] = 0.0f;
      if (last > 3) {
        if (mine > 0) {
          const Float4 quad = *reinterpret_cast<const Float4*>(p);
          PREFGRAD_UNROLL
          for (int j = 0; j < 4; ++j) staged[i % ((each + 1) / 2)][j] = quad.x[j];
        }
      } else {
        PREFGRAD_UNROLL
        for (int j = 0; j < 4; ++j) {
          if (along_terms ? j < mine : mine > 0 && j <= last) staged[i % ((each + 1) / 2)][j] = p[j];
        }
      }
    }
    // Half of the quads have half of the terms; a single quad is of the first half.
    const int steps = each > 1 ? kGemmTerms / 2 : half * kGemmTerms;
    from += along_terms ? steps : steps * stride;
  }

  PREFGRAD_MEMBER void store(float* to, int half) const {
    constexpr int pitch = kGemmPitch<lanes>;
    PREFGRAD_UNROLL
    for (int i = 0; i < each; ++i) {
      if (!is_of(half, i) || !is_inside(i)) continue;
      float* const at = to + term(i) * pitch + lane();
      if (along_terms) {
        PREFGRAD_UNROLL
        for (int j = 0; j < 4; ++j) at[j * pitch] = staged[i % ((each + 1) / 2)][j];
      } else {
        Float4 quad;
        PREFGRAD_UNROLL
        for (int j = 0; j < 4; ++j) quad.x[j] = staged[i % ((each + 1) / 2)][j];
        *reinterpret_cast<Float4*>(at) = quad;
      }
    }
  }
};

// `count` numbers in a row of shared memory, 16 bytes at a time where they are as many.
template <int count>
PREFGRAD_DEVICE void gemm_read(const float* from, float (&to)[count]) {
  if constexpr (count % 4 == 0) {
    PREFGRAD_UNROLL
    for (int i = 0; i < count; i += 4) {
      const Float4 quad = *reinterpret_cast<const Float4*>(from + i);
      PREFGRAD_UNROLL
      for (int j = 0; j < 4; ++j) to[i + j] = quad.x[j];
    }
  } else {
    PREFGRAD_UNROLL
    for (int i = 0; i < count; ++i) to[i] = from[i];
  }
}
// A thread's columns of a tile: the quads are 64 columns apart.
template <int columns>
PREFGRAD_DEVICE void gemm_read_columns(const float* from, float (&to)[columns]) {
  PREFGRAD_UNROLL
  for (int c = 0; c < columns; c += 4) {
    const Float4 quad = *reinterpret_cast<const Float4*>(from + c * 16);
    PREFGRAD_UNROLL
    for (int j = 0; j < 4; ++j) to[c + j] = quad.x[j];
  }
}
// The c-th column of a thread.
PREFGRAD_DEVICE int gemm_column_at(int c) { return gemm_column() * 4 + c / 4 * 64 + c % 4; }

struct GemmAll {
  PREFGRAD_MEMBER bool operator()(int, int) const { return true; }
};

// Takes up `terms` terms: a[term * a_pitch + row], b[term * b_pitch + column]. Where a row has no part in a term, by
// `takes(term, row of the thread)`, that term changes nothing, whatever it is.
template <int terms, int rows, int columns, typename Takes = GemmAll>
PREFGRAD_DEVICE void gemm_multiply(const float* a, int a_pitch, const float* b, int b_pitch, float (&sum)[rows][columns],
                                   Takes takes = {}) {
  const float *const left = a + gemm_row() * rows, *const right = b + gemm_column() * 4;
  PREFGRAD_UNROLL
  for (int term = 0; term < terms; ++term) {
    float l[rows], r[columns];
    gemm_read(left + term * a_pitch, l);
    gemm_read_columns(right + term * b_pitch, r);
    PREFGRAD_UNROLL
    for (int i = 0; i < rows; ++i) {
      if (takes(term, i)) {
        PREFGRAD_UNROLL
        for (int j = 0; j < columns; ++j) sum[i][j] = fma(l[i], r[j], sum[i][j]);
      }
    }
  }
}

template <int rows, int columns>
PREFGRAD_DEVICE void gemm_clear(float (&sum)[rows][columns]) {
  PREFGRAD_UNROLL
  for (int i = 0; i < rows; ++i) {
    PREFGRAD_UNROLL
    for (int j = 0; j < columns; ++j) sum[i][j] = 0.0f;
  }
}

// sum += the product of both operands over `terms` terms. `shared` has room for two times 16 terms of each. The next terms are
// read while these are multiplied: a quarter of them at a time, so that few registers wait for memory.
// Barriers: all threads; before the call, nobody may still use `shared`; after it, a barrier has passed since it was last read.
template <int rows, int columns, typename Left, typename Right>
PREFGRAD_DEVICE void gemm_product(Left& left, Right& right, int terms, float* shared, int left_pitch, int right_pitch,
                                  float (&sum)[rows][columns]) {
  constexpr int quarter = kGemmTerms / 4;
  const int to_right = kGemmTerms * left_pitch, to_next = kGemmTerms * (left_pitch + right_pitch);
  PREFGRAD_UNROLL
  for (int half = 0; half < 2; ++half) {
    left.load(terms, half);
    left.store(shared, half);
    right.load(terms, half);
    right.store(shared + to_right, half);
  }
  __syncthreads();
  int now = 0;
  PREFGRAD_ROLLED
  for (int rest = terms; rest > 0; rest -= kGemmTerms) {
    const bool more = rest > kGemmTerms;
    const int next = to_next - now;
    PREFGRAD_UNROLL
    for (int part = 0; part < 4; ++part) {
      const int half = part % 2;
      if (more) {
        if (part < 2) {
          left.load(rest - kGemmTerms, half);
        } else {
          right.load(rest - kGemmTerms, half);
        }
      }
      gemm_multiply<quarter>(shared + now + part * quarter * left_pitch, left_pitch,
                             shared + now + to_right + part * quarter * right_pitch, right_pitch, sum);
      if (more) {
        if (part < 2) {
          left.store(shared + next, half);
        } else {
          right.store(shared + next + to_right, half);
        }
      }
    }
    __syncthreads();
    now = next;
  }
}

// The same where the left operand lies in shared memory already, `terms` up to a multiple of 16: left[term * left_pitch + row].
// The first barrier also stands between what was stored there and its use. `shared` has room for two times 16 terms of the
// right operand.
template <int rows, int columns, typename Right, typename Takes>
PREFGRAD_DEVICE void gemm_gather(const float* left, int left_pitch, Right& right, int terms, float* shared, int right_pitch,
                                 float (&sum)[rows][columns], Takes takes) {
  constexpr int part = kGemmTerms / 2;
  const int to_next = kGemmTerms * right_pitch;
  PREFGRAD_UNROLL
  for (int half = 0; half < 2; ++half) {
    right.load(terms, half);
    right.store(shared, half);
  }
  __syncthreads();
  int now = 0;
  PREFGRAD_ROLLED
  for (int term = 0; term < terms; term += kGemmTerms) {
    const bool more = term + kGemmTerms < terms;
    const int next = to_next - now;
    PREFGRAD_UNROLL
    for (int half = 0; half < 2; ++half) {
      if (more) right.load(terms - term - kGemmTerms, half);
      const int first = term + half * part;
      gemm_multiply<part>(left + first * left_pitch, left_pitch, shared + now + half * part * right_pitch, right_pitch, sum,
                          [&](int t, int i) { return takes(first + t, i); });
      if (more) right.store(shared + next, half);
    }
    __syncthreads();
    now = next;
  }
}

}  // namespace prefgrad
