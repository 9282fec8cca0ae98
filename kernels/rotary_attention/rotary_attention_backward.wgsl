// See rotary_attention_backward.h, tiles.wgsl. After the preparations of the forward call, `rows` leaves log-sum-exp and
// D = gradY . y of each row in the scratch, `queries` adds up gradQuery over blocks of 64 keys, and `keys` gradKey and
// gradValue over blocks of 64 rows, counted from the first that sees a key of the tile; both compute the weights again. No
// T x T tensor. What a tile owns is read and written once, from memory; the others once per tile that meets them, mostly from
// cache.
const OFFSETS_INPUT = 6u;

var<workgroup> own_shift: array<f32, OWN>;
var<workgroup> own_mean: array<f32, OWN>;
var<workgroup> other_at: array<u32, OTHERS>;
var<workgroup> other_seen: array<u32, OTHERS>;
var<workgroup> other_shift: array<f32, OTHERS>;
var<workgroup> other_mean: array<f32, OTHERS>;

fn positions() -> u32 {
  return select(args.T, args.N, has_offsets());
}
fn keys_of(sequence: u32, span: Span) -> Keys {
  return Keys(span.start, 0u, span.length, 0u);
}

fn rows_at() -> u32 {
  return angles_at() + 2u * half_size() * positions();
}
// Eight invocations to a row.
@compute @workgroup_size(LANES)
fn rows(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let size = 2u * half_size();
  let first = group_of(id) * OWN;
  let row = first + lane / PAIRS;
  var part = 0.0;
  if (row < args.N * args.A) {
    for (var i = lane % PAIRS; i < size; i += PAIRS) {
      part = fma(in_gradY(row * size + i), in_y(row * size + i), part);
    }
  }
  own_terms[lane] = part;
  workgroupBarrier();
  if (lane < OWN && first + lane < args.N * args.A) {
    var sum = 0.0;
    for (var p = 0u; p < PAIRS; p++) {
      sum += own_terms[lane * PAIRS + p];
    }
    set_work(rows_at() + 2u * (first + lane), in_logSum(first + lane));
    set_work(rows_at() + 2u * (first + lane) + 1u, sum);
  }
}

fn grad_pair(at: u32, i: u32) -> vec2<f32> {
  return vec2<f32>(in_gradY(at + i), in_gradY(at + i + half_size()));
}
fn turned_query(at: u32, i: u32, position: u32) -> vec2<f32> {
  return turned(query_pair(at, i), prepared_angle(i, position)) * score_scale();
}
fn turned_key(at: u32, i: u32, position: u32) -> vec2<f32> {
  return turned(key_pair(at, i), prepared_angle(i, position));
}
// The element of a turned head, of which pairs are made.
fn element_of_pair(pair: vec2<f32>, element: u32) -> f32 {
  return select(pair.x, pair.y, element >= half_size());
}

// p = e^(score - shift), or HIDDEN.
fn weight_of(score: f32, shift: f32, seen: bool) -> f32 {
  return select(HIDDEN, exp_of(score - shift), seen);
}
fn slope_of(weight: f32, product: f32, mean: f32) -> f32 {
  return select(weight * (product - mean), HIDDEN, is_hidden(weight));
}

// Puts 16 rows (every second) of the gathered columns where whole pairs can be read: `weights` as [row / 2 * 128 + column].
fn put_columns(low: vec4<f32>, high: vec4<f32>, lane: u32) {
  let at = lane / 16u * 128u + lane % 16u * 4u;
  for (var i = 0u; i < 4u; i++) {
    weights[at + i] = low[i];
    weights[at + 64u + i] = high[i];
  }
}
fn column_pair(slice: Slice, at: u32) -> vec2<f32> {
  let first = at / slice.pairs * 128u + at % slice.pairs;
  return vec2<f32>(weights[first], weights[first + slice.pairs]);
}

