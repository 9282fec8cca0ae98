// See rotary_attention.h, tiles.wgsl. `frequencies` and `angles` prepare the rotations (only the former where keys come
// rotated), `check_offsets` and `check_lengths` look at the sequences, `forward` goes through the keys in blocks of 64, counted
// from the first key of the sequence, with a running maximum and sum per row (Milakov & Gimelshein 2018, arXiv:1805.02867): a
// query has the same bits alone with a cache (single.wgsl) as among its sequence. No T x T tensor.
// Queries are read and y written once, from memory; keys and values once per 32 rows, mostly from cache.
const OFFSETS_INPUT = 3u;
const KEY_LENGTHS_INPUT = 4u;
// Below every score; e^(LOWEST - x) is 0.
const LOWEST = -3.0e38;

var<workgroup> row_max: array<f32, OWN>;
var<workgroup> row_sum: array<f32, OWN>;
var<workgroup> row_factor: array<f32, OWN>;
// 1: met a score that is NaN or infinite.
var<workgroup> row_bad: array<f32, OWN>;

fn cache_length() -> u32 {
  return args.M / max(args.B, 1u);
}
fn positions() -> u32 {
  if (has_keyLengths()) {
    return cache_length();
  }
  return select(args.T, args.N, has_offsets());
}

fn is_length(length: i32) -> bool {
  return length >= i32(args.T) && length <= i32(cache_length());
}
@compute @workgroup_size(LANES)
fn check_lengths(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let b = group_of(id) * LANES + lane;
  if (b < args.B && !is_length(in_keyLengths(b))) {
    report(KEY_LENGTHS_INPUT, b);
  }
}

fn keys_of(sequence: u32, span: Span) -> Keys {
  if (has_keyLengths()) {
    let length = in_keyLengths(sequence);
    if (!is_length(length)) {
      return Keys(0u, 0u, span.length, 1u);
    }
    return Keys(sequence * cache_length(), u32(length) - span.length, span.length, 0u);
  }
  return Keys(span.start, 0u, span.length, 0u);
}

fn query_angle(i: u32, position: u32) -> vec2<f32> {
  if (args.keysRotated != 0u) {
    return angle_of(i, i32(position));
  }
  return prepared_angle(i, position);
}

// Pairs [first, first + 8) of the own queries and of the keys from `block` on, turned.
fn load_terms(first: u32, key_at: u32, block: u32, most: u32, lane: u32) {
  let half = half_size();
  let place = own_pair(lane);
  let i = first + place.x;
  let seen = own_seen[place.y];
  var query = vec2<f32>();
  if (i < half && seen > 0u) {
    query = turned(query_pair(own_at[place.y], i), query_angle(i, seen - 1u)) * score_scale();
  }
  set_own(place, query);
  for (var n = 0u; n < OTHERS; n += OWN) {
    let j = block + place.y + n;
    var key = vec2<f32>();
    if (i < half && j < most) {
      key = key_pair(key_at + j * args.C, i);
      if (args.keysRotated == 0u) {
        key = turned(key, prepared_angle(i, j));
      }
    }
    set_other(vec2<u32>(place.x, place.y + n), key);
  }
}

// Scores in `weights` become e^(score - maximum); row_factor is what brings older sums to the new maximum.
fn soften(block: u32, lane: u32) {
  let row = lane % OWN;
  let part = lane / OWN;
  let seen = own_seen[row];
  var most = LOWEST;
  var bad = 0.0;
  for (var n = 0u; n < PAIRS; n++) {
    let other = part * PAIRS + n;
    if (block + other < seen) {
      let score = weights[other * WEIGHTS_PITCH + row];
      if (is_finite(score)) {
        most = max(most, score);
      } else if (is_nan(score) || !is_negative(score)) {
        bad = 1.0;
      }
    }
  }
  own_terms[lane] = most;
  own_terms[LANES + lane] = bad;
  workgroupBarrier();
  most = row_max[row];
  for (var p = 0u; p < 8u; p++) {
    most = max(most, own_terms[p * OWN + row]);
  }
  let factor = exp_of(row_max[row] - most);
  var sum = 0.0;
  for (var n = 0u; n < PAIRS; n++) {
    let other = part * PAIRS + n;
    let at = other * WEIGHTS_PITCH + row;
    var weight = HIDDEN;
    if (block + other < seen) {
      weight = exp_of(weights[at] - most);
      sum += weight;
    }
    weights[at] = weight;
  }
  other_terms[lane] = sum;
  workgroupBarrier();
  if (lane < OWN) {
    var total = opaque_of(row_sum[row] * factor);
    bad = row_bad[row];
    for (var p = 0u; p < 8u; p++) {
      total += other_terms[p * OWN + row];
      bad = max(bad, own_terms[LANES + p * OWN + row]);
    }
    row_sum[row] = total;
    row_bad[row] = bad;
    row_factor[row] = factor;
    row_max[row] = most;
  }
  workgroupBarrier();
}

