// See rotary_attention_backward.h for the formulas, attention.cuda.h for tiles. Weights are computed again, once for the keys
// and once for the queries: every gradient has one owner, and there is nothing to add up across blocks.
//   rotary_attention_backward_prepare       turned queries and keys, 8 B per element; D = gradY . y of each row in f64, 8 B
//   rotary_attention_grad_keys, _wide       tiles of 64 keys: over the heads that share them, and for each over its queries,
//                                           64 at a time; gradValue, and gradKey in the workspace
//   rotary_attention_grad_queries, _wide    tiles of 64 rows, over the keys, 64 at a time; gradQuery in the workspace
//   rotary_attention_backward_finish        turns gradQuery and gradKey back: 8 B per element
// Heads of more than 64 elements are added up in slices of 128. No T x T tensor.
#include "attention.cuda.h"

namespace prefgrad {

// What lies in the workspace.
struct AttentionWork {
  float *query, *key, *grad_query, *grad_key, *mean;

  PREFGRAD_MEMBER explicit AttentionWork(const RotaryAttentionBackward& a)
      : query(a.workspace),
        key(query + attention_quads(a.N * a.Q)),
        grad_query(key + attention_quads(a.N * a.C)),
        grad_key(grad_query + attention_quads(a.N * a.Q)),
        mean(grad_key + attention_quads(a.N * a.C)) {}
};

// A thread's pair of queries or keys, with their angle, for both kernels that turn.
struct AttentionTurn {
  RotationItem item;
  bool is_query;
  int half;
  int64_t at;  // of the row

