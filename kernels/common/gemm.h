// Matrix products in f32: C[row, column] is one chain of fused multiply-adds over the terms 0, 1, 2, ... that starts
// from 0. Where the chain is cut (a block of terms at a time) its value is kept in f32 and taken up again, so that
// neither tiles, nor threads, nor the number of rows change a bit, and AVX2 and AVX-512 agree.
//
// A tile of C is one work item: the rows of A are packed for a block of terms, then columns of B a group at a time. The
// group stays in the second-level cache while one panel of rows after the other, in the first-level cache, passes by it:
// the micro-kernel keeps kMicroRows x kMicroColumns sums in registers. Rows whose terms are contiguous are read where they lie
// if a micro-kernel has so few of them that each has an address register of its own.
#pragma once
#include <utility>

#include "gemm_pack.h"

namespace prefgrad::PREFGRAD_ISA {

#if defined(__AVX512F__)
constexpr int kMicroRows = 14, kMicroVectors = 2;
constexpr bool kRowsInPlace = false;
#elif defined(__AVX2__) && defined(__FMA__)
constexpr int kMicroRows = 6, kMicroVectors = 1;
constexpr bool kRowsInPlace = true;
#else
constexpr int kMicroRows = 4, kMicroVectors = 1;
constexpr bool kRowsInPlace = false;
#endif
constexpr int kMicroColumns = 16 * kMicroVectors;

// Terms that are packed at a time, and columns of B; lib/spec/gemm.ts has the same numbers.
constexpr int64_t kGemmTerms = 512;
constexpr int64_t kGemmGroup = 128;
// One packed panel; the odd cache line keeps neighbouring panels out of each other's cache sets.
constexpr int64_t kRowPanel = kGemmTerms * kPackLanes + 16, kColumnPanel = kGemmTerms * kMicroColumns + 16;

// One call of the micro-kernel: a[term * a_pitch + row], or a[row * a_pitch + term] if rows are in place, and
// b[term * b_pitch + column].
struct Micro {
  int64_t terms;
  const float* a;
  int64_t a_pitch;
  const float* b;
  int64_t b_pitch;
  const float* from;  // sums to go on from; null: 0
  int64_t from_pitch;
  float* to;
  int64_t to_pitch;
  int64_t columns;    // columns to write
  const float* bias;  // added to the finished sums; may be null
  bool add;           // to what `to` holds
};

template <bool in_place, int rows, int vectors>
void micro_kernel(const Micro& m) {
  f32x16 sum[rows][vectors];
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) {
      __builtin_prefetch(m.to + r * m.to_pitch + 16 * v, 1);
      sum[r][v] = m.from == nullptr ? f32x16::set(0.0f) : f32x16::load(m.from + r * m.from_pitch + 16 * v);
    }
  }
  const float* a = m.a;
  const float* b = m.b;
  const float* row[rows];  // in place
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) row[r] = a + r * m.a_pitch;
  for (int64_t term = 0; term < m.terms; ++term) {
    f32x16 right[vectors];
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) right[v] = f32x16::load(b + 16 * v);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      const f32x16 left = f32x16::set(in_place ? row[r][term] : a[r]);
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) sum[r][v] = fma(left, right[v], sum[r][v]);
    }
    a += m.a_pitch;
    b += m.b_pitch;
  }
#pragma GCC unroll 2
  for (int v = 0; v < vectors; ++v) {
    const int64_t n = m.columns - 16 * v;
    if (n <= 0) break;
    const f32x16 bias = m.bias == nullptr ? f32x16::set(0.0f) : load_up_to(m.bias + 16 * v, n);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      float* const to = m.to + r * m.to_pitch + 16 * v;
      f32x16 y = sum[r][v];
      if (m.bias != nullptr) y = y + bias;
      if (m.add) y = load_up_to(to, n) + y;
      store_up_to(to, y, n);
    }
  }
}

template <bool in_place, int vectors, int... less_one>
PREFGRAD_INLINE void choose_rows(int64_t rows, const Micro& m, std::integer_sequence<int, less_one...>) {
  static constexpr void (*kernels[])(const Micro&) = {micro_kernel<in_place, less_one + 1, vectors>...};
  kernels[rows - 1](m);
}

// 1 <= rows <= kMicroRows, 1 <= columns <= kMicroColumns.
template <bool in_place = false>
PREFGRAD_INLINE void run_micro(int64_t rows, const Micro& m) {
  constexpr std::make_integer_sequence<int, kMicroRows> all{};
  if (kMicroVectors == 1 || m.columns <= 16) {
    choose_rows<in_place, 1>(rows, m, all);
  } else {
    choose_rows<in_place, kMicroVectors>(rows, m, all);
  }
}

// C = A B, or with `add` C += A B; A has `rows` lanes, B `columns`.
struct Gemm {
  Operand a, b;
  int64_t rows, columns, terms;
  float* c;
  int64_t c_pitch;
  const float* bias;  // per column, added to the finished sum; may be null
  bool add;
};

// `count` things in parts that differ by at most one: no part is left with a few rows that waste the micro-kernel.
struct Parts {
  int64_t parts, size, larger;
  PREFGRAD_INLINE Parts(int64_t count, int64_t most)
      : parts(count > most ? (count + most - 1) / most : 1), size(count / parts), larger(count % parts) {}
  PREFGRAD_INLINE int64_t start(int64_t i) const { return i * size + (i < larger ? i : larger); }
  PREFGRAD_INLINE int64_t count(int64_t i) const { return size + (i < larger ? 1 : 0); }
};