// Columns [column, column + 64) of the slice of 16 values, from key `first` on.
fn load_values(first: u32, value_at: u32, most: u32, slice: Slice, column: u32, lane: u32) {
  let own = column + lane % OTHERS;
  for (var n = lane / OTHERS; n < TERMS; n += 4u) {
    var x = 0.0;
    if (is_inside(slice, own) && first + n < most) {
      x = in_value(value_at + (first + n) * args.C + element_of(slice, own));
    }
    other_terms[n * OTHERS_PITCH + lane % OTHERS] = x;
  }
}

fn set_row(row: u32, sums: vec4<f32>, slice: Slice, column: u32) {
  if (own_seen[row] == 0u) {
    return;
  }
  let bad = row_bad[row] != 0.0 || row_sum[row] == 0.0;
  for (var i = 0u; i < 4u; i++) {
    if (is_inside(slice, column + i)) {
      set_y(own_at[row] + element_of(slice, column + i), select(sums[i] / row_sum[row], nan(), bad));
    }
  }
}

@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let share = share_of(group_of(id));
  if (share.slot >= slots_of(tile_tokens())) {
    return;
  }
  let chunk = chunk_all(share.slot, tile_tokens(), lane);
  if (chunk.count == 0u) {
    return;
  }
  let keys = keys_all(chunk, tile_tokens(), lane);
  set_own_rows(share, chunk, keys, lane);
  if (lane < OWN) {
    row_max[lane] = LOWEST;
    row_sum[lane] = 0.0;
    row_bad[lane] = 0.0;
  }
  let slice = slice_of(share.slice);
  let key_at = keys.first * args.C + share.key_head * 2u * half_size();
  // Keys that the last row sees.
  let most = select(keys.before + chunk.number * tile_tokens() + chunk.count, 0u, keys.broken == 1u);
  var low = Sums();
  var high = Sums();
  for (var block = 0u; block < most; block += OTHERS) {
    var scores = Sums();
    for (var i = 0u; i < half_size(); i += PAIRS) {
      workgroupBarrier();
      load_terms(i, key_at, block, most, lane);
      workgroupBarrier();
      scores = multiply(scores, lane);
    }
    put_weights(scores, lane);
    workgroupBarrier();
    soften(block, lane);
    let factors = vec2<f32>(row_factor[lane / 16u * 2u], row_factor[lane / 16u * 2u + 1u]);
    low = Sums(low.first * factors.x, low.second * factors.y);
    high = Sums(high.first * factors.x, high.second * factors.y);
    for (var n = 0u; n < OTHERS && block + n < most; n += TERMS) {
      workgroupBarrier();
      load_values(block + n, key_at, most, slice, 0u, lane);
      workgroupBarrier();
      low = gather(low, n, lane);
      if (2u * slice.pairs > OTHERS) {
        workgroupBarrier();
        load_values(block + n, key_at, most, slice, OTHERS, lane);
        workgroupBarrier();
        high = gather(high, n, lane);
      }
    }
  }
  workgroupBarrier();
  let row = lane / 16u * 2u;
  let column = lane % 16u * 4u;
  set_row(row, low.first, slice, column);
  set_row(row + 1u, low.second, slice, column);
  set_row(row, high.first, slice, OTHERS + column);
  set_row(row + 1u, high.second, slice, OTHERS + column);
  if (share.slice == 0u && lane < chunk.count * share.heads) {
    let at = (chunk.start + lane / share.heads) * args.A + share.head + lane % share.heads;
    let bad = row_bad[lane] != 0.0 || row_sum[lane] == 0.0;
    set_logSum(at, select(row_max[lane] + log_of(row_sum[lane]), nan(), bad));
  }
}