  PREFGRAD_MEMBER explicit AttentionTurn(const RotaryAttentionBackward& a) : half(static_cast<int>(a.Q / a.heads / 2)) {
    const int heads = static_cast<int>(a.heads), key_heads = static_cast<int>(a.key_value_heads);
    const unsigned of_queries = static_cast<unsigned>(rotation_blocks(a.N, heads, half));
    is_query = blockIdx.x < of_queries;
    item = is_query ? rotation_item(blockIdx.x, a.N, heads, half)
                    : rotation_item(blockIdx.x - of_queries, a.N, key_heads, half);
    at = item.row * (is_query ? a.Q : a.C);
  }
  PREFGRAD_MEMBER Angle angle(const RotaryAttentionBackward& a) const {
    return rotation_angle(attention_position(a, item.row), item.pair, half, a.base);
  }
};

PREFGRAD_KERNEL(rotary_attention_backward_prepare, RotaryAttentionBackward, kRotationThreads) {
  const AttentionWork work(a);
  const int64_t means = blocks_of(a.N * a.A, kAttentionMeans), turning = gridDim.x - means;
  if (blockIdx.x < turning) {
    const AttentionTurn turn(a);
    if (turn.item.row < 0) return;
    const float* const from = turn.is_query ? a.query : a.key;
    float* const to = turn.is_query ? work.query : work.key;
    rotation_turn<false>(turn.item, from + turn.at, to + turn.at, turn.half, turn.angle(a),
                         turn.is_query ? attention_scale(turn.half) : 1.0f, false);
    return;
  }
  const int64_t row = (blockIdx.x - turning) * kAttentionMeans + threadIdx.x / kWarp, size = a.Q / a.heads;
  double sum = 0.0;
  if (row < a.N * a.A) {
    for (int64_t i = threadIdx.x % kWarp; i < size; i += kWarp) {
      sum = fma(static_cast<double>(a.grad_y[row * size + i]), static_cast<double>(a.y[row * size + i]), sum);
    }
  }
  sum = warp_reduce(sum, SumOf{});
  if (row < a.N * a.A && threadIdx.x % kWarp == 0) work.mean[row] = static_cast<float>(sum);
}

PREFGRAD_KERNEL(rotary_attention_backward_finish, RotaryAttentionBackward, PREFGRAD_RESIDENT(kRotationThreads, 4)) {
  const AttentionWork work(a);
  if (are_offsets_broken<kRotationThreads>(a)) {
    attention_fill_nan(a.grad_query, a.N * a.Q);
    attention_fill_nan(a.grad_key, a.N * a.C);
    return;
  }
  const AttentionTurn turn(a);
  if (turn.item.row < 0) return;
  const bool add = (a.accumulate & (turn.is_query ? 1 : 2)) != 0;
  const float* const from = turn.is_query ? work.grad_query : work.grad_key;
  float* const to = turn.is_query ? a.grad_query : a.grad_key;
  rotation_turn<true>(turn.item, from + turn.at, to + turn.at, turn.half, turn.angle(a),
                      turn.is_query ? attention_scale(turn.half) : 1.0f, add);
}

template <int slice>
PREFGRAD_DEVICE void attention_grad_queries(const RotaryAttentionBackward& a) {
  constexpr int rows = 8, own = kAttentionRows, others = kAttentionOthers, columns = slice / 16;
  constexpr int own_pitch = kGemmPitch<own>, other_pitch = kGemmPitch<others>, slice_pitch = kGemmPitch<slice>;
  constexpr int to_score = 2 * kGemmTerms * (own_pitch + other_pitch), to_gather = 2 * kGemmTerms * slice_pitch;
  PREFGRAD_SHARED(Float4, term_quads, (to_score > to_gather ? to_score : to_gather) / 4);
  PREFGRAD_SHARED(Float4, weight_quads, others * own_pitch / 4);
  float *const terms = &term_quads[0].x[0], *const weights = &weight_quads[0].x[0];
  if (are_offsets_broken<kAttentionThreads>(a)) return;  // what is not turned back is not seen
  const AttentionCuts cuts = AttentionCuts::of(a, own);
  const AttentionTile tile = attention_tile(a, cuts, static_cast<int>(cuts.tokens), static_cast<unsigned>(cuts.parts));
  if (tile.queries == 0) return;
  const AttentionWork work(a);
  const AttentionRows at(a, cuts, tile);
  const int size = static_cast<int>(cuts.size), first_column = tile.slice * slice;
  const int width = size - first_column < slice ? size - first_column : slice;

  float shift[rows], mean[rows], sum[rows][columns];
  int seen[rows];
  gemm_clear(sum);
  PREFGRAD_UNROLL
  for (int i = 0; i < rows; ++i) {
    const int r = gemm_row() * rows + i;
    seen[i] = r < at.count ? tile.first + r / at.heads + 1 : 0;
    shift[i] = a.log_sum[at.at(at.clamped(r))];
    mean[i] = work.mean[at.at(at.clamped(r))];
  }
  const int fewest = tile.first + 1, most = tile.first + tile.queries;
  const bool whole = size % 4 == 0;
  const int64_t key_at = (tile.token - tile.first) * a.C + tile.key_head * size;
  GemmSide<kAttentionThreads, own, true> row_side;
  GemmSide<kAttentionThreads, others, true> key_side;
  GemmSide<kAttentionThreads, slice, false> gather_side;
  const int64_t row_at = at.element(at.clamped(row_side.lane()));
  for (int block = 0; block < most; block += others) {
    const int mine = block + key_side.lane() < most ? block + key_side.lane() : most - 1;
    const int64_t mine_at = key_at + mine * a.C;
    float score[rows][4], product[rows][4];
    gemm_clear(score);
    row_side.place_row(work.query + row_at, whole);
    key_side.place_row(work.key + mine_at, whole);
    gemm_product(row_side, key_side, size, terms, own_pitch, other_pitch, score);
    gemm_clear(product);
    row_side.place_row(a.grad_y + row_at, whole && is_aligned(a.grad_y));
    key_side.place_row(a.value + mine_at, whole && is_aligned(a.value));
    gemm_product(row_side, key_side, size, terms, own_pitch, other_pitch, product);
    PREFGRAD_UNROLL
    for (int i = 0; i < rows; ++i) {
      PREFGRAD_UNROLL
      for (int j = 0; j < 4; ++j) {
        const bool sees = block + gemm_column() * 4 + j < seen[i];
        score[i][j] = sees ? attention_exp(score[i][j] - shift[i]) * (product[i][j] - mean[i]) : 0.0f;
      }
    }
    attention_put(score, weights, own_pitch);
    gather_side.place_columns(work.key + key_at + block * a.C + first_column, a.C, gather_side.lane(), width, whole);
    if (block + others <= fewest) {
      gemm_gather(weights, own_pitch, gather_side, others, terms, slice_pitch, sum, GemmAll{});
    } else {
      const int left = most - block < others ? most - block : others;
      gemm_gather(weights, own_pitch, gather_side, left, terms, slice_pitch, sum,
                  [&](int term, int i) { return block + term < seen[i]; });
    }
  }
  PREFGRAD_UNROLL
  for (int i = 0; i < rows; ++i) {
    const int r = gemm_row() * rows + i;
    if (r >= at.count) continue;
    attention_write(work.grad_query + at.element(r) + first_column, width, whole, false, sum[i], [](float x) { return x; });
  }
}

PREFGRAD_KERNEL(rotary_attention_grad_queries, RotaryAttentionBackward, PREFGRAD_RESIDENT(kAttentionThreads, 2)) {
  attention_grad_queries<64>(a);
}

PREFGRAD_KERNEL(rotary_attention_grad_queries_wide, RotaryAttentionBackward, PREFGRAD_RESIDENT(kAttentionThreads, 2)) {
  attention_grad_queries<128>(a);
}

template <int slice>
PREFGRAD_DEVICE void attention_grad_keys(const RotaryAttentionBackward& a) {
  constexpr int threads = kAttentionKeyThreads, rows = 4, columns = slice / 16;
  constexpr int own = kAttentionRows, others = kAttentionOthers;
  constexpr int own_pitch = kGemmPitch<own>, other_pitch = kGemmPitch<others>, slice_pitch = kGemmPitch<slice>;
  constexpr int to_score = 2 * kGemmTerms * (own_pitch + other_pitch), to_gather = 2 * kGemmTerms * slice_pitch;
  PREFGRAD_SHARED(Float4, term_quads, (to_score > to_gather ? to_score : to_gather) / 4);
  PREFGRAD_SHARED(Float4, weight_quads, others * own_pitch / 4);
  float *const terms = &term_quads[0].x[0], *const weights = &weight_quads[0].x[0];
  if (are_offsets_broken<threads>(a)) {
    attention_fill_nan(a.grad_value, a.N * a.C);
    return;
  }
  const AttentionCuts cuts = AttentionCuts::of(a, own);
  const AttentionTile tile = attention_tile(a, cuts, own, 1);
  if (tile.queries == 0) return;
  const AttentionWork work(a);
  const int size = static_cast<int>(cuts.size), first_column = tile.slice * slice;
  const int width = size - first_column < slice ? size - first_column : slice;
  const int own_key = tile.first + gemm_row() * rows, last_key = tile.first + tile.queries - 1;

  float to_key[rows][columns], to_value[rows][columns];
  gemm_clear(to_key);
  gemm_clear(to_value);
  const bool whole = size % 4 == 0;
  const int64_t start = tile.token - tile.first;  // of the sequence
  GemmSide<threads, own, true> key_side;
  GemmSide<threads, others, true> row_side;
  GemmSide<threads, slice, false> gather_side;
  const int mine = tile.first + key_side.lane() < last_key ? tile.first + key_side.lane() : last_key;
  const int64_t key_at = (start + mine) * a.C + tile.key_head * size;
  for (int h = 0; h < static_cast<int>(cuts.group); ++h) {
    const int64_t head = tile.key_head * cuts.group + h;
    for (int block = tile.first; block < tile.length; block += others) {
      const int left = tile.length - block < others ? tile.length - block : others;
      const int lane = row_side.lane() < left ? row_side.lane() : left - 1;
      const int64_t row_at = (start + block + lane) * a.Q + head * size;
      float weight[rows][4], slope[rows][4];
      gemm_clear(weight);
      key_side.place_row(work.key + key_at, whole);
      row_side.place_row(work.query + row_at, whole);
      gemm_product(key_side, row_side, size, terms, own_pitch, other_pitch, weight);
      gemm_clear(slope);
      key_side.place_row(a.value + key_at, whole && is_aligned(a.value));
      row_side.place_row(a.grad_y + row_at, whole && is_aligned(a.grad_y));
      gemm_product(key_side, row_side, size, terms, own_pitch, other_pitch, slope);
      PREFGRAD_UNROLL
      for (int j = 0; j < 4; ++j) {
        const int query = block + gemm_column() * 4 + j;
        const bool is_inside = query < tile.length;
        const int64_t row = (start + (is_inside ? query : block)) * a.A + head;
        const float shift = a.log_sum[row], mean = work.mean[row];
        PREFGRAD_UNROLL
        for (int i = 0; i < rows; ++i) {
          const bool sees = is_inside && own_key + i <= query;
          weight[i][j] = sees ? attention_exp(weight[i][j] - shift) : 0.0f;
          slope[i][j] = sees ? weight[i][j] * (slope[i][j] - mean) : 0.0f;
        }
      }
      const auto gather = [&](const float(&x)[rows][4], const float* from, bool is_whole, float(&sum)[rows][columns]) {
        attention_put(x, weights, own_pitch);
        gather_side.place_columns(from + (start + block) * a.Q + head * size + first_column, a.Q, gather_side.lane(), width,
                                  is_whole);
        if (block >= last_key) {
          gemm_gather(weights, own_pitch, gather_side, left, terms, slice_pitch, sum, GemmAll{});
        } else {
          gemm_gather(weights, own_pitch, gather_side, left, terms, slice_pitch, sum,
                      [&](int term, int i) { return own_key + i <= block + term; });
        }
      };
      gather(weight, a.grad_y, whole && is_aligned(a.grad_y), to_value);
      gather(slope, work.query, whole, to_key);
    }
  }
  PREFGRAD_UNROLL
  for (int i = 0; i < rows; ++i) {
    if (own_key + i > last_key) continue;
    const int64_t at = (start + own_key + i) * a.C + tile.key_head * size + first_column;
    const auto same = [](float x) { return x; };
    attention_write(a.grad_value + at, width, whole && is_aligned(a.grad_value), (a.accumulate & 4) != 0, to_value[i], same);
    attention_write(work.grad_key + at, width, whole, false, to_key[i], same);
  }
}

PREFGRAD_KERNEL(rotary_attention_grad_keys, RotaryAttentionBackward, PREFGRAD_RESIDENT(kAttentionKeyThreads, 1)) {
  attention_grad_keys<64>(a);
}

PREFGRAD_KERNEL(rotary_attention_grad_keys_wide, RotaryAttentionBackward, PREFGRAD_RESIDENT(kAttentionKeyThreads, 1)) {
  attention_grad_keys<128>(a);
}

}  // namespace prefgrad