// Packs terms [term, term + terms) of the rows from `row` on: panel p at to + p * kRowPanel.
inline void pack_rows(const Operand& a, int64_t row, const Parts& panels, int64_t limit, int64_t term, int64_t terms,
                      float* to) {
  if (a.terms_contiguous) {
    for (int64_t p = 0; p < panels.parts; ++p) {
      pack_transposed(a.at(row + panels.start(p), term), a.stride, panels.count(p), terms,
                      to + p * kRowPanel, kPackLanes);
    }
    return;
  }
  // A panel is read a little beyond its own lanes, never beyond the operand's.
  each_terms(terms, [&](int64_t k, auto few) PREFGRAD_BODY {
    const float* const from = a.at(row, term + k);
    for (int64_t p = 0, first = 0; p < panels.parts; first += panels.count(p++)) {
      copy_lanes(few, from + first, a.stride, limit - row - first, to + p * kRowPanel + k * kPackLanes, kPackLanes);
    }
  });
}

// Packs columns [column, column + columns) in panels of kMicroColumns: panel p at to + p * kColumnPanel.
inline void pack_columns(const Operand& b, int64_t column, int64_t columns, int64_t term, int64_t terms, float* to) {
  if (b.terms_contiguous) {
    for (int64_t j = 0; j < columns; j += kMicroColumns, to += kColumnPanel) {
      const int64_t count = columns - j < kMicroColumns ? columns - j : kMicroColumns;
      pack_lanes(b.at(column + j, term), b.stride, count, terms, to, kMicroColumns);
    }
    return;
  }
  each_terms(terms, [&](int64_t k, auto few) PREFGRAD_BODY {
    const float* const from = b.at(column, term + k);
    float* out = to + k * kMicroColumns;
    for (int64_t j = 0; j < columns; j += kMicroColumns, out += kColumnPanel) {
      for (int lane = 0; lane < kMicroColumns; lane += kPackLanes) {
        copy_lanes(few, from + j + lane, b.stride, columns - j - lane, out + lane, kMicroColumns);
      }
    }
  });
}

// Asks for some terms of rows in place before their panel has its turn.
PREFGRAD_INLINE void prefetch_rows(const Operand& a, int64_t row, int64_t rows, int64_t term, int64_t stop) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t t = term; t < stop; t += 16) __builtin_prefetch(a.at(row + r, t));
  }
}

// Fills C[row .. row + rows, column .. column + columns]; lib/spec/gemm.ts says how much scratch that takes.
template <bool in_place>
inline void gemm_tile(const Gemm& g, int64_t row, int64_t rows, int64_t column, int64_t columns, float* scratch) {
  const Parts panels(rows, kMicroRows), blocks(g.terms, kGemmTerms);
  const int64_t spill_pitch = round_up(columns, 16);
  float* const packed_a = scratch;
  float* const packed_b = packed_a + panels.parts * kRowPanel;
  float* const spill = packed_b + kGemmGroup / kMicroColumns * kColumnPanel;
  for (int64_t block = 0; block < blocks.parts; ++block) {
    const int64_t term = blocks.start(block), terms = blocks.count(block);
    const bool last = block + 1 == blocks.parts;
    if (!in_place) pack_rows(g.a, row, panels, g.rows, term, terms, packed_a);
    for (int64_t group = 0; group < columns; group += kGemmGroup) {
      const int64_t width = columns - group < kGemmGroup ? columns - group : kGemmGroup;
      pack_columns(g.b, column + group, width, term, terms, packed_b);
      for (int64_t p = 0; p < panels.parts; ++p) {
        const int64_t first = panels.start(p);
        for (int64_t j = 0; j < width; j += kMicroColumns) {
          const int64_t here = group + j;
          if (in_place && p + 1 < panels.parts) {
            const auto part = [&](int64_t at) { return term + (at < width ? at : width) * terms / width; };
            prefetch_rows(g.a, row + panels.start(p + 1), panels.count(p + 1), part(j), part(j + kMicroColumns));
          }
          float* const kept = spill + first * spill_pitch + here;
          Micro m;
          m.terms = terms;
          m.a = in_place ? g.a.at(row + first, term) : packed_a + p * kRowPanel;
          m.a_pitch = in_place ? g.a.stride : kPackLanes;
          m.b = packed_b + j / kMicroColumns * kColumnPanel;
          m.b_pitch = kMicroColumns;
          m.from = block == 0 ? nullptr : kept;
          m.from_pitch = spill_pitch;
          m.to = last ? g.c + (row + first) * g.c_pitch + column + here : kept;
          m.to_pitch = last ? g.c_pitch : spill_pitch;
          const int64_t remaining = (last ? columns : spill_pitch) - here;
          m.columns = remaining < kMicroColumns ? remaining : kMicroColumns;
          m.bias = last && g.bias != nullptr ? g.bias + column + here : nullptr;
          m.add = last && g.add;
          run_micro<in_place>(panels.count(p), m);
        }
      }
    }
  }
}
PREFGRAD_INLINE void gemm_tile(const Gemm& g, int64_t row, int64_t rows, int64_t column, int64_t columns, float* scratch) {
  if (kRowsInPlace && g.a.terms_contiguous) {
    gemm_tile<kRowsInPlace>(g, row, rows, column, columns, scratch);
  } else {
    gemm_tile<false>(g, row, rows, column, columns, scratch);
  }
}

}  // namespace prefgrad::PREFGRAD_ISA