// Pairs of own queries and of keys; then of upstream gradients and of values.
fn load_queries_and_keys(first: u32, key_at: u32, block: u32, most: u32, lane: u32) {
  let place = own_pair(lane);
  let i = first + place.x;
  let seen = own_seen[place.y];
  var own = vec2<f32>();
  if (i < half_size() && seen > 0u) {
    own = turned_query(own_at[place.y], i, seen - 1u);
  }
  set_own(place, own);
  for (var n = 0u; n < OTHERS; n += OWN) {
    let j = block + place.y + n;
    var other = vec2<f32>();
    if (i < half_size() && j < most) {
      other = turned_key(key_at + j * args.C, i, j);
    }
    set_other(vec2<u32>(place.x, place.y + n), other);
  }
}
fn load_gradients_and_values(first: u32, key_at: u32, block: u32, most: u32, lane: u32) {
  let place = own_pair(lane);
  let i = first + place.x;
  var own = vec2<f32>();
  if (i < half_size() && own_seen[place.y] > 0u) {
    own = grad_pair(own_at[place.y], i);
  }
  set_own(place, own);
  for (var n = 0u; n < OTHERS; n += OWN) {
    let j = block + place.y + n;
    var other = vec2<f32>();
    if (i < half_size() && j < most) {
      other = value_pair(key_at + j * args.C, i);
    }
    set_other(vec2<u32>(place.x, place.y + n), other);
  }
}

// Columns [column, column + 64) of the slice of 16 turned keys, from key `first` on.
fn load_keys(first: u32, key_at: u32, most: u32, slice: Slice, column: u32, lane: u32) {
  let own = column + lane % OTHERS;
  for (var n = lane / OTHERS; n < TERMS; n += 4u) {
    var x = 0.0;
    let j = first + n;
    if (is_inside(slice, own) && j < most) {
      let element = element_of(slice, own);
      x = element_of_pair(turned_key(key_at + j * args.C, element % half_size(), j), element);
    }
    other_terms[n * OTHERS_PITCH + lane % OTHERS] = x;
  }
}

@compute @workgroup_size(LANES)
fn queries(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
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
  if (lane < chunk.count * share.heads) {
    let at = (chunk.start + lane / share.heads) * args.A + share.head + lane % share.heads;
    own_shift[lane] = work(rows_at() + 2u * at);
    own_mean[lane] = work(rows_at() + 2u * at + 1u);
  }
  let slice = slice_of(share.slice);
  let row = lane / 16u * 2u;
  let key_at = keys.first * args.C + share.key_head * 2u * half_size();
  let most = select(chunk.number * tile_tokens() + chunk.count, 0u, keys.broken == 1u);
  var low = Sums();
  var high = Sums();
  for (var block = 0u; block < most; block += OTHERS) {
    var scores = Sums();
    var products = Sums();
    for (var i = 0u; i < half_size(); i += PAIRS) {
      workgroupBarrier();
      load_queries_and_keys(i, key_at, block, most, lane);
      workgroupBarrier();
      scores = multiply(scores, lane);
      workgroupBarrier();
      load_gradients_and_values(i, key_at, block, most, lane);
      workgroupBarrier();
      products = multiply(products, lane);
    }
    for (var i = 0u; i < 4u; i++) {
      let j = block + lane % 16u * 4u + i;
      let first = weight_of(scores.first[i], own_shift[row], j < own_seen[row]);
      let second = weight_of(scores.second[i], own_shift[row + 1u], j < own_seen[row + 1u]);
      scores.first[i] = slope_of(first, products.first[i], own_mean[row]);
      scores.second[i] = slope_of(second, products.second[i], own_mean[row + 1u]);
    }
    put_weights(scores, lane);
    for (var n = 0u; n < OTHERS && block + n < most; n += TERMS) {
      workgroupBarrier();
      load_keys(block + n, key_at, most, slice, 0u, lane);
      workgroupBarrier();
      low = gather(low, n, lane);
      if (2u * slice.pairs > OTHERS) {
        workgroupBarrier();
        load_keys(block + n, key_at, most, slice, OTHERS, lane);
        workgroupBarrier();
        high = gather(high, n, lane);
      }
    }
  }
  for (var odd = 0u; odd < 2u; odd++) {
    workgroupBarrier();
    put_columns(select(low.first, low.second, odd == 1u), select(high.first, high.second, odd == 1u), lane);
    workgroupBarrier();
    for (var at = lane; at < OWN / 2u * slice.pairs; at += LANES) {
      let target_row = at / slice.pairs * 2u + odd;
      let seen = own_seen[target_row];
      if (seen == 0u) {
        continue;
      }
      let i = slice.first + at % slice.pairs;
      var gradient = vec2<f32>(nan());
      if (keys.broken == 0u) {
        gradient = turned_back(column_pair(slice, at), prepared_angle(i, seen - 1u)) * score_scale();
      }
      set_gradQuery(own_at[target_row] + i, gradient.x);
      set_gradQuery(own_at[target_row] + i + half_size(), gradient.y);
    }
  }
}

