// See rotary_attention.h for the formula, attention.cuda.h for tiles. Keys are gone through in blocks of 64, counted from the
// first of the sequence, with a running maximum and sum per row (Milakov & Gimelshein 2018, arXiv:1805.02867). A score is one
// chain over a head, a y one over the keys, and sums of exponentials are cut the same way in every kernel: a query has the same
// bits alone with a cache as among its sequence. No T x T tensor.
//   rotary_attention_prepare              turned and scaled queries, and turned keys unless they come so: 8 B per element
//   rotary_attention, _wide               tiles of 64 rows; heads of up to 64 elements, and slices of 128 of wider ones
//   rotary_attention_few, _few_wide       tiles of 16 rows, as in decoding
// A tile reads its queries once per block of keys, mostly from cache, and keys and values once.
#include "attention.cuda.h"

namespace prefgrad {

PREFGRAD_DEVICE int64_t attention_cache_length(const RotaryAttention& a) { return a.B > 0 ? a.M / a.B : 0; }

PREFGRAD_DEVICE float* attention_turned_keys(const RotaryAttention& a) { return a.workspace + attention_quads(a.N * a.Q); }

PREFGRAD_KERNEL(rotary_attention_prepare, RotaryAttention, kRotationThreads) {
  const int half = static_cast<int>(a.Q / a.heads / 2), heads = static_cast<int>(a.heads);
  const int key_heads = static_cast<int>(a.key_value_heads);
  const unsigned of_queries = static_cast<unsigned>(rotation_blocks(a.N, heads, half));
  const bool is_query = blockIdx.x < of_queries;
  const RotationItem item = is_query ? rotation_item(blockIdx.x, a.N, heads, half)
                                     : rotation_item(blockIdx.x - of_queries, a.M, key_heads, half);
  if (item.row < 0) return;
  int64_t position;
  if (a.key_lengths == nullptr) {
    position = attention_position(a, item.row);
  } else {
    const unsigned length = static_cast<unsigned>(is_query ? a.T : attention_cache_length(a));
    const unsigned sequence = static_cast<unsigned>(item.row) / length, number = static_cast<unsigned>(item.row) % length;
    const int64_t keys = a.key_lengths[sequence];
    position = is_query ? keys - a.T + number : number;
    if (position >= keys) return;
  }
  const Angle angle = rotation_angle(position, item.pair, half, a.base);
  const int64_t at = item.row * (is_query ? a.Q : a.C);
  rotation_turn<false>(item, (is_query ? a.query : a.key) + at, (is_query ? a.workspace : attention_turned_keys(a)) + at, half,
                       angle, is_query ? attention_scale(half) : 1.0f, false);
}

// Of a thread's rows: the largest score so far, the thread's part of the sum of exponentials below it, and keys seen.
template <int rows>
struct AttentionSoftmax {
  float most[rows], sum[rows];
  int seen[rows];

