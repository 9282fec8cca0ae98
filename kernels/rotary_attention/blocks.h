// What attention and its gradient share: a block of query rows, keys packed for scoring, and small products of both.
//
// The rows of an item (one sequence, one key head) are its queries in order and, per query, the heads that share the
// key head. A row at position p sees keys 0 .. p: what the rows of a block have in common goes through the micro-kernel
// at once, and the few keys that only later rows see follow row by row: no row ever touches a key beyond its own.
#pragma once
#include "../common/gemm.h"
#include "../common/rotation.h"
#include "../common/sequences.h"

namespace prefgrad::PREFGRAD_ISA {

// Rows of a block: whole panels of the micro-kernel, at most 16.
constexpr int64_t kBlockRows = kMicroRows > 8 ? kMicroRows : 16 / kMicroRows * kMicroRows;
// Positions whose angles are one item; lib/spec/attention.ts has the same number.
constexpr int64_t kAngleBlock = 64;

struct Heads {
  int64_t size, padded, group;  // elements of a head, rounded up to vectors; query heads per key head
  float scale;

  template <typename Args>
  explicit Heads(const Args& a)
      : size(a.Q / a.heads),
        padded(round_up(size, 16)),
        group(a.heads / a.key_value_heads),
        scale(static_cast<float>(1.0 / std::sqrt(static_cast<double>(size)))) {}
};

// C[row, column] = sum over terms of a[term * a_pitch + row] * B(term, column), going on from `from` (null: from 0).
// B comes in panels of kMicroColumns columns, b_panel apart, terms b_pitch apart.
struct Product {
  int64_t rows, columns, terms;
  const float* a;
  int64_t a_pitch;
  const float* b;
  int64_t b_panel, b_pitch;
  const float* from;
  float* to;
  int64_t pitch;  // of from and to, whose rows have room for whole vectors
};

inline void multiply(const Product& p) {
  const Parts panels(p.rows, kMicroRows);
  for (int64_t j = 0; j < p.columns; j += kMicroColumns) {
    for (int64_t i = 0; i < panels.parts; ++i) {
      const int64_t at = panels.start(i) * p.pitch + j;
      Micro m;
      m.terms = p.terms;
      m.a = p.a + panels.start(i);
      m.a_pitch = p.a_pitch;
      m.b = p.b + j / kMicroColumns * p.b_panel;
      m.b_pitch = p.b_pitch;
      m.from = p.from == nullptr ? nullptr : p.from + at;
      m.from_pitch = p.pitch;
      m.to = p.to + at;
      m.to_pitch = p.pitch;
      m.columns = p.columns - j < kMicroColumns ? p.columns - j : kMicroColumns;
      m.bias = nullptr;
      m.add = false;
      run_micro(panels.count(i), m);
    }
  }
}

// Rows [first, first + count) of an item, row r being head r % group of query r / group.
struct RowBlock {
  int64_t first, count, group, before;  // `before`: keys that stand before those of the queries

  PREFGRAD_INLINE int64_t query(int64_t r) const { return (first + r) / group; }
  PREFGRAD_INLINE int64_t head(int64_t r) const { return (first + r) % group; }
  PREFGRAD_INLINE int64_t position(int64_t r) const { return before + query(r); }
  PREFGRAD_INLINE int64_t keys(int64_t r) const { return position(r) + 1; }
  PREFGRAD_INLINE int64_t fewest() const { return keys(0); }
  PREFGRAD_INLINE int64_t most() const { return keys(count - 1); }
};

// One number per row of a block and key: rows `pitch` apart.
struct KeyWeights {
  float* data;
  int64_t pitch;