// Pairs of own keys and of turned queries; then of own values and of upstream gradients.
fn load_keys_and_queries(first: u32, own: u32, count: u32, position: u32, lane: u32) {
  let place = own_pair(lane);
  let i = first + place.x;
  var pair = vec2<f32>();
  if (i < half_size() && place.y < count) {
    pair = turned_key(own + place.y * args.C, i, position + place.y);
  }
  set_own(place, pair);
  for (var n = 0u; n < OTHERS; n += OWN) {
    let other = place.y + n;
    pair = vec2<f32>();
    if (i < half_size() && other_seen[other] > 0u) {
      pair = turned_query(other_at[other], i, other_seen[other] - 1u);
    }
    set_other(vec2<u32>(place.x, other), pair);
  }
}
fn load_values_and_gradients(first: u32, own: u32, count: u32, lane: u32) {
  let place = own_pair(lane);
  let i = first + place.x;
  var pair = vec2<f32>();
  if (i < half_size() && place.y < count) {
    pair = value_pair(own + place.y * args.C, i);
  }
  set_own(place, pair);
  for (var n = 0u; n < OTHERS; n += OWN) {
    let other = place.y + n;
    pair = vec2<f32>();
    if (i < half_size() && other_seen[other] > 0u) {
      pair = grad_pair(other_at[other], i);
    }
    set_other(vec2<u32>(place.x, other), pair);
  }
}

// Columns [column, column + 64) of the slice of 16 others, from `first` on: upstream gradients, or turned queries.
fn load_others(first: u32, is_query: bool, slice: Slice, column: u32, lane: u32) {
  let own = column + lane % OTHERS;
  for (var n = lane / OTHERS; n < TERMS; n += 4u) {
    var x = 0.0;
    let seen = other_seen[first + n];
    if (is_inside(slice, own) && seen > 0u) {
      let element = element_of(slice, own);
      let at = other_at[first + n];
      if (is_query) {
        x = element_of_pair(turned_query(at, element % half_size(), seen - 1u), element);
      } else {
        x = in_gradY(at + element);
      }
    }
    other_terms[n * OTHERS_PITCH + lane % OTHERS] = x;
  }
}

// Low and high columns of two rows.
struct Columns {
  low: Sums,
  high: Sums,
}
fn gather_others(sums: Columns, is_query: bool, count: u32, slice: Slice, lane: u32) -> Columns {
  var next = sums;
  for (var n = 0u; n < OTHERS && n < count; n += TERMS) {
    workgroupBarrier();
    load_others(n, is_query, slice, 0u, lane);
    workgroupBarrier();
    next.low = gather(next.low, n, lane);
    if (2u * slice.pairs > OTHERS) {
      workgroupBarrier();
      load_others(n, is_query, slice, OTHERS, lane);
      workgroupBarrier();
      next.high = gather(next.high, n, lane);
    }
  }
  return next;
}

