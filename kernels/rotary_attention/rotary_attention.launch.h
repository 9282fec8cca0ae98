// See rotary_attention.h, rotary_attention_backward.h, attention.cuda.h. Rows (queries of heads that share a key head) and keys
// are cut into tiles by the shape alone; the numbers of one row never depend on its tile.
#pragma once
#include "../common/rotation.launch.h"
#include "rotary_attention.h"
#include "rotary_attention_backward.h"

namespace prefgrad {

// Threads of a block, rows of a tile (and of one for calls with few rows), others that it meets at a time.
constexpr int kAttentionThreads = 128, kAttentionKeyThreads = 256;
constexpr int64_t kAttentionRows = 64, kAttentionFewRows = 16, kAttentionOthers = 64;
// Elements of a head that one block adds up: wider heads take several.
constexpr int64_t kAttentionNarrow = 64, kAttentionWide = 128;

// What plan and kernels make of the sizes. A tile has `tokens` queries of `heads` heads each.
struct AttentionCuts {
  int64_t size, group;                    // elements of a head; query heads per key head
  int64_t tokens, heads, parts, slices;   // parts of a group, slices of a head

  template <typename Args>
  static PREFGRAD_EVERYWHERE AttentionCuts of(const Args& a, int64_t rows) {
    AttentionCuts c;
    c.size = a.Q / a.heads;
    c.group = a.heads / a.key_value_heads;
    c.heads = c.group < rows ? c.group : rows;
    c.tokens = rows / c.heads;
    c.parts = blocks_of(c.group, rows);
    c.slices = c.size > kAttentionWide ? blocks_of(c.size, kAttentionWide) : 1;
    return c;
  }
};

// Enough tiles of `tokens` for any sequences: packed lengths are not known here.
template <typename Args>
PREFGRAD_EVERYWHERE int64_t attention_slots(const Args& a, bool packed, int64_t tokens) {
  return packed ? a.N / tokens + (a.B > 0 ? a.B : 1) : a.B * blocks_of(a.T, tokens);
}
// The workspace begins with turned queries; what follows begins at a multiple of 16 bytes.
PREFGRAD_EVERYWHERE int64_t attention_quads(int64_t floats) { return blocks_of(floats, 4) * 4; }

inline void plan(const RotaryAttention& a, Element, const DeviceShape&, LaunchPlan& out) {
  const bool packed = (a.present >> RotaryAttention::offsets_input & 1) != 0;
  const int64_t group = a.heads / a.key_value_heads, half = a.Q / a.heads / 2;
  const bool few = !packed && a.T * group <= kAttentionFewRows;
  const AttentionCuts cuts = AttentionCuts::of(a, few ? kAttentionFewRows : kAttentionRows);
  out.workspace_bytes = 4 * static_cast<uint64_t>(attention_quads(a.N * a.Q) + (a.keys_rotated != 0 ? 0 : a.M * a.C));
  const int64_t of_keys = a.keys_rotated != 0 ? 0 : rotation_blocks(a.M, a.key_value_heads, half);
  out.add("rotary_attention_prepare", rotation_blocks(a.N, a.heads, half) + of_keys, kRotationThreads);
  const bool wide = cuts.size > kAttentionNarrow;
  const char* const for_few = wide ? "rotary_attention_few_wide" : "rotary_attention_few";
  const char* const kernel = few ? for_few : wide ? "rotary_attention_wide" : "rotary_attention";
  const int64_t slots = a.N == 0 ? 0 : attention_slots(a, packed, cuts.tokens);
  out.add(kernel, slots * a.key_value_heads * cuts.parts * cuts.slices, kAttentionThreads);
}

// Rows of a block that makes their D: one per warp.
constexpr int64_t kAttentionMeans = kRotationThreads / 32;

inline void plan(const RotaryAttentionBackward& a, Element, const DeviceShape&, LaunchPlan& out) {
  if (a.N == 0) return;
  const bool packed = (a.present >> RotaryAttentionBackward::offsets_input & 1) != 0;
  const int64_t half = a.Q / a.heads / 2;
  const int64_t turning = rotation_blocks(a.N, a.heads, half) + rotation_blocks(a.N, a.key_value_heads, half);
  const AttentionCuts cuts = AttentionCuts::of(a, kAttentionRows);
  const bool wide = cuts.size > kAttentionNarrow;
  // Turned queries and keys, their gradients before they are turned back, a number per row.
  out.workspace_bytes = 8 * static_cast<uint64_t>(attention_quads(a.N * a.Q) + attention_quads(a.N * a.C)) +
                        4 * static_cast<uint64_t>(a.N * a.A);
  out.add("rotary_attention_backward_prepare", turning + blocks_of(a.N * a.A, kAttentionMeans), kRotationThreads);
  out.add(wide ? "rotary_attention_grad_keys_wide" : "rotary_attention_grad_keys",
          attention_slots(a, packed, kAttentionRows) * a.key_value_heads * cuts.slices, kAttentionKeyThreads);
  out.add(wide ? "rotary_attention_grad_queries_wide" : "rotary_attention_grad_queries",
          attention_slots(a, packed, cuts.tokens) * a.key_value_heads * cuts.parts * cuts.slices, kAttentionThreads);
  out.add("rotary_attention_backward_finish", turning, kRotationThreads);
}

}  // namespace prefgrad