  // Scores of the four keys from `key` on become weights; what is in `gathered` is brought to the new maximum.
  template <int columns>
  PREFGRAD_MEMBER void soften(float (&score)[rows][4], int key, float (&gathered)[rows][columns]) {
    PREFGRAD_UNROLL
    for (int i = 0; i < rows; ++i) {
      float next = most[i];
      PREFGRAD_UNROLL
      for (int j = 0; j < 4; ++j) {
        if (key + j < seen[i] && next < score[i][j]) next = score[i][j];
      }
      // The sixteen lanes of a row.
      PREFGRAD_UNROLL
      for (int lanes = 2; lanes < kWarp; lanes *= 2) {
        const float other = __shfl_xor_sync(kFullMask, next, lanes);
        next = next < other ? other : next;
      }
      const float factor = attention_exp(most[i] - next);
      most[i] = next;
      sum[i] *= factor;
      PREFGRAD_UNROLL
      for (int j = 0; j < columns; ++j) gathered[i][j] *= factor;
      PREFGRAD_UNROLL
      for (int j = 0; j < 4; ++j) {
        score[i][j] = key + j < seen[i] ? attention_exp(score[i][j] - next) : 0.0f;
        sum[i] += score[i][j];
      }
    }
  }
  PREFGRAD_MEMBER float total(int i) const {
    float x = sum[i];
    PREFGRAD_UNROLL
    for (int lanes = 2; lanes < kWarp; lanes *= 2) x += __shfl_xor_sync(kFullMask, x, lanes);
    return x;
  }
};

// Where the keys of a tile lie; none if the length of its cache cannot be.
struct AttentionKeys {
  int64_t first;
  int before;  // keys that stand before those of the queries
  bool broken;
};
PREFGRAD_DEVICE AttentionKeys attention_keys(const RotaryAttention& a, const AttentionTile& tile) {
  if (a.key_lengths == nullptr) return {tile.token - tile.first, 0, false};
  const int64_t length = a.key_lengths[tile.sequence], cache = attention_cache_length(a);
  return {tile.sequence * cache, static_cast<int>(length - a.T), length < a.T || length > cache};
}

template <int rows, int slice>
PREFGRAD_DEVICE void attention_forward(const RotaryAttention& a) {
  constexpr int own = kAttentionThreads / 16 * rows, others = kAttentionOthers, columns = slice / 16;
  constexpr int own_pitch = kGemmPitch<own>, other_pitch = kGemmPitch<others>, slice_pitch = kGemmPitch<slice>;
  constexpr int to_score = 2 * kGemmTerms * (own_pitch + other_pitch), to_gather = 2 * kGemmTerms * slice_pitch;
  PREFGRAD_SHARED(Float4, term_quads, (to_score > to_gather ? to_score : to_gather) / 4);
  PREFGRAD_SHARED(Float4, weight_quads, others * own_pitch / 4);
  float *const terms = &term_quads[0].x[0], *const weights = &weight_quads[0].x[0];
  if (are_offsets_broken<kAttentionThreads>(a)) {
    attention_fill_nan(a.y, a.N * a.Q);
    attention_fill_nan(a.log_sum, a.N * a.A);
    return;
  }
  const AttentionCuts cuts = AttentionCuts::of(a, own);
  const AttentionTile tile = attention_tile(a, cuts, static_cast<int>(cuts.tokens), static_cast<unsigned>(cuts.parts));
  if (tile.queries == 0) return;
  const AttentionKeys keys = attention_keys(a, tile);
  const AttentionRows at(a, cuts, tile);
  const int size = static_cast<int>(cuts.size), first_column = tile.slice * slice;
  const int width = size - first_column < slice ? size - first_column : slice;
  if (keys.broken && threadIdx.x == 0) a.fault->report(RotaryAttention::key_lengths_input, tile.sequence);

  AttentionSoftmax<rows> softmax;
  float sum[rows][columns];
  gemm_clear(sum);
  PREFGRAD_UNROLL
  for (int i = 0; i < rows; ++i) {
    const int r = gemm_row() * rows + i;
    softmax.most[i] = kAttentionLowest;
    softmax.sum[i] = 0.0f;
    softmax.seen[i] = r < at.count ? keys.before + tile.first + r / at.heads + 1 : 0;
  }
  // Keys that the first row sees, and the last.
  const int fewest = keys.before + tile.first + 1, most = keys.broken ? 0 : fewest + tile.queries - 1;
  const bool whole = size % 4 == 0;
  const int64_t key_at = keys.first * a.C + tile.key_head * size;
  const float* const key = (a.keys_rotated != 0 ? a.key : attention_turned_keys(a)) + key_at;
  const bool whole_key = whole && is_aligned(key), whole_value = whole && is_aligned(a.value);
  GemmSide<kAttentionThreads, own, true> query_side;
  GemmSide<kAttentionThreads, others, true> key_side;
  GemmSide<kAttentionThreads, slice, false> value_side;
  const float* const query = a.workspace + at.element(at.clamped(query_side.lane()));
  for (int block = 0; block < most; block += others) {
    const int mine = block + key_side.lane() < most ? block + key_side.lane() : most - 1;
    float score[rows][4];
    gemm_clear(score);
    query_side.place_row(query, whole);
    key_side.place_row(key + mine * a.C, whole_key);
    gemm_product(query_side, key_side, size, terms, own_pitch, other_pitch, score);
    softmax.soften(score, block + gemm_column() * 4, sum);
    attention_put(score, weights, own_pitch);
    value_side.place_columns(a.value + key_at + block * a.C + first_column, a.C, value_side.lane(), width, whole_value);
    if (block + others <= fewest) {
      gemm_gather(weights, own_pitch, value_side, others, terms, slice_pitch, sum, GemmAll{});
    } else {
      const int left = most - block < others ? most - block : others;
      gemm_gather(weights, own_pitch, value_side, left, terms, slice_pitch, sum,
                  [&](int term, int i) { return block + term < softmax.seen[i]; });
    }
  }

  const bool whole_y = whole && is_aligned(a.y);
  PREFGRAD_UNROLL
  for (int i = 0; i < rows; ++i) {
    const int r = gemm_row() * rows + i;
    const float total = softmax.total(i);
    const bool bad = keys.broken || total == 0.0f;
    if (r >= at.count) continue;
    const float factor = bad ? nan_f32() : 1.0f / total;
    attention_write(a.y + at.element(r) + first_column, width, whole_y, false, sum[i], [&](float x) { return x * factor; });
    if (tile.slice == 0 && gemm_column() == 0) a.log_sum[at.at(r)] = bad ? nan_f32() : softmax.most[i] + log(total);
  }
}

PREFGRAD_KERNEL(rotary_attention, RotaryAttention, PREFGRAD_RESIDENT(kAttentionThreads, 2)) { attention_forward<8, 64>(a); }

PREFGRAD_KERNEL(rotary_attention_wide, RotaryAttention, PREFGRAD_RESIDENT(kAttentionThreads, 2)) {
  attention_forward<8, 128>(a);
}

PREFGRAD_KERNEL(rotary_attention_few, RotaryAttention, PREFGRAD_RESIDENT(kAttentionThreads, 4)) { attention_forward<2, 64>(a); }

PREFGRAD_KERNEL(rotary_attention_few_wide, RotaryAttention, PREFGRAD_RESIDENT(kAttentionThreads, 3)) {
  attention_forward<2, 128>(a);
}

}  // namespace prefgrad
