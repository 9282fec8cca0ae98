// See rotary_attention.h for the formula, the passes and the bytes; blocks.h for how queries and keys meet.
#pragma once
#include "blocks.h"
#include "rotary_attention.h"

namespace prefgrad::PREFGRAD_ISA {

// Keys in each row of the cache.
PREFGRAD_INLINE int64_t cache_length(const RotaryAttention& a) { return a.B > 0 ? a.M / a.B : 0; }

// Calls whose keys and values are more bytes than this read those of each sequence in order before the heads stride through them:
// memory is fetched ahead for the one and not for the other.
constexpr int64_t kReadInOrder = int64_t{4} << 20;

// One number of each cache line.
PREFGRAD_INLINE void read_in_order(const float* from, int64_t n) {
  for (int64_t i = 0; i < n; i += 16) static_cast<void>(*static_cast<const volatile float*>(from + i));
}

inline void rotary_attention_angles(const RotaryAttention& a, int64_t begin, int64_t end, int) {
  if (!offsets_hold(a)) return;
  const int64_t positions = a.key_lengths != nullptr ? cache_length(a) : longest_sequence(a);
  write_angles(Rotation(a.Q / a.heads, a.base), positions, a.workspace, begin, end);
}

// Weights e^(score - max) in place of the n scores of a row; their maximum and their sum.
PREFGRAD_INLINE void exponentials(float* scores, int64_t n, double& max, double& total) {
  const f32x16 none = f32x16::set(-std::numeric_limits<float>::infinity());
  f32x16 most = none;
  int64_t j = 0;
  for (; j + 16 <= n; j += 16) most = maximum(f32x16::load(scores + j), most);
  const m16 rest = first16(n - j);
  if (j < n) most = maximum(select(rest, f32x16::load(scores + j), none), most);
  max = largest(most);
  const f32x16 shift = f32x16::set(largest(most));
  Sum16 sum;
  for (j = 0; j + 16 <= n; j += 16) {
    const f32x16 e = exp(f32x16::load(scores + j) - shift);
    store(scores + j, e);
    sum.add(e);
  }
  if (j < n) {
    const f32x16 e = select(rest, exp(f32x16::load(scores + j) - shift), f32x16::set(0.0f));
    store(scores + j, e);
    sum.add(e);
  }
  total = sum.total();
}

// One sequence and key head: what a worker keeps while it goes through the rows.
struct AttentionItem {
  const RotaryAttention& a;
  Heads heads;
  Rotation rotation;
  int64_t capacity;  // keys that the scratch has room for
  const float* table;  // angles of all positions; null where only queries turn
  float *panels, *values, *turned, *rows, *packed, *sums, *angle;
  KeyWeights scores;
  int64_t angle_position = -1;  // what `angle` holds
  int64_t sequence_key = -1;    // first key of the sequence that was read in order

  AttentionItem(const RotaryAttention& args, int worker) : a(args), heads(args), rotation(heads.size, args.base) {
    capacity = a.key_lengths != nullptr ? cache_length(a) : a.offsets != nullptr ? a.N : a.T;
    scores.pitch = round_up(capacity, 32) + 16;
    const int64_t angles = a.keys_rotated != 0 ? 0 : capacity * rotation.angle_floats();
    table = a.keys_rotated != 0 ? nullptr : a.workspace;
    panels = a.workspace + angles + worker * static_cast<int64_t>(a.worker_floats);
    values = panels + round_up(capacity, 32) * heads.size;
    scores.data = values + capacity * heads.padded;
    turned = scores.row(16);
    rows = turned + 16 * scores.pitch;
    packed = rows + 32 * heads.padded;
    sums = packed + 16 * heads.padded;
    angle = sums + 16 * heads.padded;
  }

  void prepare_keys(int64_t first_key, int64_t count, int64_t key_head) {
    const float* const from = a.key + first_key * a.C + key_head * heads.size;
    if (table == nullptr) {
      pack_keys(from, a.C, count, heads, panels);
      return;
    }
    for (int64_t key = 0; key < count; key += kMicroColumns) {
      const int64_t n = count - key < kMicroColumns ? count - key : kMicroColumns;
      for (int64_t i = 0; i < n; ++i) {
        const float* const turn = table + (key + i) * rotation.angle_floats();
        rotation.turn(from + (key + i) * a.C, turn, 1.0f, rows + i * heads.padded);
      }
      pack_keys(rows, heads.padded, n, heads, panels + key * heads.size);
    }
  }

