// What attention and its gradients share: turned queries and keys in the workspace, and where tiles lie. A block has a tile of
// rows (queries in order and, per query, heads that share the key head) or of keys, and goes through the others 64 at a time
// (see common/gemm.cuda.h). What a row may not see never touches its numbers, even if it is NaN.
#pragma once
#include "../common/gemm.cuda.h"
#include "../common/rotation.cuda.h"
#include "../common/sequences.cuda.h"
#include "rotary_attention.launch.h"

namespace prefgrad {

constexpr float kAttentionLog2e = 0x1.715476p+0f;
// Below every score; e^(lowest - x) is 0.
constexpr float kAttentionLowest = -3.0e38f;

PREFGRAD_DEVICE float attention_exp(float x) { return exp2_fast(x * kAttentionLog2e); }

// Of a tile: which sequence, where its queries and keys lie, and which heads and elements are this block's.
struct AttentionTile {
  int64_t sequence;
  int64_t token;          // flat index of its first query
  int queries, first;     // how many, and the number of the first in its sequence
  int length;             // queries of the sequence
  int key_head, head, heads, slice;
};

// The tile of a slot; none (no queries) where the slot is empty.
template <typename Args>
PREFGRAD_DEVICE AttentionTile attention_tile(const Args& a, const AttentionCuts& cuts, int tokens, unsigned parts) {
  const unsigned slices = static_cast<unsigned>(cuts.slices), key_heads = static_cast<unsigned>(a.key_value_heads);
  // The last tiles of a sequence take longest: they go first.
  unsigned at = gridDim.x - 1 - blockIdx.x;
  AttentionTile tile = {};
  tile.slice = static_cast<int>(at % slices);
  at /= slices;
  const int part = static_cast<int>(at % parts);
  at /= parts;
  tile.key_head = static_cast<int>(at % key_heads);
  const unsigned slot = at / key_heads;
  tile.head = tile.key_head * static_cast<int>(cuts.group) + part * static_cast<int>(cuts.heads);
  const int left = static_cast<int>(cuts.group) - part * static_cast<int>(cuts.heads);
  tile.heads = left < cuts.heads ? left : static_cast<int>(cuts.heads);
  int64_t b = 0, number = 0;
  if (a.offsets == nullptr) {
    const unsigned each = static_cast<unsigned>(blocks_of(a.T, tokens));
    b = slot / each;
    number = slot % each;
  } else {
    if (a.B == 0) return tile;
    // The last sequence whose first slot is at most this one: sequences begin at offset / tokens + their number.
    for (int64_t beyond = a.B; beyond - b > 1;) {
      const int64_t middle = (b + beyond) / 2;
      if (offset_of(a, middle) / tokens + middle <= slot) {
        b = middle;
      } else {
        beyond = middle;
      }
    }
    number = int64_t{slot} - (offset_of(a, b) / tokens + b);
  }
  const Span span = span_of(a, b);
  const int64_t before = number * tokens, rest = span.length - before;
  if (number < 0 || rest <= 0) return tile;
  tile.sequence = b;
  tile.token = span.start + before;
  tile.queries = static_cast<int>(rest < tokens ? rest : tokens);
  tile.first = static_cast<int>(before);
  tile.length = static_cast<int>(span.length);
  return tile;
}

// Where a token stands in its sequence. Tokens are fewer than 2^32, as positions are fewer than 2^31.
template <typename Args>
PREFGRAD_DEVICE int64_t attention_position(const Args& a, int64_t token) {
  if (a.offsets == nullptr) return static_cast<unsigned>(token) % static_cast<unsigned>(a.T);
  int64_t b = 0;
  for (int64_t beyond = a.B; beyond - b > 1;) {
    const int64_t middle = (b + beyond) / 2;
    if (a.offsets[middle] <= token) {
      b = middle;
    } else {
      beyond = middle;
    }
  }
  return token - a.offsets[b];
}

PREFGRAD_DEVICE float attention_scale(int half) { return static_cast<float>(1.0 / sqrt(2.0 * half)); }

// All of an output is NaN where no sequence can be trusted. The blocks of the grid share it.
PREFGRAD_DEVICE void attention_fill_nan(float* p, int64_t count) {
  for (int64_t i = global_thread(); i < count; i += global_threads()) p[i] = nan_f32();
}

// The rows of a tile of queries: where row r lies in a tensor [N, Q], and in [N, A].
struct AttentionRows {
  int64_t token, width, head_size;
  int head, heads, count;

  template <typename Args>
  PREFGRAD_MEMBER AttentionRows(const Args& a, const AttentionCuts& cuts, const AttentionTile& tile)
      : token(tile.token),
        width(a.A),
        head_size(cuts.size),
        head(tile.head),
        heads(tile.heads),
        count(tile.queries * tile.heads) {}
  PREFGRAD_MEMBER int64_t at(int r) const { return (token + r / heads) * width + head + r % heads; }
  PREFGRAD_MEMBER int64_t element(int r) const { return at(r) * head_size; }
  // A lane beyond the last brings the last once more.
  PREFGRAD_MEMBER int clamped(int r) const { return r < count ? r : count - 1; }
};

// Puts a thread's numbers, rows of its own by four others, where they are gathered with: to[other * pitch + row].
template <int rows>
PREFGRAD_DEVICE void attention_put(const float (&x)[rows][4], float* to, int pitch) {
  PREFGRAD_UNROLL
  for (int j = 0; j < 4; ++j) {
    float* const at = to + (gemm_column() * 4 + j) * pitch + gemm_row() * rows;
    if constexpr (rows % 4 == 0) {
      PREFGRAD_UNROLL
      for (int i = 0; i < rows; i += 4) {
        *reinterpret_cast<Float4*>(at + i) = Float4{{x[i][j], x[i + 1][j], x[i + 2][j], x[i + 3][j]}};
      }
    } else {
      PREFGRAD_UNROLL
      for (int i = 0; i < rows; ++i) at[i] = x[i][j];
    }
  }
}

// A thread's columns of one row of a head's slice: `columns` that it has, `count` that there are.
template <int columns, typename Map>
PREFGRAD_DEVICE void attention_write(float* to, int count, bool whole, bool add, const float (&x)[columns], Map map) {
  PREFGRAD_UNROLL
  for (int c = 0; c < columns; c += 4) {
    const int at = gemm_column_at(c);
    if (whole) {
      if (at >= count) continue;
      Float4 quad, old = {};
      if (add) old = *reinterpret_cast<const Float4*>(to + at);
      PREFGRAD_UNROLL
      for (int k = 0; k < 4; ++k) quad.x[k] = add ? old.x[k] + map(x[c + k]) : map(x[c + k]);
      *reinterpret_cast<Float4*>(to + at) = quad;
    } else {
      PREFGRAD_UNROLL
      for (int k = 0; k < 4; ++k) {
        if (at + k < count) to[at + k] = add ? to[at + k] + map(x[c + k]) : map(x[c + k]);
      }
    }
  }
}

}  // namespace prefgrad