// Rows [block, block + 64) of a sequence, of all heads that share the key head.
fn set_other_rows(block: u32, start: u32, length: u32, key_head: u32, lane: u32) {
  if (lane < OTHERS) {
    let number = block + lane;
    let heads = heads_per_key();
    let head = key_head * heads + number % heads;
    let token = start + number / heads;
    let inside = number < length * heads;
    other_at[lane] = token * args.Q + head * 2u * half_size();
    other_seen[lane] = select(0u, number / heads + 1u, inside);
    if (inside) {
      let at = rows_at() + 2u * (token * args.A + head);
      other_shift[lane] = work(at);
      other_mean[lane] = work(at + 1u);
    }
  }
}

@compute @workgroup_size(LANES)
fn keys(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let group = group_of(id);
  let slice = slice_of(group % slices());
  let key_head = group / slices() % u32(args.keyValueHeads);
  let slot = group / slices() / u32(args.keyValueHeads);
  if (slot >= slots_of(OWN)) {
    return;
  }
  let chunk = chunk_all(slot, OWN, lane);
  if (chunk.count == 0u) {
    return;
  }
  let sequence = keys_all(chunk, OWN, lane);
  // Position of the first own key, and its head's first element.
  let first = chunk.number * OWN;
  let own = chunk.start * args.C + key_head * 2u * half_size();
  let stop = select(sequence.length * heads_per_key(), 0u, sequence.broken == 1u);
  var to_value = Columns();
  var to_key = Columns();
  for (var block = first * heads_per_key(); block < stop; block += OTHERS) {
    workgroupBarrier();
    set_other_rows(block, sequence.first, sequence.length, key_head, lane);
    var scores = Sums();
    var products = Sums();
    for (var i = 0u; i < half_size(); i += PAIRS) {
      workgroupBarrier();
      load_keys_and_queries(i, own, chunk.count, first, lane);
      workgroupBarrier();
      scores = multiply(scores, lane);
      workgroupBarrier();
      load_values_and_gradients(i, own, chunk.count, lane);
      workgroupBarrier();
      products = multiply(products, lane);
    }
    for (var i = 0u; i < 4u; i++) {
      let other = lane % 16u * 4u + i;
      let row = first + lane / 16u * 2u;
      scores.first[i] = weight_of(scores.first[i], other_shift[other], row < other_seen[other]);
      scores.second[i] = weight_of(scores.second[i], other_shift[other], row + 1u < other_seen[other]);
      products.first[i] = slope_of(scores.first[i], products.first[i], other_mean[other]);
      products.second[i] = slope_of(scores.second[i], products.second[i], other_mean[other]);
    }
    put_weights(scores, lane);
    to_value = gather_others(to_value, false, stop - block, slice, lane);
    workgroupBarrier();
    put_weights(products, lane);
    to_key = gather_others(to_key, true, stop - block, slice, lane);
  }
  for (var odd = 0u; odd < 2u; odd++) {
    let second = odd == 1u;
    workgroupBarrier();
    put_columns(
      select(to_value.low.first, to_value.low.second, second),
      select(to_value.high.first, to_value.high.second, second),
      lane,
    );
    workgroupBarrier();
    for (var at = lane; at < OWN / 2u * slice.pairs; at += LANES) {
      let row = at / slice.pairs * 2u + odd;
      if (row < chunk.count) {
        let i = own + row * args.C + slice.first + at % slice.pairs;
        let gradient = select(vec2<f32>(nan()), column_pair(slice, at), sequence.broken == 0u);
        set_gradValue(i, gradient.x);
        set_gradValue(i + half_size(), gradient.y);
      }
    }
    workgroupBarrier();
    put_columns(
      select(to_key.low.first, to_key.low.second, second),
      select(to_key.high.first, to_key.high.second, second),
      lane,
    );
    workgroupBarrier();
    for (var at = lane; at < OWN / 2u * slice.pairs; at += LANES) {
      let row = at / slice.pairs * 2u + odd;
      if (row < chunk.count) {
        let i = slice.first + at % slice.pairs;
        var gradient = vec2<f32>(nan());
        if (sequence.broken == 0u) {
          gradient = turned_back(column_pair(slice, at), prepared_angle(i, first + row));
        }
        set_gradKey(own + row * args.C + i, gradient.x);
        set_gradKey(own + row * args.C + i + half_size(), gradient.y);
      }
    }
  }
}