  void prepare_rows(const RowBlock& block, const float* query, int64_t key_head) {
    for (int64_t r = 0; r < block.count; ++r) {
      const int64_t position = block.position(r);
      if (table == nullptr && position != angle_position) rotation.angles(angle_position = position, 1, angle);
      const float* const from = query + block.query(r) * a.Q + (key_head * heads.group + block.head(r)) * heads.size;
      rotation.turn(from, table == nullptr ? angle : table + position * rotation.angle_floats(), heads.scale,
                    rows + r * heads.padded);
    }
    pack_lanes(rows, heads.padded, block.count, heads.size, packed, 16);
  }

  void finish_rows(const RowBlock& block, int64_t token, int64_t key_head) {
    double max[16] = {}, total[16] = {};
    for (int64_t r = 0; r < block.count; ++r) exponentials(scores.row(r), block.keys(r), max[r], total[r]);
    weighted_sums(block, heads, scores, value_rows, value_pitch, turned, sums);
    float log_sums[16];
    const f64x8 low = log(f64x8::load(total)), high = log(f64x8::load(total + 8));
    store(log_sums, narrow(f64x8::load(max) + low, f64x8::load(max + 8) + high));
    for (int64_t r = 0; r < block.count; ++r) {
      const int64_t at = token + block.query(r), head = key_head * heads.group + block.head(r);
      float* const y = a.y + at * a.Q + head * heads.size;
      const f32x16 divisor = f32x16::set(static_cast<float>(total[r]));
      for (int64_t d = 0; d < heads.size; d += 16) {
        store_up_to(y + d, f32x16::load(sums + r * heads.padded + d) / divisor, heads.size - d);
      }
      a.log_sum[at * a.A + head] = log_sums[r];
    }
  }

  const float* value_rows = nullptr;
  int64_t value_pitch = 0;

  void run(Span queries, int64_t first_key, int64_t keys, int64_t key_head) {
    const int64_t count = queries.length * heads.group;
    if (count == 0) return;
    if (sequence_key != first_key && 8 * a.M * a.C > kReadInOrder) {
      sequence_key = first_key;
      read_in_order(a.key + first_key * a.C, keys * a.C);
      read_in_order(a.value + first_key * a.C, keys * a.C);
    }
    prepare_keys(first_key, keys, key_head);
    value_rows = a.value + first_key * a.C + key_head * heads.size;
    value_pitch = a.C;
    // Many rows are worth a copy that lies together; heads that do not fill vectors need one.
    if (count > kBlockRows || heads.size != heads.padded) {
      copy_heads(value_rows, a.C, keys, heads, values);
      value_rows = values;
      value_pitch = heads.padded;
    }
    for (int64_t first = 0; first < count; first += kBlockRows) {
      const RowBlock block = {first, count - first < kBlockRows ? count - first : kBlockRows, heads.group,
                              keys - queries.length};
      prepare_rows(block, a.query + queries.start * a.Q, key_head);
      score(block, heads, packed, panels, scores);
      finish_rows(block, queries.start, key_head);
    }
  }
};

inline void rotary_attention_forward(const RotaryAttention& a, int64_t begin, int64_t end, int worker) {
  if (!offsets_hold(a)) {
    if (begin == 0) {
      fill_nan(a.y, a.N * a.Q);
      fill_nan(a.log_sum, a.N * a.A);
    }
    return;
  }
  AttentionItem item(a, worker);
  for (int64_t i = begin; i < end; ++i) {
    const int64_t b = i / a.key_value_heads, key_head = i % a.key_value_heads;
    const Span queries = span_of(a, b);
    if (a.key_lengths == nullptr) {
      item.run(queries, queries.start, queries.length, key_head);
    } else if (a.key_lengths[b] >= queries.length && a.key_lengths[b] <= item.capacity) {
      item.run(queries, b * item.capacity, a.key_lengths[b], key_head);
    } else {
      a.fault->report(RotaryAttention::key_lengths_input, b);
      const int64_t head = key_head * item.heads.group;
      for (int64_t row = queries.start; row < queries.start + queries.length; ++row) {
        fill_nan(a.y + row * a.Q + head * item.heads.size, item.heads.group * item.heads.size);
        fill_nan(a.log_sum + row * a.A + head, item.heads.group);
      }
    }
  }
}

}  // namespace prefgrad::PREFGRAD_ISA
