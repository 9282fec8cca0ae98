// See rotary_attention_backward.h for the formulas, the passes and the bytes; blocks.h for how queries and keys meet.
#pragma once
#include "blocks.h"
#include "rotary_attention_backward.h"

namespace prefgrad::PREFGRAD_ISA {

inline void rotary_attention_backward_angles(const RotaryAttentionBackward& a, int64_t begin, int64_t end, int) {
  if (!offsets_hold(a)) return;
  write_angles(Rotation(a.Q / a.heads, a.base), longest_sequence(a), a.workspace, begin, end);
}

// One sequence and key head: what a worker keeps while it goes through the rows.
struct AttentionBackwardItem {
  const RotaryAttentionBackward& a;
  Heads heads;
  Rotation rotation;
  float *key_panels, *value_panels, *keys, *grad_keys, *grad_values;
  KeyWeights weights, grad_scores;
  float *turned, *queries, *grads, *packed_queries, *packed_grads, *sums;

  AttentionBackwardItem(const RotaryAttentionBackward& args, int worker)
      : a(args), heads(args), rotation(heads.size, args.base) {
    const int64_t capacity = a.offsets != nullptr ? a.N : a.T;
    weights.pitch = grad_scores.pitch = round_up(capacity, 32) + 16;
    key_panels = a.workspace + capacity * rotation.angle_floats() + worker * static_cast<int64_t>(a.worker_floats);
    value_panels = key_panels + round_up(capacity, 32) * heads.size;
    keys = value_panels + round_up(capacity, 32) * heads.size;
    grad_keys = keys + capacity * heads.padded;
    grad_values = grad_keys + capacity * heads.padded;
    weights.data = grad_values + capacity * heads.padded;
    grad_scores.data = weights.row(16);
    turned = grad_scores.row(16);
    queries = turned + 16 * weights.pitch;
    grads = queries + 16 * heads.padded;
    packed_queries = grads + 16 * heads.padded;
    packed_grads = packed_queries + 16 * heads.padded;
    sums = packed_grads + 16 * heads.padded;
  }

  PREFGRAD_INLINE const float* angle(int64_t position) const {
    return a.workspace + position * rotation.angle_floats();
  }

  void prepare_keys(Span s, int64_t key_head) {
    const int64_t at = s.start * a.C + key_head * heads.size;
    const size_t bytes = static_cast<size_t>(s.length * heads.padded) * sizeof(float);
    std::memset(keys, 0, bytes);
    std::memset(grad_keys, 0, bytes);
    std::memset(grad_values, 0, bytes);
    for (int64_t j = 0; j < s.length; ++j) {
      rotation.turn(a.key + at + j * a.C, angle(j), 1.0f, keys + j * heads.padded);
    }
    pack_keys(keys, heads.padded, s.length, heads, key_panels);
    pack_keys(a.value + at, a.C, s.length, heads, value_panels);
  }

  PREFGRAD_INLINE int64_t row_at(const RowBlock& block, int64_t r, int64_t token, int64_t key_head) const {
    return (token + block.query(r)) * a.Q + (key_head * heads.group + block.head(r)) * heads.size;
  }

  // Turned queries and upstream gradients of the block, as rows and packed.
  void prepare_rows(const RowBlock& block, int64_t token, int64_t key_head) {
    std::memset(queries, 0, static_cast<size_t>(16 * heads.padded) * sizeof(float));
    for (int64_t r = 0; r < block.count; ++r) {
      const int64_t at = row_at(block, r, token, key_head);
      rotation.turn(a.query + at, angle(block.position(r)), heads.scale, queries + r * heads.padded);
      copy_heads(a.grad_y + at, a.Q, 1, heads, grads + r * heads.padded);
    }
    pack_lanes(queries, heads.padded, block.count, heads.size, packed_queries, 16);
    pack_lanes(grads, heads.padded, block.count, heads.size, packed_grads, 16);
  }

  // Scores become weights, and products of gradients and values become gradients of scores.
  void differentiate(const RowBlock& block, int64_t token, int64_t key_head) {
    const f32x16 zero = f32x16::set(0.0f);
    for (int64_t r = 0; r < block.count; ++r) {
      const float* const y = a.y + row_at(block, r, token, key_head);
      const float log_sum = a.log_sum[(token + block.query(r)) * a.A + key_head * heads.group + block.head(r)];
      Sum16 dot;
      for (int64_t d = 0; d < heads.size; d += 16) {
        const f32x16 g = f32x16::load(grads + r * heads.padded + d), v = load_up_to(y + d, heads.size - d);
        dot.add(low_f64(g) * low_f64(v), high_f64(g) * high_f64(v));
      }
      const f32x16 mean = f32x16::set(static_cast<float>(dot.total())), shift = f32x16::set(log_sum);
      float *const p = weights.row(r), *const d = grad_scores.row(r);
      const int64_t own = block.keys(r);
      for (int64_t j = 0; j < own; j += 16) {
        const m16 seen = first16(own - j);
        const f32x16 weight = select(seen, exp(f32x16::load(p + j) - shift), zero);
        store(p + j, weight);
        store(d + j, select(seen, weight * (f32x16::load(d + j) - mean), zero));
      }
    }
  }

  void run(Span s, int64_t key_head) {
    prepare_keys(s, key_head);
    const int64_t count = s.length * heads.group;
    for (int64_t first = 0; first < count; first += kBlockRows) {
      const RowBlock block = {first, count - first < kBlockRows ? count - first : kBlockRows, heads.group, 0};
      prepare_rows(block, s.start, key_head);
      score(block, heads, packed_queries, key_panels, weights);
      score(block, heads, packed_grads, value_panels, grad_scores);
      differentiate(block, s.start, key_head);
      scatter_sums(block, heads, weights, grads, grad_values);
      scatter_sums(block, heads, grad_scores, queries, grad_keys);
      weighted_sums(block, heads, grad_scores, keys, heads.padded, turned, sums);
      for (int64_t r = 0; r < block.count; ++r) {
        rotation.turn<true>(sums + r * heads.padded, angle(block.position(r)), heads.scale,
                            a.grad_query + row_at(block, r, s.start, key_head), (a.accumulate & 1) != 0);
      }
    }
    for (int64_t j = 0; j < s.length; ++j) {
      const int64_t at = (s.start + j) * a.C + key_head * heads.size;
      rotation.turn<true>(grad_keys + j * heads.padded, angle(j), 1.0f, a.grad_key + at, (a.accumulate & 2) != 0);
      for (int64_t d = 0; d < heads.size; d += 16) {
        const int64_t n = heads.size - d;
        f32x16 sum = f32x16::load(grad_values + j * heads.padded + d);
        if ((a.accumulate & 4) != 0) sum = load_up_to(a.grad_value + at + d, n) + sum;
        store_up_to(a.grad_value + at + d, sum, n);
      }
    }
  }
};

inline void rotary_attention_backward(const RotaryAttentionBackward& a, int64_t begin, int64_t end, int worker) {
  if (!offsets_hold(a)) {
    if (begin == 0) {
      fill_nan(a.grad_query, a.N * a.Q);
      fill_nan(a.grad_key, a.N * a.C);
      fill_nan(a.grad_value, a.N * a.C);
    }
    return;
  }
  AttentionBackwardItem item(a, worker);
  for (int64_t i = begin; i < end; ++i) item.run(span_of(a, i / a.key_value_heads), i % a.key_value_heads);
}

}  // namespace prefgrad::PREFGRAD_ISA