  PREFGRAD_INLINE float* row(int64_t r) const { return data + r * pitch; }
};

// y[row] = sum over the keys of the row of weight[row, key] * vector[key]; vectors are `vector_pitch` apart, and
// `turned` has room for 16 weights per key.
inline void weighted_sums(const RowBlock& rows, const Heads& heads, KeyWeights weights, const float* vectors,
                          int64_t vector_pitch, float* turned, float* y) {
  Product p = {rows.count, heads.padded,  rows.fewest(), weights.data, 1,           vectors,
               kMicroColumns, vector_pitch, nullptr,       y,            heads.padded};
  if (rows.count > 1) {
    pack_lanes(weights.data, weights.pitch, rows.count, rows.fewest(), turned, 16);
    p.a = turned;
    p.a_pitch = 16;
  }
  multiply(p);
  p.rows = 1;
  p.a_pitch = 1;
  p.b = vectors + rows.fewest() * vector_pitch;
  for (int64_t r = 0; r < rows.count; ++r) {
    p.terms = rows.keys(r) - rows.fewest();
    if (p.terms == 0) continue;
    p.a = weights.row(r) + rows.fewest();
    p.to = y + r * heads.padded;
    p.from = p.to;
    multiply(p);
  }
}

// sums[key] += sum over the rows that see the key of weight[row, key] * vector[row].
inline void scatter_sums(const RowBlock& rows, const Heads& heads, KeyWeights weights, const float* vectors,
                         float* sums) {
  Product p = {rows.fewest(), heads.padded, rows.count, weights.data, weights.pitch, vectors,
               kMicroColumns, heads.padded, sums,       sums,         heads.padded};
  multiply(p);
  p.rows = 1;
  for (int64_t key = rows.fewest(), r = 0; key < rows.most(); ++key) {
    while (rows.keys(r) <= key) ++r;
    p.terms = rows.count - r;
    p.a = weights.row(r) + key;
    p.b = vectors + r * heads.padded;
    p.to = sums + key * heads.padded;
    p.from = p.to;
    multiply(p);
  }
}

// Key rows become panels of kMicroColumns keys per element, for scores of many keys at a time.
inline void pack_keys(const float* from, int64_t pitch, int64_t count, const Heads& heads, float* panels) {
  for (int64_t key = 0; key < count; key += kMicroColumns, panels += heads.size * kMicroColumns) {
    const int64_t n = count - key < kMicroColumns ? count - key : kMicroColumns;
    pack_lanes(from + key * pitch, pitch, n, heads.size, panels, kMicroColumns);
  }
}

// scores[row, key] of the block's rows (packed, 16 to a group) with packed keys.
inline void score(const RowBlock& rows, const Heads& heads, const float* packed_rows, const float* panels,
                  KeyWeights scores) {
  multiply({rows.count, round_up(rows.most(), 16), heads.size, packed_rows, 16, panels, heads.size * kMicroColumns,
            kMicroColumns, nullptr, scores.data, scores.pitch});
}

// A head of `count` rows, `pitch` apart, side by side and padded with zeros to whole vectors.
inline void copy_heads(const float* from, int64_t pitch, int64_t count, const Heads& heads, float* to) {
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t d = 0; d < heads.padded; d += 16) {
      store(to + i * heads.padded + d, load_up_to(from + i * pitch + d, heads.size - d > 0 ? heads.size - d : 0));
    }
  }
}

// The longest of the call's sequences: positions that need angles.
template <typename Args>
inline int64_t longest_sequence(const Args& a) {
  if (a.offsets == nullptr) return a.T;
  int64_t longest = 0;
  for (int64_t b = 0; b < a.B; ++b) {
    const int64_t length = int64_t{a.offsets[b + 1]} - a.offsets[b];
    if (length > longest) longest = length;
  }
  return longest;
}

inline void write_angles(const Rotation& rotation, int64_t positions, float* table, int64_t begin, int64_t end) {
  const int64_t first = begin * kAngleBlock;
  const int64_t stop = end * kAngleBlock < positions ? end * kAngleBlock : positions;
  if (first < stop) rotation.angles(first, stop - first, table + first * rotation.angle_floats());
}

}  // namespace prefgrad::PREFGRAD_ISA
